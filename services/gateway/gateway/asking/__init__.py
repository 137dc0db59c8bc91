"""From a message to a run: estimate, hold, publish."""
