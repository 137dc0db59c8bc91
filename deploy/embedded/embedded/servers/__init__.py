"""Private servers on loopback, each a function of a directory and free ports."""
