"""What a log gets of a campaign: a line a run, a line a block, and a time that is told by what ran."""

import time

import pytest
from records import record, request

from bench.cli.progress import Progress
from bench.plan.cells import make_plan
from bench.plan.estimate import Forecast
from bench.store import open_store


@pytest.fixture
def cells(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as store:
        plan = make_plan([request(bits=8), request(bits=4)], 1, blocks=3)
        return store.plan_campaign("one", plan, settings={}).cells


def test_a_line_a_run_and_the_time_after_each_block(cells, capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Progress() as progress:
        progress.begin("one", "sqlite://", 6, cells)
        for cell in cells:
            now[0] += 10 if cell.request.bits == 8 else 20
            progress.done(record(cell.request), cell.position)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "campaign one: 6 cells, kept in sqlite://"  # nothing is known yet, and nothing said
    assert [line for line in lines if line.startswith("block")] == [
        "block 1 is done, about 60 s left", "block 2 is done, about 30 s left",
    ]  # fmt: skip
    assert sum(line.startswith("[") for line in lines) == 6 and lines[-1].startswith("[6/6]")


def test_a_resumed_campaign_counts_from_where_it_was(cells, capsys):
    forecast = Forecast([(cell.request, 120.0) for cell in cells])
    with Progress() as progress:
        progress.begin("one", "sqlite://", 6, cells[4:], forecast)
        progress.done(record(cells[4].request), 4)
    lines = capsys.readouterr().err.splitlines()
    assert "4 of them done before" in lines[0] and "about 4 min left" in lines[0]
    assert lines[1].startswith("[5/6]")


def test_the_time_runs_while_a_run_does(cells, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress()
    progress.begin("one", "sqlite://", 6, cells, Forecast([(cell.request, 60.0) for cell in cells]))
    one = cells[0].request
    assert "about 6 min left" in progress._left(one)
    now[0] = 59.0
    assert "about 5 min left" in progress._left(one)
    now[0] = 1000.0  # slower than ever: its share is used up, the others' is not
    assert "about 5 min left" in progress._left(one)
