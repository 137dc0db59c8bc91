"""What the ledger decides, without I/O: accounts and commands in, new accounts and rows out."""
