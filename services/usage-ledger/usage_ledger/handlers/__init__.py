"""One use case a file: a command or a delivery in, a reply or outcomes out."""
