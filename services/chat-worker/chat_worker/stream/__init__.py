"""Writing a run's events to Redis, for all runs of the process together."""
