"""Driving a run: claim it, stream it, store its end, announce it. Exactly one worker at a time."""
