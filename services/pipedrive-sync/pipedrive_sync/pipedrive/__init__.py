"""Pipedrive's API: one gate that keeps within its limits, and the few calls that are made."""
