"""Fixtures shared by all rooms' tests."""
