"""Ctrl-C, SIGTERM and a cancelled task end the run in hand in order: a row is kept, no process is left."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.store import open_store
from run_real_webgpu_webnn import run_real_webgpu_test

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.browser


def alive(process):
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_for_renderer(processes, seconds=60):
    """Until a renderer runs: the driver has its session, or is about to."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for child in processes():
            with contextlib.suppress(psutil.Error):
                if "--type=renderer" in child.cmdline():
                    return
        time.sleep(0.05)
    raise AssertionError("no browser came up")


def start(url, *arguments):
    command = [sys.executable, "-m", "bench", "run", "--model", "bert-tiny", "--sequence-length", "16"]
    command += ["--bits", "4", "--bits", "8", "--json", "--db", url, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_OFFLINE": "1"}
    environment.pop("BENCH_ITERATIONS", None)
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("numbers", "wait"),
    [
        ([signal.SIGINT, signal.SIGINT], 2.0),
        ([signal.SIGTERM], 2.0),
        ([signal.SIGTERM], 0.0),
        ([signal.SIGINT, signal.SIGTERM], 0.0),
    ],
    ids=["Ctrl-C twice", "SIGTERM", "SIGTERM at launch", "Ctrl-C and SIGTERM"],
)
def test_ends_the_run_in_hand(tmp_path, own_processes, numbers, wait):
    url = f"sqlite:///{tmp_path}/bench.sqlite"
    # So many samples that it never ends by itself; on SwiftShader one takes about 10 ms.
    running = start(url, "--iterations", "100000")
    try:
        wait_for_renderer(own_processes)
        time.sleep(wait)
        started = own_processes()
        begun = time.monotonic()
        for number in numbers:
            running.send_signal(number)
            time.sleep(0.5)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130, err
    assert time.monotonic() - begun < 15
    assert "Traceback" not in err
    assert started and not any(alive(one) for one in started)
    [run] = json.loads(out)["runs"]
    assert run["outcome"] == "interrupted" and run["error"]["stage"] != "teardown"
    assert run["metrics"]["latency_ms"] is None
    with open_store(url, create=False) as store:
        [row] = store.rows()
        assert row["outcome"] == "interrupted"
        assert [cell["state"] for cell in store.cells()] == ["planned", "planned"]  # both still to be run
        [campaign] = store.campaigns()
        assert campaign["state"] == "interrupted"


def test_one_ctrl_c_finishes_the_run_in_hand(tmp_path, own_processes):
    url = f"sqlite:///{tmp_path}/bench.sqlite"
    running = start(url, "--iterations", "300")
    try:
        wait_for_renderer(own_processes)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=100)
    finally:
        running.kill()
    assert running.returncode == 130, err
    assert "Ctrl-C again" in err and "Traceback" not in err
    [run] = json.loads(out)["runs"]
    assert run["outcome"] == "ok" and run["metrics"]["latency_ms"]["n"] == 300
    with open_store(url, create=False) as store:
        assert [cell["state"] for cell in store.cells()] == ["done", "planned"]
        [campaign] = store.campaigns()
        assert campaign["state"] == "interrupted" and "stopped by the user" in campaign["note"]


def test_cancelled_task(tmp_path, own_processes, monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.delenv("BENCH_ITERATIONS", raising=False)
    url = f"sqlite:///{tmp_path}/bench.sqlite"

    async def cancel():
        first = asyncio.create_task(
            run_real_webgpu_test(model="bert-tiny", sequence_length=16, iterations=100_000, db=url)
        )
        second = asyncio.create_task(run_real_webgpu_test(model="bert-tiny", sequence_length=16, db=url))
        await asyncio.to_thread(wait_for_renderer, own_processes)
        await asyncio.sleep(2)
        second.cancel()  # waits for its turn, and gives up
        first.cancel()
        return await asyncio.gather(first, second, return_exceptions=True)

    ended = asyncio.run(cancel())
    assert all(isinstance(one, asyncio.CancelledError) for one in ended)
    assert not own_processes()
    with open_store(url, create=False) as store:
        assert [row["outcome"] for row in store.rows()] == ["interrupted"]
