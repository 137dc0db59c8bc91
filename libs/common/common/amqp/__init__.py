"""The one way messages move: topology, publisher, consumer and request-reply on RabbitMQ."""
