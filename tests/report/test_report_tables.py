import pytest
from records import WORDS, fill, record, request

from bench.harness.outcome import Outcome
from bench.report import tables, words
from bench.report.board import Board, coverage
from bench.store import open_store


@pytest.fixture
def store():
    with open_store("sqlite://") as opened:
        yield opened


def test_the_support_matrix_keeps_every_cell(store):
    fill(store, leave=1)
    frame = tables.support_matrix(Board.load(store).arms)
    assert len(frame) == 6
    assert list(frame.columns) == [
        "model", "tokens", "browser", "platform", "options", "16-bit", "8-bit", "4-bit", "2-bit", "ran",
    ]  # fmt: skip
    webnn = frame[(frame["platform"] == "webnn") & frame["browser"].str.startswith("chrome")].iloc[0]
    assert list(webnn["16-bit":"ran"]) == ["ok", "ok", "fallback → 8", "fallback → 8", "4 of 4"]
    last = frame[(frame["platform"] == "webnn") & frame["browser"].str.startswith("webkit")].iloc[0]
    assert list(last["16-bit":"ran"]) == ["unsupported", "unsupported", "unsupported", "not run", "0 of 4"]


def test_coverage_counts_what_was_asked(store):
    fill(store, leave=1)
    arms = Board.load(store).arms
    assert coverage(arms) == (10, 24)
    counts = tables.outcome_counts(arms)
    assert sum(counts.values()) == 24
    assert counts["ok"] == 8 and counts["not run"] == 1 and list(counts)[-1] == "not run"


def test_several_blocks_are_counted_in_one_place(store):
    asked = [request(bits=4)] * 3
    campaign = store.create_campaign("blocks", asked, seed=1, settings={}, blocks=[0, 1, 2])
    for cell, outcome in zip(campaign.cells, (Outcome.OK, Outcome.OK, Outcome.TIMEOUT), strict=True):
        store.record(cell.id, record(outcome=outcome))
    frame = tables.support_matrix(Board.load(store).arms)
    assert list(frame["4-bit"]) == ["ok ×2, timeout ×1"] and list(frame["ran"]) == ["2 of 3"]


def test_the_last_attempt_speaks_and_earlier_ones_stay_listed(store):
    cell = store.create_campaign("again", [request()], seed=1, settings={}).cells[0]
    store.record(cell.id, record(outcome=Outcome.CRASHED))
    store.record(cell.id, record())
    board = Board.load(store)
    assert list(board.cells["outcome"]) == ["ok"]
    assert list(tables.failures(board.runs)[0]["outcome"]) == ["crashed"]
    assert coverage(board.arms) == (1, 1)


def test_builds_and_options_are_rows_of_their_own(store):
    asked = [
        request(),
        request(browser="chrome:/usr/bin/chromium"),
        request(mixed_precision=True),
        request(batch_size=4, scheme="asymmetric"),
    ]
    campaign = store.create_campaign("builds", asked, seed=1, settings={})
    for cell in campaign.cells:
        store.record(cell.id, record(cell.request))
    frame = tables.support_matrix(Board.load(store).arms)
    assert len(frame) == 4
    assert set(frame["options"]) == {"", "mixed", "batch 4, asymmetric"}


def test_the_comparison_keeps_failures_in_place_and_blank(store):
    fill(store)
    frame = tables.comparison(Board.load(store).arms)
    assert len(frame) == 24
    wrong = frame[frame["outcome"] == "incorrect"].iloc[0]
    assert wrong["latency ms"] == "" and wrong["n"] == ""
    fallen = frame[frame["bits"] == "4 → 8"].iloc[0]
    assert fallen["outcome"] == "fallback" and fallen["latency ms"].startswith("24.2 [")
    assert not frame.map(lambda value: str(value).lower() in ("nan", "none", "<na>")).any().any()


def test_failures_have_the_browser_s_words(store):
    fill(store)
    frame, left = tables.failures(Board.load(store).runs)
    assert left == 0
    assert len(frame) == 16
    assert f"TypeError: {WORDS}" in set(frame["words"])
    wrong = frame[frame["outcome"] == "incorrect"].iloc[0]
    assert wrong["words"] == "relative L2 distance to the reference: 0.70"


def test_nothing_at_all(store):
    board = Board.load(store)
    assert len(tables.support_matrix(board.arms)) == len(tables.comparison(board.arms)) == 0
    assert len(tables.failures(board.runs)[0]) == len(tables.environments(board.runs)) == 0
    assert coverage(board.arms) == (0, 0) and tables.outcome_counts(board.arms) == {}


def test_the_same_words_stand_once_with_their_number(store):
    asked = [request(bits=2)] * 5 + [request(bits=4)]
    for cell in store.create_campaign("many", asked, seed=1, settings={}, blocks=range(6)).cells:
        store.record(cell.id, record(cell.request, Outcome.CRASHED))
    frame, left = tables.failures(Board.load(store).runs)
    assert list(frame["run"]) == ["5", "6"] and list(frame["times"]) == ["5", "1"] and left == 0
    frame, left = tables.failures(Board.load(store).runs, most=1)
    assert list(frame["run"]) == ["6"] and left == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (0, "0"),
        (12.345, "12.3"),
        (1240.4, "1240"),
        (3.21e-7, "3.21e-07"),
        (-2.5, "-2.50"),
    ],
)
def test_numbers(value, text):
    assert words.number(value) == text


def test_foreign_words_cannot_command_a_terminal():
    assert words.visible("a\x1b[31mred\x07\nnext") == "a\\x1b[31mred\\x07\nnext"
