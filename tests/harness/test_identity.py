"""Whether a worker is dead is known by its process, on this boot, in this namespace."""

import dataclasses
import os
import subprocess
import sys
import time

import psutil

from bench.harness import identity


def test_a_name_comes_back_and_the_living_are_not_gone():
    worker = identity.this_worker()
    assert identity.parse(worker.name) == worker and worker.pid == os.getpid()
    assert not identity.gone(worker.name)
    assert identity.this_worker().name != worker.name  # two in one process are two


def test_who_is_gone_and_who_only_may_be():
    worker = identity.this_worker()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert identity.gone(dataclasses.replace(worker, pid=child.pid).name)
    # The number was given to another process since.
    assert identity.gone(dataclasses.replace(worker, started="1").name)
    # Another boot, another container, another host: the lease decides.
    assert not identity.gone(dataclasses.replace(worker, place="elsewhere", pid=child.pid).name)
    assert not identity.gone("nonsense")
    assert not identity.gone("a/b/c/d/e")


def test_a_zombie_is_gone():
    child = subprocess.Popen([sys.executable, "-c", ""])
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    worker = identity.this_worker()
    assert identity.gone(dataclasses.replace(worker, pid=child.pid).name)
    child.wait()


def ended(process: psutil.Process) -> bool:
    """Gone, or dead with nobody who has asked for its exit code: whoever is process 1 takes its time."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_sweep_ends_what_carries_the_name_and_nothing_else():
    worker = identity.this_worker()
    worker.folder.mkdir()
    (worker.folder / "profile").write_text("x")
    sleep = "import time; time.sleep(60)"
    program = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleep!r}], env={{}}); {sleep}"
    )
    marked = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, identity.MARK: worker.name})
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        while len(psutil.Process(marked.pid).children()) < 1:
            time.sleep(0.05)
        [unmarked_child] = psutil.Process(marked.pid).children()
        assert identity.sweep(worker) == 2  # the child had no mark any more
        assert marked.poll() is not None and ended(unmarked_child)
        assert other.poll() is None and not worker.folder.exists()
        assert identity.sweep(worker) == 0
    finally:
        other.kill()
        other.wait()


def test_a_worker_of_this_process_that_has_ended_is_gone():
    worker = identity.this_worker()
    other = identity.this_worker()
    identity.retire(worker)
    assert identity.gone(worker.name) and not identity.gone(other.name)
