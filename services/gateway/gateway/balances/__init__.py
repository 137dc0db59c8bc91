"""What is left: told to open pages the moment that it changes."""
