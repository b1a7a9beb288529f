"""A campaign of operators that was stopped goes on: what was measured stays, the rest is measured once."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.harness import kernel_plan
from bench.store import open_store

from .conftest import require, typed

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
ASKED = [
    *("--layer-norm", "5,24", "--rms-norm", "5,24", "--matmul", "5,24,64", "--bits", "4", "--bits", "8"),
    *("--engine", "native", "--tuning", "{}", "--tuning", '{"ROW_KERNEL": 0}', "--rounds", "12"),
    *("--blocks", "2", "--timeout", "90", "--name", "k"),
]
CELLS = 16  # four operators, two variants, two blocks


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch, own_processes):
    require("chrome")
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.delenv("BENCH_DB", raising=False)


def start(*arguments):
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def cells():
    """The state of each, in order; none before the plan is written."""
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect("file:results/bench.sqlite?mode=ro", uri=True)) as read,
    ):
        return [state for (state,) in read.execute("SELECT state FROM cells ORDER BY position")]
    return []


def wait_for(process, done):
    until = time.monotonic() + 120
    while cells().count("done") < done:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, cells()
        time.sleep(0.02)


def stopped(number, done):
    """`bench kernels` that was sent a signal after so many cells; its words."""
    running = start("kernels", *ASKED)
    try:
        wait_for(running, done)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    return running.returncode, out, err


def rows():
    with open_store(create=False) as store:
        return store.rows()


@pytest.mark.parametrize(
    ("number", "done"),
    [(signal.SIGINT, 2), (signal.SIGKILL, 9)],
    ids=["Ctrl-C in the first block", "killed in the second"],
)
def test_what_is_left_is_measured_once(number, done, own_processes, tmp_path):
    code, out, err = stopped(number, done)
    before = [row for row in rows() if row["outcome"] != "interrupted"]
    assert done <= len(before) < CELLS and "Traceback" not in err
    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL)
    if number == signal.SIGINT:
        assert "go on: bench campaign resume k" in out and not own_processes()
        assert "go on: bench campaign resume k" in typed("campaign", "status", "k").stdout
    went_on = typed("campaign", "resume", "k")
    assert went_on.returncode == 0, went_on.stderr
    assert cells() == ["done"] * CELLS and not own_processes()
    assert not list((tmp_path / "tmp").iterdir())
    found = rows()
    ended = [row for row in found if row["outcome"] != "interrupted"]
    assert {row["outcome"] for row in ended} == {"ok"}
    assert max(Counter(row["cell_id"] for row in ended).values()) == 1 and len(ended) == CELLS
    # What was stored before is as it was.
    assert [row for row in ended if row["id"] <= before[-1]["id"]] == before
    assert went_on.stdout.count(" ok ") == CELLS
    # A start of the browser a block: of the runs that ended after the stop, and none for a finished block.
    later = [row for row in ended if row["id"] > before[-1]["id"]]
    assert len({row["started_at"] for row in later}) == len({row["block"] for row in later})
    assert {row["rounds"] for row in timed()} == {12}
    again = typed("campaign", "resume", "k")
    assert again.returncode == 0 and "16 done" in again.stdout and len(rows()) == len(found)


def timed():
    """Constants and rounds of each measured run, and that they are its cell's."""
    with open_store(create=False) as store:
        campaign = store.campaign("k")
        work, blocks = kernel_plan.restored(campaign)
        asked = dict(zip((cell.id for cell in campaign.cells), kernel_plan.places(work, blocks), strict=True))
        found = []
        for row in store.rows("outcome = ok"):
            evidence = store.run(row["id"]).evidence
            variant = work.variants[asked[row["cell_id"]][2]]
            assert evidence["variant"]["tuning"] == dict(variant.tuning)
            found.append({"rounds": len(evidence["rounds"]["wall_ms"])})
    return found


def test_two_who_go_on_measure_nothing_twice(monkeypatch):
    monkeypatch.setenv("BENCH_ALONE", "0")  # side by side: a lease keeps them apart, as on two machines
    stopped(signal.SIGKILL, 2)
    both = [start("campaign", "resume", "k") for _ in range(2)]
    said = [one.communicate(timeout=200) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    ended = Counter(row["cell_id"] for row in rows() if row["outcome"] == "ok")
    assert len(ended) == CELLS and set(ended.values()) == {1}


def test_one_that_was_cancelled_ends_and_does_not_go_on():
    running = start("kernels", *ASKED, "--rounds", "200")  # so that it is not done before it is cancelled
    try:
        wait_for(running, 2)
        status = json.loads(typed("campaign", "status", "k", "--json").stdout)
        cancelled = typed("campaign", "cancel", "k")
        running.communicate(timeout=60)
    finally:
        running.kill()
    assert status["state"] == "running" and sum(status["cells"].values()) == CELLS
    assert cancelled.returncode == 0, cancelled.stderr
    assert cells().count("skipped") >= CELLS - 8
    assert set(cells()) == {"done", "skipped"} and running.returncode == 0
    listed = json.loads(typed("campaign", "list", "--json").stdout)
    assert [one["state"] for one in listed] == ["cancelled"]
    refused = typed("campaign", "resume", "k")
    assert refused.returncode == 2 and "was cancelled" in refused.stderr


@pytest.mark.parametrize("change", ["older", "other"])
def test_one_that_does_not_say_enough_is_refused_in_a_line(change):
    stopped(signal.SIGINT, 2)
    with contextlib.closing(sqlite3.connect("results/bench.sqlite")) as database:
        [(text,)] = database.execute("SELECT settings FROM campaigns").fetchall()
        settings = json.loads(text)
        if change == "older":
            del settings["kernels"]["forced"]
        else:
            settings["kernels"]["forced"].pop()
        database.execute("UPDATE campaigns SET settings = ?", (json.dumps(settings),))
        database.commit()
    known = rows()
    refused = typed("campaign", "resume", "k")
    assert (refused.returncode, refused.stdout) == (2, "") and rows() == known
    assert refused.stderr.startswith("error: ") and refused.stderr.count("\n") == 1
    assert "type bench kernels again, with another --name" in refused.stderr
