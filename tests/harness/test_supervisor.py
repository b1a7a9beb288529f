"""The runner process for real: with a browser that is not here, and stopped or killed as drivers may do."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest
from records import request

from bench.errors import InputError
from bench.harness import identity
from bench.harness import supervisor as module
from bench.harness.asked import RunSettings
from bench.harness.outcome import Outcome, Stage
from bench.harness.stop import Stop
from bench.harness.supervisor import Supervisor
from bench.models.catalog import resolve
from bench.settings import Settings, load_settings

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="Safari is there, and would really run")
ABSENT = request(browser="safari", model="bert-tiny")


@pytest.fixture
def source(monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    return resolve("bert-tiny")


def go(one, source, measure=None, stop=None, **options):
    said = []
    record = one.run(
        options.pop("asked", ABSENT),
        source,
        measure or RunSettings(),
        say=said.append,
        tick=options.pop("tick", lambda _: None),
        stop=stop or Stop(),
        **options,
    )
    return record, said


def test_one_runner_serves_many_cells(source):
    with Supervisor(load_settings()) as one:
        first, _ = go(one, source)
        pid = one._process.pid
        assert first.outcome is Outcome.UNAVAILABLE and "safari is not on this machine" in first.error.message
        begun = time.monotonic()
        for _ in range(20):
            go(one, source)
        assert one._process.pid == pid
        assert time.monotonic() - begun < 5
        folder = one.worker.folder
        assert folder.is_dir()
    assert not psutil.pid_exists(pid) and not folder.exists()


def test_a_port_in_use_is_bad_input(source):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Supervisor(Settings.model_validate({"harness": {"port": port}})) as one:
            with pytest.raises(InputError, match=f"port {port} .* is in use"):
                one.start()
            assert not one.worker.folder.exists()


def test_a_runner_that_dies_is_a_crashed_run_and_the_next_cell_has_another(source):
    with Supervisor(load_settings()) as one:
        one.start()
        pid = one._process.pid
        os.kill(pid, signal.SIGKILL)
        record, _ = go(one, source)
        assert record.outcome is Outcome.CRASHED and record.error.name == "RunnerDied"
        assert "signal 9" in record.error.message
        record, _ = go(one, source)
        assert record.outcome is Outcome.UNAVAILABLE and one._process.pid != pid


def test_a_runner_that_hangs_is_ended_soon_after_its_deadline(source, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 1.0)
    monkeypatch.setattr(module, "_PREPARE_SECONDS", 1.0)
    with Supervisor(load_settings()) as one:
        one.start()
        os.kill(one._process.pid, signal.SIGSTOP)
        begun = time.monotonic()
        record, _ = go(one, source, RunSettings(timeout=0.5))
        assert time.monotonic() - begun < 5
        assert record.outcome is Outcome.TIMEOUT and record.error.name == "RunnerHung"
        assert one._process is None


def test_a_budget_for_the_cell(source):
    with Supervisor(load_settings()) as one:
        one.start()
        os.kill(one._process.pid, signal.SIGSTOP)
        record, _ = go(one, source, limit=0.5)
        assert record.outcome is Outcome.TIMEOUT and record.error.name == "CellBudget"


def test_a_stop_that_a_runner_does_not_hear(source, monkeypatch):
    monkeypatch.setattr(module, "_STOP_SECONDS", 1.0)
    stop = Stop()
    with Supervisor(load_settings()) as one:
        one.start()
        os.kill(one._process.pid, signal.SIGSTOP)
        threading.Timer(0.3, stop.request).start()
        record, _ = go(one, source, stop=stop)
        assert record.outcome is Outcome.INTERRUPTED and record.error.stage is Stage.LAUNCH


def test_a_runner_goes_when_its_worker_dies(source, tmp_path):
    """Not asked to: nobody is left who could."""
    program = (
        "import os, time; from bench.harness.supervisor import Supervisor; from bench.settings import *;"
        "s = Supervisor(load_settings()); s.start(); print(s._process.pid, flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    pid = int(worker.stdout.readline())
    assert psutil.pid_exists(pid)
    worker.kill()
    worker.wait()
    worker.stdout.close()
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_working_folder_shadows_nothing(source, tmp_path, monkeypatch):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").write_text("raise RuntimeError('shadow')")
    (tmp_path / "queue.py").write_text("raise RuntimeError('shadow')")
    monkeypatch.chdir(tmp_path)
    with Supervisor(load_settings()) as one:
        assert go(one, source)[0].outcome is Outcome.UNAVAILABLE


def test_what_a_killed_worker_left_is_cleared_by_the_next(source):
    program = (
        "import os, time; from bench.harness.supervisor import Supervisor; from bench.settings import *;"
        "s = Supervisor(load_settings()); s.start(); print(s.worker.name, s._process.pid, flush=True);"
        "time.sleep(60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    name, pid = worker.stdout.readline().split()
    os.kill(int(pid), signal.SIGKILL)  # both at once, as when the machine runs out of memory
    worker.kill()
    worker.wait()
    worker.stdout.close()
    assert identity.parse(name).folder.exists()
    with Supervisor(load_settings()) as one:
        one.start()
        assert not identity.parse(name).folder.exists()
