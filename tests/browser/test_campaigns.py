"""Campaigns with real browsers: killed, resumed, retried, given up."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import pytest

from bench.cli import main
from bench.harness import identity
from bench.store import CampaignState, open_store

from .conftest import require

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.browser
FILE = """\
name = "small"
[matrix]
model = ["bert-tiny"]
platform = ["webgpu"]
browser = ["chrome"]
bits = [8, 4]
sequence_length = [8]
[run]
blocks = 2
seed = 3
iterations = 3
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    require("chrome")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("BENCH_DB", raising=False)
    (tmp_path / "small.toml").write_text(FILE)
    return tmp_path


@pytest.mark.long
def test_each_arm_once_a_block_and_the_estimate_holds(capfd):
    assert main(["campaign", "run", "small.toml"]) == 0
    with open_store(create=False) as store:
        rows = store.rows()
        assert Counter((row["block"], row["role"]) for row in rows) == {
            (0, "arm"): 2, (0, "twin"): 1, (1, "arm"): 2, (1, "twin"): 1,
        }  # fmt: skip
        order = [(row["role"], row["requested_bits"]) for row in rows]
        assert order[3:] == order[:3][::-1]
        assert {row["outcome"] for row in rows} == {"ok"}
    capfd.readouterr()
    assert main(["campaign", "plan", "small.toml", "--json"]) == 0
    estimate = json.loads(capfd.readouterr().out)["estimate"]
    assert estimate["exact"] == 6 and 3 < estimate["seconds"] < 120


@pytest.mark.parametrize(("wait", "blocks"), [(0.0, 1), pytest.param(1.5, 2, marks=pytest.mark.long)])
def test_kill_9_with_a_browser_open(place, wait, blocks):
    (place / "small.toml").write_text(FILE.replace("blocks = 2", f"blocks = {blocks}"))
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "campaign", "run", "small.toml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    me = psutil.Process(process.pid)
    until = time.monotonic() + 60
    while not any("chrom" in child.name() for child in me.children(recursive=True)):
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(wait)
    family = me.children(recursive=True)
    # The runner too: nobody is left to end the browser.
    for one in [me, *(child for child in family if "bench.harness.runner" in " ".join(child.cmdline()))]:
        one.send_signal(signal.SIGKILL)
    process.communicate()
    with open_store(create=False) as store:
        [lease] = store.status("small").leases
        worker = identity.parse(lease.owner)
        assert identity.gone(lease.owner) and worker.folder.exists()
    assert main(["campaign", "resume", "small"]) == 0
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in family)
    assert not worker.folder.exists()
    with open_store(create=False) as store:
        rows = store.rows()
        assert Counter(row["outcome"] for row in rows) == {"ok": 3 * blocks, "interrupted": 1}
        [lost] = [row for row in rows if row["outcome"] == "interrupted"]
        assert "is gone" in lost["error_message"] and lost["error_name"] == "WorkerGone"
        assert store.status("small").state is CampaignState.DONE


def kill_driver(processes):
    """A thread that kills the first driver, a while after its browser has come up."""

    def hunt():
        until = time.monotonic() + 60
        while time.monotonic() < until:
            time.sleep(0.05)
            for child in processes():
                with contextlib.suppress(psutil.Error):
                    if "--type=renderer" in child.cmdline():
                        time.sleep(2)
                        next(one for one in child.parents() if one.name() == "chromedriver").kill()
                        return

    thread = threading.Thread(target=hunt, daemon=True)
    thread.start()
    return thread


@pytest.mark.long
def test_a_retry_is_a_run_of_its_own(place, own_processes):
    text = FILE.replace("blocks = 2", "blocks = 1").replace('name = "small"', 'name = "small"\na_a = false')
    text = text.replace("iterations = 3", "iterations = 100")
    (place / "small.toml").write_text(text + '[retry]\nattempts = 3\non = ["crashed", "timeout"]\n')
    thread = kill_driver(own_processes)
    assert main(["campaign", "run", "small.toml"]) == 0
    thread.join()
    with open_store(create=False) as store:
        rows = store.rows()
        assert [(row["attempt"], row["cell_id"]) for row in rows] == [(1, 1), (2, 1), (1, 2)]
        assert [row["outcome"] for row in rows] == ["crashed", "ok", "ok"]


def test_a_browser_that_fails_again_and_again_is_left_alone(place):
    broken = place / "broken"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    text = FILE.replace('"chrome"', f'"chrome:{broken}"').replace("blocks = 2", "blocks = 1")
    (place / "small.toml").write_text(text.replace("[8, 4]", "[16, 8, 4, 2]") + "breaker = 2\n")
    assert main(["campaign", "run", "small.toml"]) == 1
    with open_store(create=False) as store:
        rows = store.rows()
        assert [row["outcome"] for row in rows] == ["crashed"] * 2 + ["unavailable"] * 3
        assert {row["error_name"] for row in rows[2:]} == {"BreakerOpen"}
        assert "2 runs of chrome:" in rows[2]["error_message"]
        assert store.status("small").state is CampaignState.DONE


@pytest.mark.long  # tests/harness has a runner that hangs without a browser
def test_a_runner_that_hangs_with_its_browser_cannot_hang_the_campaign(place, own_processes):
    text = FILE.replace("blocks = 2", "blocks = 1").replace("[8, 4]", "[8]") + "timeout = 4\n"
    (place / "small.toml").write_text(text.replace('name = "small"', 'name = "small"\na_a = false'))
    stopped = []

    def freeze():
        until = time.monotonic() + 60
        while time.monotonic() < until and not stopped:
            time.sleep(0.02)
            for child in own_processes():
                with contextlib.suppress(psutil.Error):
                    if "--type=renderer" in child.cmdline():
                        for one in child.parents():
                            if "bench.harness.runner" in " ".join(one.cmdline()):
                                os.kill(one.pid, signal.SIGSTOP)
                                stopped.append(time.monotonic())
                                return

    thread = threading.Thread(target=freeze, daemon=True)
    thread.start()
    assert main(["campaign", "run", "small.toml"]) == 1
    thread.join()
    assert time.monotonic() - stopped[0] < 4 + 10 + 4
    with open_store(create=False) as store:
        [row] = store.rows()
        assert (row["outcome"], row["error_name"]) == ("timeout", "RunnerHung")


@pytest.mark.long
def test_blocks_end_once_the_ratios_are_precise_enough(place):
    """Two arms and a twin for ten blocks and more: minutes."""
    text = FILE.replace("blocks = 2", "blocks = 2\nmax_seconds = 1").replace(
        "iterations = 3\n", "iterations = 8\n"
    )
    (place / "small.toml").write_text(text + "[stop]\nprecision = 0.9\nmax_blocks = 14\n")
    assert main(["campaign", "run", "small.toml"]) == 0
    with open_store(create=False) as store:
        status = store.status("small")
        assert status.state is CampaignState.DONE
        assert status.cells == {"done": 30, "skipped": 12} and status.blocks == (14, 14)
        notes = {cell["note"] for cell in store.cells() if cell["state"] == "skipped"}
        assert len(notes) == 1 and "precise enough after 10 blocks" in notes.pop()
        assert all(row["canary_ms"] > 0 for row in store.rows())


def test_two_campaigns_take_turns(tmp_path, monkeypatch):
    """Typed at the same moment into databases of their own: no session measures beside another."""
    require("chrome")
    monkeypatch.delenv("BENCH_ALONE")
    started = []
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(
            FILE.replace("small", name).replace("blocks = 2", "blocks = 1")
        )
        url = f"sqlite:///{tmp_path}/{name}.sqlite"
        command = [sys.executable, "-m", "bench", "campaign", "run", f"{tmp_path}/{name}.toml", "--db", url]
        started.append((url, subprocess.Popen(command, stderr=subprocess.PIPE, text=True)))
    spans = []
    for url, process in started:
        with process:
            process.communicate()
        assert process.returncode == 0
        with open_store(url) as store:
            for run in [store.run(row["id"]) for row in store.rows()]:
                assert run.outcome == "ok"
                # From the launch on: what comes before is no measuring, and there it waits.
                took = sum(run.phases_ms.values()) - run.phases_ms["prepare"]
                end = pd.Timestamp(run.finished_at)
                spans.append((end - pd.Timedelta(milliseconds=took), end))
    assert len(spans) == 6
    spans.sort()
    # A row is finished a moment after its turn is over: tenths of a second on a loaded machine.
    moment = min(end - begin for begin, end in spans) / 4
    for (_, end), (begin, _) in itertools.pairwise(spans):
        assert begin >= end - moment
