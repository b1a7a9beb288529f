"""Older databases: a checked copy first, then every row as it was."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from records import fill

from bench.errors import StoreError
from bench.store import backup, check, open_store, revision, upgrade
from bench.store.address import make_engine, parse_url


@pytest.fixture
def old(tmp_path):
    """A database of revision 0001 with a campaign that was stopped half-way, written as that program did."""
    url = f"sqlite:///{tmp_path}/bench.sqlite"
    with open_store(url) as store:
        fill(store, leave=2)
        with store.engine.connect().execution_options(bench_writes=True) as connection, connection.begin():
            revision.downgrade(connection, "0001")
            connection.exec_driver_sql("UPDATE campaigns SET state = 'running'")
    return tmp_path / "bench.sqlite"


def rows(path, query):
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute(query).fetchall()


OLD_VIEW = (
    "SELECT id, uuid, outcome, requested_bits, effective_bits, latency_ms_median, error_message "
    "FROM run_summary"
)


def test_revision_0001_is_really_the_old_one(old, tmp_path):
    engine = make_engine(parse_url(f"sqlite:///{tmp_path}/first.sqlite"))
    with engine.connect().execution_options(bench_writes=True) as connection, connection.begin():
        command.upgrade(revision.config(connection), "0001")
    engine.dispose()
    query = "SELECT name FROM pragma_table_info('{}') ORDER BY name"
    for table in ("campaigns", "cells", "runs", "run_summary"):
        assert rows(old, query.format(table)) == rows(tmp_path / "first.sqlite", query.format(table))


def test_an_upgrade_makes_a_checked_copy_and_keeps_every_row(old):
    before = rows(old, OLD_VIEW)
    with pytest.raises(StoreError, match="bench db upgrade"):
        open_store(f"sqlite:///{old}")
    was, now, copy = upgrade(f"sqlite:///{old}")
    assert (was, now) == ("0001", revision.head())
    assert copy.parent == old.parent and rows(copy, OLD_VIEW) == before
    assert rows(copy, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert rows(old, OLD_VIEW) == before
    assert check(f"sqlite:///{old}").problems == []


def test_a_campaign_of_old_can_be_resumed(old):
    url = f"sqlite:///{old}"
    upgrade(url)
    with open_store(url, create=False) as store:
        status = store.status("nightly")
        assert status.cells == {"done": 22, "planned": 2}
        assert status.state.value == "interrupted"
        assert {cell["role"] for cell in store.cells()} == {"arm"}
        assert store.campaign("nightly").plan_hash is None


def test_a_copy_is_made_at_any_time_and_never_over_another_file(tmp_path):
    url = f"sqlite:///{tmp_path}/bench.sqlite"
    with open_store(url) as store:
        fill(store)
        copy = backup(url)
        assert rows(copy, "SELECT count(*) FROM runs") == [(24,)]
        with pytest.raises(StoreError, match="is there already"):
            backup(url, copy)
    with open_store(f"sqlite:///{copy}", create=False) as restored:
        assert len(restored.rows()) == 24


def test_what_cannot_be_copied_is_said_and_leaves_nothing(tmp_path):
    with pytest.raises(StoreError, match="nothing to back up"):
        backup(f"sqlite:///{tmp_path}/none.sqlite")
    with pytest.raises(StoreError, match="pg_dump"):
        backup("postgresql://host/x")
    broken = tmp_path / "broken.sqlite"
    with open_store(f"sqlite:///{broken}") as store:
        fill(store)
        with store.engine.connect() as connection:
            connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    data = bytearray(broken.read_bytes())
    size = int.from_bytes(data[16:18], "big")
    for page in range(4, len(data) // size):
        data[page * size : page * size + 60] = b"\xff" * 60
    broken.write_bytes(bytes(data))
    with pytest.raises(StoreError, match=r"not sound|malformed|cannot back"):
        backup(f"sqlite:///{broken}")
    assert [path.name for path in tmp_path.glob("*backup*")] == []


DATA = Path(__file__).resolve().parents[1] / "data"
REVISIONS = [one.revision for one in ScriptDirectory.from_config(revision.config()).walk_revisions()]


@pytest.mark.parametrize("number", REVISIONS)
def test_a_database_of_every_revision_is_still_read(tmp_path, number):
    """Each tests/data/revision-*.sqlite was written by the program of its time; its rows are made up."""
    path = tmp_path / "bench.sqlite"
    shutil.copy(DATA / f"revision-{number}.sqlite", path)
    assert len(check(f"sqlite:///{path}").problems) == (number != revision.head())  # says so, and counts
    before = rows(path, "SELECT version_num FROM alembic_version")
    columns = [name for (name,) in rows(path, "SELECT name FROM pragma_table_info('run_summary')")]
    view = f"SELECT {', '.join(columns)} FROM run_summary ORDER BY id"
    samples = "SELECT count(*), sum(value_ms) FROM samples"
    was = rows(path, view), rows(path, samples)
    assert before == [(number,)] and len(was[0]) == 22
    _, now, copy = upgrade(f"sqlite:///{path}")
    assert now == revision.head() and (copy is not None) is (number != now)
    assert (rows(path, view), rows(path, samples)) == was  # no column has another meaning
    report = check(f"sqlite:///{path}")
    assert report.problems == [] and report.counts["cells"] == 24
    with open_store(f"sqlite:///{path}", create=False) as store:
        assert store.status("nightly").cells == {"done": 22, "planned": 2}
        assert store.run(1).samples and len(store.summary("outcome = ok")) > 3


def test_a_copy_is_one_file_that_can_be_read_where_nothing_may_be_written(tmp_path):
    url = f"sqlite:///{tmp_path}/bench.sqlite"
    with open_store(url) as store:
        fill(store)
        copy = backup(url, tmp_path / "published" / "runs.sqlite")
    assert copy.read_bytes()[18:20] == b"\x01\x01", "a rollback journal, no WAL"
    with open_store(f"sqlite:///{copy}", create=False) as store:
        assert store.rows(limit=1)
    assert [one.name for one in copy.parent.iterdir()] == ["runs.sqlite"]
    with open_store(f"sqlite:///{copy}"):
        assert copy.read_bytes()[18:20] == b"\x02\x02", "a campaign on it switches back"


def test_results_of_other_tools_go_with_their_table(tmp_path):
    """A program of old would take their campaign for one of its own without cells."""
    path = tmp_path / "bench.sqlite"
    shutil.copy(DATA / "revision-0003.sqlite", path)
    upgrade(f"sqlite:///{path}")
    with open_store(f"sqlite:///{path}") as store:
        assert len(store.foreign()) == 42 and len(store.campaigns()) == 2
        with store.engine.connect().execution_options(bench_writes=True) as connection, connection.begin():
            revision.downgrade(connection, "0002")
    assert rows(path, "SELECT name FROM campaigns") == [("nightly",)]
    upgrade(f"sqlite:///{path}")
    with open_store(f"sqlite:///{path}") as store:
        assert store.foreign() == [] and len(store.rows()) == 22
