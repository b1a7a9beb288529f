"""Session after session in one process: nothing stays behind, and nothing grows.

What was measured is printed: `pytest -s tests/faults/test_soak.py -m ""`.
"""

from __future__ import annotations

import gc
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest
import tiny_model

from bench.browsers import BROWSERS
from bench.harness.outcome import Outcome
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.harness.session import RunSettings
from bench.models.catalog import resolve
from bench.plan.request import Request
from bench.settings import load_settings

from .left import OURS, left_behind

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


@pytest.mark.parametrize(
    "sessions", [6, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(7200)])]
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
    assert grown["descriptors"] <= 0
    assert grown["threads"] < min(sessions - WARM, 5)  # a pool may still fill; a leak is one a session
    assert grown["megabytes"] < 50
