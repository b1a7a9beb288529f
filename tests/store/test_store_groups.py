"""Runs in groups: every run counted under its outcome, no number of what did not run as requested."""

import statistics
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import fill, record, request

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.report.board import Board, coverage
from bench.store import groups, open_store
from bench.store.reading import frame_of
from bench.store.since import moment

FIVE = "median(latency_ms_median),mean(latency_ms_median),min(latency_ms_median),std(latency_ms_median)"


@pytest.fixture(scope="module")
def store():
    with open_store("sqlite://") as opened:
        fill(opened)
        fill(opened, "second", leave=5)
        yield opened


def test_a_group_counts_everything_and_measures_what_ran_as_requested(store):
    rows = store.groups("browser, platform, bits", "median(latency_ms_median), max(weight_bytes), count(id)")
    assert tuple(rows[0])[:3] == ("browser", "requested_platform", "requested_bits")
    every = store.rows()
    for row in rows:
        mine = [
            run
            for run in every
            if (run["browser"], run["requested_platform"], run["requested_bits"])
            == (row["browser"], row["requested_platform"], row["requested_bits"])
        ]
        times = [run["latency_ms_median"] for run in mine if run["outcome"] == "ok"]
        assert row["median(latency_ms_median)"] == (statistics.median(times) if times else None)
        assert row["n(latency_ms_median)"] == len(times) and "n(id)" not in row
        assert row["runs"] == row["count(id)"] == len(mine)
        counted = Counter(run["outcome"] for run in mine)
        said = dict(reversed(part.split(" ", 1)) for part in row["outcomes"].split(", "))
        planned = int(said.pop("not run", 0))
        assert said == {name: str(count) for name, count in counted.items()}
        assert planned + len(mine) == 2
    assert sum(row["runs"] for row in rows) == len(every)
    assert any("fallback" in row["outcomes"] and row["median(latency_ms_median)"] is None for row in rows)


def test_a_fallback_has_its_number_in_a_group_of_its_own(store):
    rows = store.groups("bits,outcome", "median(latency_ms_median)", where="platform = webnn and bits = 4")
    [fallback] = [row for row in rows if row["outcome"] == "fallback"]
    assert fallback["median(latency_ms_median)"] == pytest.approx(22.0 * 1.1)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=12))
def test_functions_are_what_they_are_called(values):
    name = "latency_ms_median"
    frame = frame_of({"outcome": ["ok"] * len(values), name: values, "requested_bits": [4] * len(values)})
    wanted = groups.aggregates(FIVE + ",max(latency_ms_median),sum(latency_ms_median),distinct(bits)")
    [row] = groups.grouped(frame, [], wanted)
    assert row["median(latency_ms_median)"] == pytest.approx(statistics.median(values))
    assert row["mean(latency_ms_median)"] == pytest.approx(statistics.fmean(values))
    assert (row["min(latency_ms_median)"], row["max(latency_ms_median)"]) == (min(values), max(values))
    assert row["sum(latency_ms_median)"] == pytest.approx(sum(values))
    assert row["distinct(requested_bits)"] == 1 and row["runs"] == len(values)
    spread = row["std(latency_ms_median)"]
    assert spread is None if len(values) == 1 else spread == pytest.approx(statistics.stdev(values), abs=1e-6)


def test_one_whole_number_has_no_spread(store):
    [row] = store.groups(None, "std(weight_bytes),max(weight_bytes)", where="id = 1")
    assert row["std(weight_bytes)"] is None and row["max(weight_bytes)"] > 0


def test_whatever_is_asked_of_a_metric_is_asked_of_what_ran_as_requested(store):
    name = "latency_ms_median"
    asked = f"min({name}),first({name}),max({name}),last({name}),count({name}),distinct({name})"
    for row in store.groups("browser,platform,bits", asked):
        assert row[f"first({name})"] == row[f"min({name})"] and row[f"last({name})"] == row[f"max({name})"]
        if "fallback" in row["outcomes"]:
            assert row[f"first({name})"] is None and row[f"count({name})"] == row[f"distinct({name})"] == 0
    rows = store.groups("outcome", f"count({name}),last({name})", where="outcome = fallback")
    assert rows[0][f"count({name})"] == rows[0]["runs"] and rows[0][f"last({name})"] is not None


def test_the_same_on_every_database(any_url):
    with open_store(any_url) as store, open_store("sqlite://") as other:
        for one in (store, other):
            fill(one)
        by = ("platform,bits,outcome", FIVE + ",first(started_at),last(adapter)")
        assert store.groups(*by) == other.groups(*by)


def test_order_of_groups(store):
    rows = store.groups("bits", "median(latency_ms_median),count(id)", where="platform = webnn")
    labels = list(rows[0])
    up = groups.ordered(rows, "median(latency_ms_median)", labels)
    known = [row["median(latency_ms_median)"] for row in up]
    assert known[-2:] == [None, None] and known[:2] == sorted(known[:2])
    down = groups.ordered(rows, "-bits", labels)
    assert [row["requested_bits"] for row in down] == [16, 8, 4, 2]
    with pytest.raises(InputError, match="no such column"):
        groups.ordered(rows, "cosine", labels)


def test_nothing_is_no_group(store):
    assert store.groups("bits", where="id = 9999") == []


@pytest.mark.parametrize(
    ("by", "numbers", "says"),
    [
        ("bitz", None, "requested_bits|bits"),
        (",", None, "--group-by is empty"),
        ("bits", "latency_ms_median", r"function\(column\)"),
        ("bits", "mode(latency_ms_median)", "no such function; did you mean me"),
        ("bits", "median(browser)", "browser is not a number"),
        ("bits", "median(latency)", "latency_ms"),
        ("bits", " , ", "--agg is empty"),
        ("bits; drop table runs", None, "no column"),
    ],
)
def test_bad_groups_say_what_is_wrong(store, by, numbers, says):
    with pytest.raises(InputError, match=says):
        store.groups(by, numbers)


def test_since():
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert moment("30d", now) == "2026-10-25T12:00:00"
    assert moment(" 90M ", now) == "2026-11-24T10:30:00"
    assert moment("2w", now) == "2026-11-10T12:00:00"
    assert moment("2026-11-23") == "2026-11-23T00:00:00"
    assert moment("500000d", now) == "0657-12-11T12:00:00"  # as text before every later year
    assert moment("2026-11-23T03:00:00+02:00") == "2026-11-23T01:00:00"
    for text in ("yesterday", "", "30", "-1d", "999999w", "2026-13-01", "30 y"):
        with pytest.raises(InputError, match="--since"):
            moment(text, now)


def test_since_leaves_out_what_is_older(store):
    assert store.rows(since="2026-11-24") == [] and store.rows(since="2026-11-23") == store.rows()
    assert len(store.summary(since="2026-11-23T03:15:00")) == len(store.rows())
    assert len(store.rows(since="2026-11-23T03:15:01")) == 0


def test_since_leaves_planned_cells_in_the_denominator(any_url):
    with open_store(any_url) as store:
        fill(store, leave=5)
        [whole], [recent] = store.groups(None), store.groups(None, since="2026-11-23")
        assert recent["outcomes"] == whole["outcomes"] and "5 not run" in recent["outcomes"]
        assert coverage(Board.load(store, since="2026-11-23").arms) == coverage(Board.load(store).arms)
        assert store.groups(None, since="2999-01-01") == []


def test_failures_are_grouped_by_what_was_said():
    with open_store("sqlite://") as store:
        said = [
            "port 8001 refused after 3 s",
            "port 9 refused after 0.5 s",
            "type int2 refused",
            "type int4 refused",
        ]
        made = store.create_campaign(
            "c", [request()] * len(said), seed=0, settings={}, blocks=range(len(said))
        )
        for number, (cell, message) in enumerate(zip(made.cells, said, strict=True)):
            bad = record(cell.request, Outcome.ERROR, started_at=f"2026-11-23T03:15:0{number}.000+00:00")
            bad.error.message = message
            store.record(cell.id, bad)
        found = store.failures()
        assert [(row["count"], row["message"], row["run"]) for row in found] == [
            (2, "port 9 refused after 0.5 s", 2), (1, "type int2 refused", 3), (1, "type int4 refused", 4),
        ]  # fmt: skip
        assert found[0]["first_seen"] < found[0]["last_seen"] == "2026-11-23T03:15:01.000+00:00"
        assert found[0]["browsers"] == "chrome 2"


def test_the_newest_failure_began_last_in_whatever_order_they_were_recorded(any_url):
    with open_store(any_url) as store:
        made = store.create_campaign("c", [request()] * 3, seed=0, settings={}, blocks=range(3))
        for cell, day in zip(made.cells, (23, 24, 20), strict=True):
            failed = record(cell.request, Outcome.ERROR, started_at=f"2026-11-{day}T03:15:00.000+00:00")
            store.record(cell.id, failed)
        [found] = store.failures()
        assert (found["count"], found["last_seen"][:10], found["first_seen"][:10]) == (
            3,
            "2026-11-24",
            "2026-11-20",
        )
        assert found["run"] == 2


def test_failures_are_what_failed_and_with_all_what_did_not_run(store):
    failed, every = store.failures(), store.failures(every=True)
    counts = Counter(run["outcome"] for run in store.rows())
    assert sum(row["count"] for row in failed) == sum(counts[one.value] for one in Outcome if one.failed)
    assert sum(row["count"] for row in every) == sum(counts[one.value] for one in Outcome if not one.measured)
    assert [row["count"] for row in every] == sorted((row["count"] for row in every), reverse=True)
    assert store.failures(where="browser = chrome") == []
