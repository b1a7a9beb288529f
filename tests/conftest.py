"""Fixtures shared by all rooms' tests."""

from hypothesis import settings

# A loaded machine is slow now and then; pytest-timeout catches what hangs.
settings.register_profile("bench", deadline=None)
settings.load_profile("bench")
