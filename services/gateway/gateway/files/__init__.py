"""Files that runs produced, for the user whose run it was."""
