"""Session after session in one process: nothing stays behind, and nothing grows.

What was measured is printed: `pytest -s tests/faults/test_soak.py -m ""`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest
import tiny_model
from left import OURS, left_behind

from bench.browsers import BROWSERS
from bench.harness.asked import RunSettings
from bench.harness.outcome import Outcome
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.models.catalog import resolve
from bench.plan.request import Request
from bench.settings import load_settings

pytestmark = pytest.mark.browser
WARM = 3  # sessions after which caches and lazy imports are there


def state(place):
    """What a session could leave behind, and what it could make grow."""
    gc.collect()
    me = psutil.Process()
    return {
        "processes": len(left_behind(place)),
        "profiles": len(list(Path(tempfile.gettempdir()).glob("webquant-*"))),
        "ports": sum(one.status == psutil.CONN_LISTEN for one in me.net_connections("tcp")),
        "descriptors": me.num_fds(),
        "threads": threading.active_count(),
        "megabytes": me.memory_info().rss / 2**20,
    }


def fill_pool(server):
    """The server starts threads as more is asked of it at once, up to a bound: there it grows no more."""
    size = min(32, getattr(os, "process_cpu_count", os.cpu_count)() + 4)
    together = threading.Barrier(size)

    async def ask():
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, together.wait, 20) for _ in range(size)))

    asyncio.run_coroutine_threadsafe(ask(), server._loop).result(30)


@pytest.mark.parametrize(
    "sessions", [WARM + 2, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(7200)])]
)
def test_nothing_is_left(tmp_path, monkeypatch, sessions):
    if not BROWSERS["chrome"].builds(load_settings()):
        pytest.skip(f"chrome is not on this machine: {BROWSERS['chrome'].remedy}")
    place = str(tmp_path)
    monkeypatch.setenv(OURS, place)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    folder = tiny_model.write(tmp_path / "model")
    source = resolve("mine", folder)
    asked = Request(
        platform="webgpu", browser="chrome", model="mine", bits=4, sequence_length=9, weights=str(folder)
    )
    measuring = RunSettings(iterations=3, timeout=60)
    begun = time.monotonic()
    with PageServer() as server:
        for number in range(sessions):
            if number == WARM:
                fill_pool(server)
                before = state(place)
            record = execute(asked, source, server, load_settings(), measuring, lambda words: None).record
            assert record.outcome is Outcome.OK, record.error
        time.sleep(1)  # for threads that wait for a connection to close
        after = state(place)
    grown = {name: after[name] - before[name] for name in after}
    seconds = (time.monotonic() - begun) / sessions
    print(f"\n{sessions} sessions, {seconds:.2f} s each: {after}, grown by {grown}")
    assert after["processes"] == after["profiles"] == 0
    assert grown["ports"] == 0
    assert grown["descriptors"] <= 0 and grown["threads"] <= 0
    assert grown["megabytes"] < 50
