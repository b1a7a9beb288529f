import io
import sqlite3

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from records import fill
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from bench.harness.outcome import Outcome
from bench.metrics import METRICS
from bench.plan.request import Request
from bench.record import Effective, Environment, ErrorInfo, ModelInfo
from bench.store import open_store, revision
from bench.store.schema import SUMMARY, Base, CellRow, EnvironmentRow, RunRow


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/bench.sqlite"


def test_models_are_what_the_migrations_make(url):
    with open_store(url) as store, store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_view_has_the_columns_of_the_registry(url):
    with open_store(url) as store:
        found = [column["name"] for column in sa.inspect(store.engine).get_columns("run_summary")]
    assert found == list(SUMMARY.c.keys())
    assert {metric.name for metric in METRICS} <= set(found)
    assert {f"requested_{name}" for name in Request.model_fields} <= set(found)
    assert {f"effective_{name}" for name in Effective.model_fields} <= set(found)
    assert {f"error_{name}" for name in ErrorInfo.model_fields} <= set(found)


def test_every_field_of_the_record_has_a_column():
    cells, runs = set(CellRow.__table__.c.keys()), set(RunRow.__table__.c.keys())
    assert {f"requested_{name}" for name in Request.model_fields} <= cells
    assert {f"effective_{name}" for name in Effective.model_fields} <= runs
    assert {f"error_{name}" for name in ErrorInfo.model_fields} <= runs
    plain = set(EnvironmentRow.__table__.c.keys())
    assert set(Environment.model_fields) - {"flags", "adapter", "webnn"} <= plain
    assert set(ModelInfo.model_fields) == {"name", "family", "parameters", "weights", "sha256"}


def test_up_down_and_up_again(url):
    with open_store(url) as store:
        fill(store)
        with store.engine.connect().execution_options(bench_writes=True) as connection:
            with connection.begin():
                revision.downgrade(connection, "base")
            with connection.begin():
                assert revision.state(connection) is revision.State.EMPTY
            with connection.begin():
                revision.upgrade_to_head(connection)
            with connection.begin():
                assert revision.state(connection) is revision.State.CURRENT
                assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert store.rows() == []


def test_a_migration_that_fails_leaves_nothing(url, monkeypatch):
    from alembic import op

    monkeypatch.setattr(op, "create_index", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_store(url)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
        assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    raw.close()


def test_the_database_itself_refuses_what_cannot_be(url):
    with open_store(url) as store:
        fill(store)
        refused = [
            "UPDATE runs SET outcome = 'fine'",
            "UPDATE runs SET latency_ms_median = 1 WHERE outcome = 'incorrect'",
            "UPDATE runs SET cell_id = 999",
            "DELETE FROM cells",
        ]
        for statement in refused:
            with (
                store.engine.connect() as connection,
                pytest.raises(sa.exc.IntegrityError),
                connection.begin(),
            ):
                connection.exec_driver_sql(statement)


def test_the_check_holds_the_closed_vocabulary(url):
    with open_store(url) as store, store.engine.connect() as connection:
        sql = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'runs'").scalar_one()
    assert all(f"'{outcome.value}'" in sql for outcome in Outcome)


def test_samples_are_without_rowid_and_sqlite_is_set_up(url):
    with open_store(url) as store, store.engine.connect() as connection:
        sql = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'samples'").scalar_one()
        assert "WITHOUT ROWID" in sql
        for pragma, value in {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "busy_timeout": 5000,
        }.items():
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value


def test_the_tables_are_plain_enough_for_postgresql():
    for table in Base.metadata.sorted_tables:
        sql = str(CreateTable(table).compile(dialect=postgresql.dialect()))
        assert "ROWID" not in sql and "DATETIME" not in sql


def test_the_migration_compiles_for_postgresql():
    text = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": text}
    )
    first = ScriptDirectory.from_config(revision.config()).get_revision("0001").module
    with Operations.context(context):
        first.upgrade()
        first.downgrade()
    sql = text.getvalue()
    assert sql.count("CREATE TABLE") == 6 and sql.count("DROP TABLE") == 6
    assert "CREATE VIEW run_summary" in sql and "ROWID" not in sql and "DATETIME" not in sql
    assert "weight_bytes BIGINT" in sql and "latency_ms_median DOUBLE PRECISION" in sql
