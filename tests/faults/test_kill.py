"""`kill -9` of the worker at random instants and in each phase: nothing finished is lost, nothing runs twice.

The cheap form asks for Safari, whose cells end at once here, so that nearly all the time goes into planning,
leasing, recording and resuming, which is where something could be lost; the other form kills it in each stage
of a real browser.
What was measured is printed: `pytest -s tests/faults/test_kill.py -m ""`.
"""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from left import OURS, left_behind

from bench.browsers import BROWSERS
from bench.harness.outcome import Stage
from bench.settings import load_settings
from bench.store import CampaignState, open_store

ROOT = Path(__file__).resolve().parents[2]
LONG = pytest.mark.long
DATABASE = "results/bench.sqlite"
CHEAP = """\
name = "nightly"
[matrix]
model = ["bert-tiny"]
platform = ["webgpu", "webnn"]
browser = ["safari"]
bits = [16, 8, 4, 2]
sequence_length = [16]
[run]
blocks = {blocks}
seed = 7
"""
REAL = """\
name = "nightly"
[matrix]
model = ["bert-tiny"]
platform = ["webgpu"]
browser = ["chrome"]
bits = [8, 4]
sequence_length = [8]
[run]
blocks = {blocks}
seed = 3
iterations = 3
"""
# Runs a command of ours, but kills itself at the n-th time that it comes to a place.
AT_A_PLACE = """\
import os, signal, sys
from bench.cli import main
from bench.harness import campaign
from bench.store import store, writing
place, left = sys.argv[1], int(sys.argv[2])
def strike():
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
def around(owner, name, before, after):
    original = getattr(owner, name)
    def wrapped(*args, **kwargs):
        if place == before: strike()
        result = original(*args, **kwargs)
        if place == after: strike()
        return result
    setattr(owner, name, wrapped)
around(store.Store, "claim", "before the lease", "after the lease")
around(campaign._Work, "_run", "before the run", "after the run")
around(writing, "_insert", None, "inside the transaction")
around(store.Store, "record", "before the record", "after the record")
around(store.Store, "settle", "before the end", "after the end")
say = campaign._Work._run
def staged(self, lease, *rest):
    original = self.watching.say
    def told(request, position, words):
        if words.startswith(place): strike()
        original(request, position, words)
    object.__setattr__(self.watching, "say", told)
    try:
        return say(self, lease, *rest)
    finally:
        object.__setattr__(self.watching, "say", original)
campaign._Work._run = staged
sys.exit(main(sys.argv[3:]))
"""
PLACES = [
    "before the lease", "after the lease", "before the run", "after the run", "inside the transaction",
    "before the record", "after the record", "before the end", "after the end",
]  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("BENCH_DB", "BENCH_SEQUENCE_LENGTH", "BENCH_ITERATIONS", "BENCH_PORT", "BENCH_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv(OURS, str(tmp_path))
    (tmp_path / "at.py").write_text(AT_A_PLACE)
    return tmp_path


def planned():
    """Whether the plan is in the database: then `resume` goes on, else `run` begins."""
    if not Path(DATABASE).exists():
        return False
    with looked_at() as raw:
        try:
            return raw.execute("SELECT count(*) FROM campaigns").fetchone() == (1,)
        except sqlite3.OperationalError:
            return False


def go_on(at=None):
    """Start the campaign, or resume it."""
    return start(*(("resume", "nightly") if planned() else ("run", "nightly.toml")), at=at)


def start(*arguments, at=None):
    program = ["-m", "bench"] if at is None else ["at.py", at[0], str(at[1])]
    command = [sys.executable, *program, "campaign", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finished():
    """Cells with a finished run, and the runs' own names; [] before there is a database."""
    if not Path(DATABASE).exists():
        return []
    with looked_at() as raw:
        try:
            return raw.execute(
                "SELECT uuid, cell_id FROM runs WHERE outcome <> 'interrupted' ORDER BY id"
            ).fetchall()
        except sqlite3.OperationalError:  # killed before its tables were made
            return []


def leased():
    """When a cell was last taken in hand."""
    if not Path(DATABASE).exists():
        return None
    with looked_at() as raw:
        try:
            return raw.execute("SELECT max(leased_at), (SELECT count(*) FROM runs) FROM cells").fetchone()
        except sqlite3.OperationalError:
            return None


def clear():
    """Remove the database with its log: another one's log would be taken for its own."""
    for path in Path("results").glob("bench.sqlite*"):
        path.unlink()


def looked_at():
    """A connection for one look; it is closed, not only its transaction ended."""
    return contextlib.closing(sqlite3.connect(DATABASE, timeout=30))


class Ledger:
    """Holds every finished run that was ever seen against what is there now."""

    def __init__(self):
        self.seen = set()
        self.kills = 0
        self.resumed = []

    def look(self):
        self.kills += 1
        rows = finished()
        assert self.seen <= set(rows), "a finished run was lost"
        cells = [cell for _, cell in rows]
        assert len(cells) == len(set(cells)), "a cell ran twice"
        self.seen = set(rows)
        return len(rows)

    def end(self, cells):
        """Resume to the end, and look at everything."""
        begun = time.monotonic()
        before = leased()
        process = go_on()
        while leased() == before and process.poll() is None:
            time.sleep(0.02)
        self.resumed.append(time.monotonic() - begun)
        code = process.wait(timeout=1800)
        with looked_at() as raw:
            failed = raw.execute("SELECT outcome, error_stage, error_message FROM runs").fetchall()
        assert code in (0, 2, 3), failed
        self.look()
        assert len(self.seen) == cells
        with open_store(create=False) as store:
            campaign = store.campaign("nightly")
            assert campaign.plan.hash == campaign.plan_hash
            assert store.status("nightly").state is CampaignState.DONE
            assert store.status("nightly").leases == []
        with looked_at() as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        print(
            f"\n{self.kills - 1} kills, {len(self.seen)} finished runs, resumed in {self.resumed[-1]:.2f} s"
        )
        assert self.resumed[-1] < 5 * patience()


def patience():
    """A loaded machine is slower: the load a core, at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


HUNDREDS = [pytest.param(100, n, marks=[LONG, pytest.mark.timeout(3600)]) for n in range(10)]


# The short form is test_killed_at_any_instant of tests/cli.
@pytest.mark.parametrize(("kills", "seed"), HUNDREDS)
def test_at_random_instants(place, kills, seed):
    blocks = 10 if kills < 100 else 100
    (place / "nightly.toml").write_text(CHEAP.format(blocks=blocks))
    rng, ledger = random.Random(seed), Ledger()
    begun, process = time.monotonic(), go_on()
    while not finished():
        assert time.monotonic() - begun < 120 and process.poll() is None
        time.sleep(0.01)
    start_up = time.monotonic() - begun
    process.kill()
    process.wait()
    while ledger.kills < kills:
        process = go_on()
        # As often while it starts as when it works.
        time.sleep(rng.uniform(0.05, 2 * start_up))
        early = process.poll()
        process.kill()
        process.wait()
        ledger.look()
        if early == 3:  # all is done: the same again from the start
            ledger.end(9 * blocks)
            clear()
            ledger.seen = set()
    ledger.end(9 * blocks)


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("kills", [1, pytest.param(50, marks=[LONG, pytest.mark.timeout(3600)])])
def test_in_each_phase(place, at, kills):
    if kills == 1 and at not in ("after the lease", "inside the transaction", "after the record"):
        pytest.skip("the long form kills in every phase")
    (place / "nightly.toml").write_text(CHEAP.format(blocks=2))
    rng, ledger = random.Random(at), Ledger()
    process = go_on(at=(at, 0 if "end" in at else rng.randrange(3, 12)))
    assert process.wait(timeout=120) == -signal.SIGKILL
    ledger.look()
    for _ in range(kills - 1):
        if len(ledger.seen) == 18:  # done: the same again from the start
            ledger.end(18)
            clear()
            ledger.seen = set()
        process = go_on(at=(at, 0 if "end" in at else rng.randrange(3)))
        process.wait(timeout=120)
        ledger.look()
    ledger.end(18)


@pytest.mark.browser
@pytest.mark.parametrize("stage", [stage.value for stage in Stage])
@pytest.mark.long  # the everyday form is tests/browser/test_campaigns.py
@pytest.mark.timeout(3600)
def test_with_a_browser_open(place, stage):
    if not BROWSERS["chrome"].builds(load_settings()):
        pytest.skip(f"chrome is not on this machine: {BROWSERS['chrome'].remedy}")
    (place / "nightly.toml").write_text(REAL.format(blocks=1))
    ledger = Ledger()
    for _ in range(5):
        process = go_on(at=(stage, 0))
        process.wait(timeout=180)
        ledger.look()
    ledger.end(3)
    assert not left_behind(str(place)), "a browser or driver is left"
