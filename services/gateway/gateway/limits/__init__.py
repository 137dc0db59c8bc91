"""How much one user may ask for: messages a minute and open streams."""
