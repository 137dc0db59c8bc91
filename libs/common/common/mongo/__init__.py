"""MongoDB: the client with its guarantees, declared indexes, the outbox."""
