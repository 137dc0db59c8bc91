"""What is decided about quotas and usage; no input or output here."""
