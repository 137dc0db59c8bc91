"""From a run's events to the browser: follow, replay, and the bytes on the wire."""
