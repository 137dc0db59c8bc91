"""What two services or more share. No business rule lives here."""
