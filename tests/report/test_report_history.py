"""Series over time, and what is named where a step begins."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from records import environment, record, request

from bench.harness.outcome import Outcome
from bench.report.history import NEEDED, as_csv, as_json, history, lines, steps_in_words, title
from bench.store import open_store

METRIC = "latency_ms_median"


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as opened:
        yield opened


def nights(store, count, *, update=None, slower=1.0, outcome=Outcome.OK, seed=3, **changes):
    """A run a night; from night `update` on another build, `slower` times as slow."""
    rng = np.random.default_rng(seed)
    ids = []
    for night in range(count):
        new = update is not None and night >= update
        asked = request(**changes)
        (cell,) = store.create_campaign(None, [asked], seed=1, settings={}).cells
        version = "154.0.1.0" if new else "153.0.8010.0"
        median = 20 * (slower if new else 1.0) * np.exp(0.02 * rng.standard_normal())
        ids.append(
            store.record(
                cell.id,
                record(
                    asked,
                    outcome,
                    float(median),
                    environment=environment("chrome", browser_version=version),
                    started_at=f"2026-{10 + night // 28:02}-{1 + night % 28:02}T03:00:00+00:00",
                ),
            )
        )
    return ids


def followed(store, **options):
    return history(store.side(None, [*NEEDED, METRIC]), METRIC, **options)


def test_a_step_names_run_and_build(store):
    ids = nights(store, 40, update=25, slower=1.15)
    nights(store, 40, bits=16, seed=4)
    first, second = followed(store)
    assert [one.arm["requested_bits"] for one in (first, second)] == [16, 4]
    assert first.changes == []
    (change,) = second.changes
    assert abs(ids.index(change.run) - 25) <= 1
    assert change.changed == {"browser": ("153.0.8010.0", "154.0.1.0")}
    assert change.step.low <= 1.15 <= change.step.high
    assert second.level == pytest.approx(23, rel=0.03)
    ((name, said),) = steps_in_words([first, second])
    assert name.startswith("4-bit") and "browser 153.0.8010.0 -> 154.0.1.0" in said[0]


def test_a_step_without_a_cause_says_so(store):
    nights(store, 12)
    nights(store, 12, seed=5)
    rows = [
        {**row, METRIC: row[METRIC] * (1.3 if row["id"] > 12 else 1.0), "started_at": f"{row['id']:04}"}
        for row in store.side(None, [*NEEDED, METRIC])
    ]
    ((_, said),) = steps_in_words(history(rows, METRIC))
    assert "same kernels, browser, harness and system" in said[0]


def test_hosts_and_weights_make_series_of_their_own(store):
    nights(store, 3)
    rows = store.side(None, [*NEEDED, METRIC])
    moved = [{**row, "cpu": "Another CPU"} for row in rows]
    retrained = [{**row, "model_sha256": "ef" * 32} for row in rows]
    series = history([*rows, *moved, *retrained], METRIC)
    assert len(series) == 3 and [len(one.runs) for one in series] == [3, 3, 3]
    head, body = lines(series, METRIC)
    assert "processor" in head and all("all-MiniLM-L6-v2" in row[0] for row in body)
    assert body[0][-1] == "too few runs"


def test_only_what_ran_as_asked_is_a_point(store):
    nights(store, 5)
    nights(store, 5, outcome=Outcome.FALLBACK)
    nights(store, 5, outcome=Outcome.TIMEOUT)
    store.create_campaign("waiting", [request()], seed=1, settings={})
    (series,) = followed(store)
    assert len(series.runs) == 5
    assert history([], METRIC) == []


def test_outliers_are_counted_and_stay(store):
    nights(store, 30)
    rows = store.side(None, [*NEEDED, METRIC])
    rows[7][METRIC] *= 9
    (series,) = history(rows, METRIC)
    assert series.outliers == 1 and len(series.values) == 30 and series.changes == []


def test_json_and_csv_have_every_point(store):
    nights(store, 40, update=25, slower=1.2)
    series = followed(store)
    data = json.loads(as_json(series, METRIC))
    (one,) = data["series"]
    assert len(one["points"]) == 40 and one["steps"][0]["changed"]["browser"][1] == "154.0.1.0"
    table = list(csv.DictReader(io.StringIO(as_csv(series))))
    assert len(table) == 40 and sum(row["step_ratio"] != "" for row in table) == 1
    assert title(series, METRIC)[0] == METRIC


def test_the_least_step_is_a_choice(store):
    nights(store, 40, update=20, slower=1.1)
    assert len(followed(store)[0].changes) == 1
    assert followed(store, least=0.2)[0].changes == []
