"""What users say about answers."""
