"""A side of a comparison: campaign or filter, runs and planned cells that never ran."""

from __future__ import annotations

import pytest
from records import fill, request

from bench.errors import InputError
from bench.store import open_store

COLUMNS = ("id", "cell_id", "outcome", "requested_bits", "browser", "campaign", "latency_ms_median")


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as opened:
        fill(opened, leave=4)
        opened.create_campaign("bits=4", [request(bits=2)], seed=1, settings={})
        yield opened


def test_runs_and_cells_that_never_ran(store):
    rows = store.side("nightly", COLUMNS)
    assert len(rows) == 24 and [row["id"] is None for row in rows].count(True) == 4
    assert all(tuple(row) == COLUMNS for row in rows)
    blank = rows[-1]
    assert blank["outcome"] is None and blank["latency_ms_median"] is None and blank["browser"] == "webkitgtk"
    assert {row["cell_id"] for row in rows} == {row["cell_id"] for row in store.cells(campaign="nightly")}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 24),
        ("bits = 4", 6),
        ("bits = 4 and outcome is null", 1),
        ("requested_browser in (webkitgtk)", 8),
        ("latency_ms_median < 1e9", 10),
        ("campaign = nightly", 24),
        (None, 25),
        ("bits=4", 1),  # a campaign of that very name
    ],
)
def test_what_a_side_names(store, text, count):
    rows = store.side(text, COLUMNS)
    assert len(rows) == count
    if text == "bits=4":
        assert rows[0]["campaign"] == "bits=4"


def test_within_a_campaign_a_side_is_a_filter(store):
    assert len(store.side("bits=4", COLUMNS, campaign="nightly")) == 6
    assert len(store.side("bits=4", COLUMNS, where="browser=chrome", campaign="nightly")) == 2
    with pytest.raises(InputError, match="'nightly' within a campaign is not a side"):
        store.side("nightly", COLUMNS, campaign="nightly")


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("nigthly", None, "did you mean nightly.*or write a filter such as bits=4"),
        ("", None, "no campaign ''"),
        ("bits =", None, "at its end"),
        ("bits = 4", "nothing = 3", "no column 'nothing'"),
        ("model = 'x' or 1=1", None, "cannot read"),
    ],
)
def test_what_is_no_side(store, text, where, says):
    with pytest.raises(InputError, match=says) as caught:
        store.side(text, COLUMNS, where=where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("where", "campaign"), [(None, None), ("bits = 4", None), (None, "nightly")])
def test_a_table_is_the_same_rows_in_columns(store, where, campaign):
    frame = store.table(COLUMNS, where, campaign=campaign)
    rows = store.side(None, COLUMNS, where=where, campaign=campaign)
    plain = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    assert plain == rows and len(rows) > 5
    whole = store.summary()
    assert all(frame[name].dtype == whole[name].dtype for name in COLUMNS)


def test_a_table_of_nothing_has_its_columns(store):
    frame = store.table(COLUMNS, "id = 999")
    assert list(frame.columns) == list(COLUMNS) and not len(frame) and str(frame["id"].dtype) == "Int64"
    with pytest.raises(InputError, match="outcome"):
        store.table(["outcom"])
    with pytest.raises(InputError, match="nightly"):
        store.table(COLUMNS, campaign="nigtly")
