"""One session at a time: real processes that want the same machine."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bench.harness.stop import Stop
from bench.harness.turn import place, turn
from bench.settings import HarnessSettings, load_settings

HOLDS = """
import sys, time
from bench.harness.stop import Stop
from bench.harness.turn import turn
from bench.settings import HarnessSettings
with turn(HarnessSettings(), print, Stop()):
    print("mine", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine of this test's own."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))


@pytest.fixture
def other():
    """Starts a process that has the turn for some seconds."""
    started = []

    def start(seconds):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(seconds)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "mine\n"
        return process

    yield start
    for process in started:
        with process:
            process.kill()


def test_the_second_waits_and_says_for_whom(other):
    first = other(1.5)
    said = []
    with turn(HarnessSettings(), said.append, Stop()):
        assert first.wait(5) == 0
    assert said == [
        f"waiting: process {first.pid} measures on this machine; with BENCH_ALONE=0 both would at once"
    ]


def test_it_shows_that_it_lives_while_it_waits(other, monkeypatch):
    monkeypatch.setattr("bench.harness.turn._AGAIN_SECONDS", 0.3)
    other(1.5)
    said = []
    with turn(HarnessSettings(), said.append, Stop()):
        assert len(said) >= 3 and len(set(said)) == 1


def test_a_process_that_is_killed_gives_its_turn_back(other):
    first = other(600)
    first.send_signal(signal.SIGKILL)
    first.wait()
    began = time.monotonic()
    with turn(HarnessSettings(), pytest.fail, Stop()):
        assert time.monotonic() - began < 1
    assert int(place().read_text()) == os.getpid()


def test_whoever_waits_can_be_stopped(other):
    other(600)
    stop = Stop()
    with pytest.raises(KeyboardInterrupt), turn(HarnessSettings(), lambda _: stop.request(), stop):
        pytest.fail("it was not its turn")


@pytest.mark.parametrize("changed", [{"alone": False}, {"grid": "http://127.0.0.1:4444"}])
def test_nobody_is_waited_for_beside_others_or_elsewhere(other, changed):
    other(600)
    with turn(HarnessSettings(**changed), pytest.fail, Stop()):
        pass


def test_a_folder_that_cannot_be_written_holds_nobody_up(monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", "/proc/nothing")
    with turn(HarnessSettings(), pytest.fail, Stop()):
        pass


def test_it_is_a_setting(monkeypatch):
    monkeypatch.delenv("BENCH_ALONE")
    assert load_settings().harness.alone
    monkeypatch.setenv("BENCH_ALONE", "0")
    assert not load_settings().harness.alone
