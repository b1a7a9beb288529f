"""Fixtures shared by all rooms' tests."""

import os

import postgres
import pytest
from hypothesis import settings

# The extra `reference` brings a client of the hub, which no test may ask: nor may what a test starts.
os.environ["HF_HUB_OFFLINE"] = "1"

# A loaded machine is slow now and then; pytest-timeout catches what hangs.
settings.register_profile("bench", deadline=None)
settings.load_profile("bench")


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server; skips where there is none."""
    with postgres.server() as folder:
        yield folder


@pytest.fixture
def postgres_url(postgres_server):
    """The URL of an empty database on it."""
    return postgres.new_database(postgres_server)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request, tmp_path):
    """The URL of a database that is not there yet, of each kind that the store knows."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bench.sqlite"
    return request.getfixturevalue("postgres_url")
