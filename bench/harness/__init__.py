"""Drives one run through its stages: server, session, watchdog, outcome."""
