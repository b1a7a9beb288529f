import math
import sqlite3
import threading

import pandas as pd
import pytest
from records import WORDS, arms, environment, fill, latency, record, request

from bench.errors import InputError, StoreError
from bench.harness.outcome import Outcome
from bench.record import Metrics
from bench.store import CampaignState, open_store, writing


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as opened:
        yield opened


def test_the_plan_is_written_before_anything_runs(store):
    asked = [row[0] for row in arms()]
    campaign = store.create_campaign(
        None, asked, seed=7, settings={"a": math.nan}, blocks=[0] * 12 + [1] * 12
    )
    assert campaign.name.startswith("run-20")
    assert [cell.request for cell in campaign.cells] == asked
    assert [cell.position for cell in campaign.cells] == list(range(24))
    assert campaign.cells[-1].block == 1
    assert store.campaign(campaign.name) == store.campaign(campaign.id) == campaign
    assert store.campaign(str(campaign.id)) == campaign
    assert len(store.cells(campaign=campaign.id)) == 24
    assert store.rows() == []


def test_campaign_names(store):
    store.create_campaign("nightly", [request()], seed=1, settings={})
    for name, says in {"nightly": "already", " ": "needs a name"}.items():
        with pytest.raises(InputError, match=says):
            store.create_campaign(name, [request()], seed=1, settings={})
    with pytest.raises(InputError, match="no cells"):
        store.create_campaign("empty", [], seed=1, settings={})
    with pytest.raises(InputError, match="did you mean nightly"):
        store.campaign("nihgtly")
    with pytest.raises(InputError, match="no campaign 99"):
        store.rows(campaign=99)
    with pytest.raises(InputError, match="no campaign number 99"):
        store.set_state(99, CampaignState.DONE)
    store.set_state(1, CampaignState.DONE)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_run_comes_back_as_it_was(store, outcome):
    cell = store.create_campaign("one", [request()], seed=1, settings={}).cells[0]
    written = record(outcome=outcome)
    run_id = store.record(cell.id, written)
    read = store.run(run_id)
    assert read == written.model_copy(update={"id": run_id})
    assert read.samples == written.samples == store.samples(run_id)


def test_a_run_is_written_once_and_attempts_count(store):
    first, second = store.create_campaign("two", [request(), request(bits=8)], seed=1, settings={}).cells
    one = record(outcome=Outcome.INTERRUPTED)
    run_id = store.record(first.id, one)
    assert store.record(first.id, one) == run_id
    store.record(first.id, record())
    store.record(second.id, record(request(bits=8)))
    assert [(row["cell_id"], row["attempt"]) for row in store.rows()] == [
        (first.id, 1),
        (first.id, 2),
        (second.id, 1),
    ]


def test_environments_and_models_are_kept_once(store):
    cells = store.create_campaign("env", [request()], seed=1, settings={}).cells
    for version in ("1", "1", "2"):
        store.record(cells[0].id, record(environment=environment(browser_version=version)))
    with store.engine.connect() as connection:
        count = {
            table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            for table in ("environments", "models")
        }
    assert count == {"environments": 2, "models": 1}


def test_a_wrong_result_has_no_speed(store):
    cell = store.create_campaign("wrong", [request()], seed=1, settings={}).cells[0]
    wrong = record(outcome=Outcome.INCORRECT, metrics=Metrics(latency_ms=latency(), gpu_ms=3.0, load_ms=4.0))
    read = store.run(store.record(cell.id, wrong))
    assert read.metrics == Metrics(load_ms=4.0)
    assert read.samples == wrong.samples


def test_what_json_and_databases_cannot_hold(store):
    cell = store.create_campaign("odd", [request()], seed=1, settings={}).cells[0]
    odd = record(evidence={"nan": math.nan, "list": [math.inf, "a\0b", "\ud800"], "deep": {"x": (1, None)}})
    read = store.run(store.record(cell.id, odd))
    assert read.evidence == {"nan": None, "list": [None, "a\\x00b", "\\ud800"], "deep": {"x": [1, None]}}


def test_a_failure_half_way_writes_nothing(store, monkeypatch):
    cell = store.create_campaign("half", [request()], seed=1, settings={}).cells[0]
    monkeypatch.setattr(writing, "_run", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.record(cell.id, record())
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM environments").scalar_one() == 0


def test_records_that_belong_elsewhere(store):
    cell = store.create_campaign("here", [request()], seed=1, settings={}).cells[0]
    with pytest.raises(InputError, match="no cell 77"):
        store.record(77, record())
    with pytest.raises(ValueError, match="asked for"):
        store.record(cell.id, record(request(bits=2)))


def test_waits_for_another_writer_and_says_when_it_cannot(store, tmp_path, monkeypatch):
    cell = store.create_campaign("busy", [request()], seed=1, settings={}).cells[0]
    other = sqlite3.connect(tmp_path / "bench.sqlite", check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
    timer.start()
    assert store.record(cell.id, record()) == 1
    timer.join()
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(writing, "ATTEMPTS", 1)
    store.engine.dispose()
    monkeypatch.setattr("bench.store.address.BUSY_SECONDS", 0.05)
    with pytest.raises(StoreError, match="locked"):
        store.record(cell.id, record())
    other.close()


def test_parallel_writers_lose_nothing(store):
    campaign = store.create_campaign(
        "crowd", [request(bits=bits) for bits in (16, 8, 4, 2)], seed=1, settings={}
    )
    failures: list[Exception] = []

    def work(index: int) -> None:
        try:
            for _ in range(5):
                cell = campaign.cells[index]
                store.record(cell.id, record(cell.request))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.rows()) == 20


def test_no_such_run(store):
    with pytest.raises(InputError, match="no runs yet"):
        store.run(1)
    fill(store)
    for number in (0, 25, -1, 10**30):
        with pytest.raises(InputError, match="there are 1 to 24"):
            store.run(number)
    assert store.samples(999) == []


def test_summary(store):
    fill(store)
    frame = store.summary()
    assert len(frame) == 24
    assert str(frame.dtypes["effective_bits"]) == "Int64"
    row = frame[(frame["browser"] == "chrome") & (frame["requested_platform"] == "webnn")].iloc[3]
    assert (row["requested_bits"], row["effective_bits"], row["outcome"]) == (2, 8, "fallback")
    assert row["adapter"] == "SwiftShader Device (Subzero)" and row["adapter_is_fallback"]
    failed = frame[frame["outcome"] == "error"].iloc[0]
    assert failed["error_message"] == WORDS
    assert pd.isna(failed["latency_ms_median"]) and pd.isna(failed["effective_bits"])


def test_an_empty_summary_has_all_columns(store):
    frame = store.summary()
    assert len(frame) == 0 and "latency_ms_median" in frame.columns


def test_sort_and_limit(store):
    fill(store)
    best = store.rows("outcome = ok", sort="latency_ms_median", limit=2)
    assert [row["latency_ms_median"] for row in best] == sorted(row["latency_ms_median"] for row in best)
    worst = store.rows(sort="-latency_ms_median, id")
    assert worst[0]["latency_ms_median"] is not None and worst[-1]["latency_ms_median"] is None
    with pytest.raises(InputError, match="latency_ms_median"):
        store.rows(sort="latency_ms_medain")
    with pytest.raises(InputError, match="--limit 0"):
        store.rows(limit=0)
