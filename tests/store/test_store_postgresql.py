"""PostgreSQL for real: the same schema, the same rows, the same answers as SQLite."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from records import fill

from bench.errors import StoreError
from bench.store import check, open_store, revision, upgrade
from bench.store.schema import SUMMARY, Base


def test_the_schema_is_what_the_models_say(postgres_url):
    with open_store(postgres_url) as store, store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        columns = [column["name"] for column in sa.inspect(connection).get_columns("run_summary")]
        assert columns == list(SUMMARY.c.keys())


def test_rows_are_those_of_sqlite(postgres_url, tmp_path):
    changing = {"id", "uuid", "campaign_id", "cell_id", "started_at", "finished_at"}
    found = []
    for url in (postgres_url, f"sqlite:///{tmp_path}/bench.sqlite"):
        with open_store(url) as store:
            fill(store, leave=2)
            rows = store.rows(sort="requested_browser,-requested_bits,requested_platform")
            found.append([{key: row[key] for key in row.keys() - changing} for row in rows])
            assert len(store.summary("bits = 4 and outcome in (ok, fallback)")) == 2
            assert len(store.rows('error_message ~ "not a valid enum"')) > 3
            assert len(store.table(["id", "outcome"])) == 24
            run = store.run(int(store.rows()[0]["id"]))
            assert run.samples and run.environment.adapter
            assert store.status("nightly").cells == {"done": 22, "planned": 2}
    assert found[0] == found[1]


def test_up_down_and_up_again_with_rows(postgres_url):
    with open_store(postgres_url) as store:
        fill(store)
        before = [(row["uuid"], row["outcome"], row["latency_ms_median"]) for row in store.rows()]
        with store.engine.connect() as connection, connection.begin():
            revision.downgrade(connection, "0001")
    with pytest.raises(StoreError, match="bench db upgrade"):
        open_store(postgres_url)
    assert upgrade(postgres_url) == ("0001", revision.head(), None)
    with open_store(postgres_url, create=False) as store:
        assert [(row["uuid"], row["outcome"], row["latency_ms_median"]) for row in store.rows()] == before
        assert set(store.status("nightly").cells) == {"done", "planned"}
    assert check(postgres_url).problems == []


def test_the_closed_vocabularies_are_held_there_too(postgres_url):
    with open_store(postgres_url) as store:
        fill(store)
        for statement in (
            "UPDATE runs SET outcome = 'fine'",
            "UPDATE cells SET state = 'lost'",
            "UPDATE cells SET role = 'star'",
            "UPDATE runs SET latency_ms_median = 1 WHERE outcome = 'incorrect'",
        ):
            with store.engine.connect() as connection, pytest.raises(sa.exc.IntegrityError):
                connection.exec_driver_sql(statement)


def test_a_server_that_goes_away_is_one_line(postgres_url):
    with open_store(postgres_url) as store:
        fill(store)
    with pytest.raises(StoreError, match="check the server") as caught:
        open_store(postgres_url.replace("?host=", "?host=/nowhere"))
    assert "\n" not in str(caught.value)
