"""What is done when something arrives."""
