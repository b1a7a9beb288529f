"""Finds, starts and probes real browsers; one file a browser."""
