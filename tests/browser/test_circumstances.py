"""What a machine may lack, for real: `bench show` names it. Proxies and long names do no harm."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from left import OURS, left_behind

from bench.harness import identity
from bench.store import open_store

from .conftest import require

BENCH = Path(sys.executable).with_name("bench")
pytestmark = pytest.mark.browser
NOWHERE = "http://127.0.0.1:1"  # a port that nobody listens on
PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
RUN = ["run", "--model", "bert-tiny", "--sequence-length", "8", "--bits", "4"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("BENCH_DB", f"sqlite:///{tmp_path}/runs.sqlite")
    monkeypatch.setenv(OURS, str(tmp_path))
    for name in ("BENCH_ITERATIONS", "BENCH_SEQUENCE_LENGTH", "BENCH_SETTINGS", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    until = time.monotonic() + 10
    while (left := left_behind(str(tmp_path))) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


def bench(*arguments, before="", **environment):
    """The installed command in a process of its own, after some shell words."""
    command = ["bash", "-c", f'{before}\nexec "$@"', "bash", str(BENCH), *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=False)


def row():
    with open_store(create=False) as store:
        [only] = store.rows()
        return store.run(only["id"])


@pytest.fixture
def small_disk():
    """A file system of 3 MiB, with a short name: a longer one would be passed over."""
    folder = Path(f"/tmp/wq{os.getpid()}")
    folder.mkdir()
    try:
        mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(folder)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
        yield folder
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()


@pytest.mark.parametrize("browser", ["chrome", "firefox", pytest.param("webkitgtk", marks=pytest.mark.long)])
@pytest.mark.parametrize("proxy", [NOWHERE, pytest.param("socks5://127.0.0.1:1", marks=pytest.mark.long)])
def test_nothing_goes_through_a_proxy(browser, proxy):
    require(browser)
    done = bench(*RUN, "--browser", browser, "--iterations", "3", **dict.fromkeys(PROXIES, proxy))
    lacks = browser == "webkitgtk"
    assert done.returncode == (3 if lacks else 0), done.stderr
    assert row().outcome.value == ("unsupported" if lacks else "ok")


@pytest.mark.parametrize(
    "letters", [31, *(pytest.param(n, marks=pytest.mark.long) for n in (24, 25, 42, 43, 120))]
)
def test_a_long_name_of_the_temporary_folder(letters):
    require("chrome")
    stem = f"/tmp/wq{os.getpid()}-"
    folder = Path(stem + "x" * (letters - len(stem)))
    folder.mkdir()
    try:
        done = bench(*RUN, "--browser", "chrome", "--iterations", "3", TMPDIR=str(folder))
        assert done.returncode == 0, done.stderr
        assert list(folder.iterdir()) == []
    finally:
        folder.rmdir()


@pytest.mark.parametrize(
    "free", [400, pytest.param(2000, marks=pytest.mark.long)], ids=lambda free: f"{free} KiB free"
)
def test_a_full_temporary_folder(small_disk, free):
    require("chrome")
    (small_disk / "filler").write_bytes(b"\0" * 1024 * (3072 - free))
    done = bench(*RUN, "--browser", "chrome", "--iterations", "3", TMPDIR=str(small_disk))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "warning: only" in done.stderr and str(small_disk) in done.stderr
    shown = bench("show", "1").stdout
    assert "MiB were free for temporary files" in shown and "export TMPDIR=DIR" in shown
    assert "the page raised" not in shown and "led elsewhere" not in shown
    assert row().evidence["driver_log"]


def test_a_bundle_that_cannot_be_written(place):
    """The cache takes files, its folder of bundles does not: root may write anywhere, but not into a file."""
    require("chrome")
    cache = place / "cache"
    cache.mkdir()
    (cache / "bundles").write_text("a file in the place of the folder")
    done = bench(*RUN, "--browser", "chrome", "--iterations", "3", BENCH_CACHE=str(cache))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "nothing can be written for the cache" in done.stderr
    shown = bench("show", "1").stdout
    assert "nothing can be written for the cache" in shown and "BENCH_CACHE=DIR" in shown
    assert "the page raised" not in shown


@pytest.mark.parametrize("browser", ["chrome", pytest.param("firefox", marks=pytest.mark.long)])
def test_few_file_descriptors(browser):
    require(browser)
    done = bench(*RUN, "--browser", browser, "--iterations", "3", before="ulimit -n 64")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "warning: only 64 file descriptors" in done.stderr
    shown = bench("show", "1").stdout
    assert "only 64 file descriptors were allowed" in shown and "ulimit -n 4096" in shown


def test_a_soft_limit_is_raised():
    require("chrome")
    done = bench(*RUN, "--browser", "chrome", "--iterations", "3", before="ulimit -S -n 64")
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr


@pytest.mark.long  # it stands still for 25 s
def test_a_harness_that_is_stopped_and_goes_on():
    """As by Ctrl-Z and `fg`: the browser went on meanwhile, and nothing is wrong with the run."""
    require("chrome")
    command = [BENCH, *RUN, "--browser", "chrome", "--iterations", "60", "--timeout", "10"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while not any("chrom" in one.name() for one in psutil.Process(running.pid).children(recursive=True)):
            assert time.monotonic() < until
            time.sleep(0.05)
        running.send_signal(signal.SIGSTOP)
        time.sleep(25)  # longer than the deadline and the runner's grace
        running.send_signal(signal.SIGCONT)
        _, err = running.communicate(timeout=100)
    finally:
        running.kill()
    assert running.returncode == 0, err
    assert row().outcome.value == "ok"


@pytest.mark.long
def test_a_runner_and_browser_that_are_stopped_and_go_on():
    """A frozen container: every process stands still, also the one that counts the deadlines."""
    require("chrome")
    command = [BENCH, *RUN, "--browser", "chrome", "--iterations", "60", "--timeout", "8"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        me = psutil.Process(running.pid)
        while not any("chrom" in one.name() for one in me.children(recursive=True)):
            assert time.monotonic() < until
            time.sleep(0.05)
        every = [me, *me.children(recursive=True)]
        for one in every:
            one.suspend()
        time.sleep(20)
        for one in reversed(every):
            one.resume()
        _, err = running.communicate(timeout=100)
    finally:
        running.kill()
    assert running.returncode == 0, err
    assert row().outcome.value == "ok"


def test_what_a_killed_worker_made_is_swept_by_its_runner():
    require("chrome")
    running = subprocess.Popen(
        [BENCH, *RUN, "--browser", "chrome", "--iterations", "100000"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        me = psutil.Process(running.pid)
        while not any("chrom" in one.name() for one in me.children(recursive=True)):
            assert time.monotonic() < until
            time.sleep(0.05)
        [runner] = [one for one in me.children() if "bench.harness.runner" in one.cmdline()]
        worker = identity.parse(runner.environ()[identity.MARK])
        assert worker.folder.is_dir()
    finally:
        running.kill()
        running.wait()
    until = time.monotonic() + 40
    while worker.folder.exists() and time.monotonic() < until:
        time.sleep(0.2)
    assert not worker.folder.exists()
