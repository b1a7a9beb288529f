"""The database is deleted, moved or replaced under a campaign, and SIGHUP: nothing finished is lost."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from left import OURS, left_behind

from bench.store import check, open_store

from .conftest import require

BENCH = Path(sys.executable).with_name("bench")
pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    require("chrome")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("BENCH_DB", f"sqlite:///{tmp_path}/runs.sqlite")
    monkeypatch.setenv(OURS, str(tmp_path))
    for name in ("BENCH_ITERATIONS", "BENCH_SEQUENCE_LENGTH", "BENCH_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def start(*more):
    command = [BENCH, "run", "--name", "mine", "--model", "bert-tiny", "--sequence-length", "8", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_runs(path, count=1, seconds=90):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(Exception), open_store(f"sqlite:///{path}", create=False) as store:
            if len(store.rows()) >= count:
                return
        time.sleep(0.1)
    raise AssertionError("no run was kept")


def moved(path):
    path.rename(path.with_name("elsewhere.sqlite"))


def replaced(path):
    other = path.with_name("other.sqlite")
    with open_store(f"sqlite:///{other}") as store:
        assert store.rows() == []
    other.replace(path)


@pytest.mark.parametrize(
    "fate",
    [
        pytest.param(Path.unlink, id="deleted"),
        pytest.param(moved, id="moved", marks=pytest.mark.long),
        pytest.param(replaced, id="replaced", marks=pytest.mark.long),
    ],
)
def test_the_campaign_stops_and_keeps_all_its_runs(place, fate, monkeypatch):
    path, cache = place / "runs.sqlite", place / "cache"
    # Its own place for what is kept; browsers and bundles as they are.
    real = Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "webquant-bench")
    cache.mkdir()
    for name in ("browsers", "bundles", "models"):
        with contextlib.suppress(OSError):
            (cache / name).symlink_to(real / name)
    monkeypatch.setenv("BENCH_CACHE", str(cache))
    running = start("--iterations", "60")
    try:
        wait_for_runs(path)
        fate(path)
        _, err = running.communicate(timeout=120)
    finally:
        running.kill()
    [line] = [one for one in err.splitlines() if one.startswith("error:")]
    assert running.returncode == 1 and "Traceback" not in err, err
    assert str(path) in line and "while it was open" in line
    kept = next((cache / "unsaved").glob("*.sqlite"))
    assert f"bench campaign resume mine --db sqlite:///{kept}" in line
    if fate is replaced:  # it is as it was
        assert check(f"sqlite:///{path}").problems == []
        with open_store(f"sqlite:///{path}", create=False) as store:
            assert store.rows() == [] and store.campaigns() == []
    else:
        assert not path.exists()
    done = [one for one in err.splitlines() if ": ok " in one]
    assert check(f"sqlite:///{kept}").problems == []
    code = subprocess.run(
        line[line.index("bench campaign") :].split(), env=with_bench(), check=False
    ).returncode
    assert code == 0
    with open_store(f"sqlite:///{kept}", create=False) as store:
        rows = store.rows()
        assert [row["outcome"] for row in rows] == [
            "ok"
        ] * 4  # those before it, that which waited, the others
        assert len(done) < 4
    assert not list((cache / "unsaved").glob("*.json"))


def with_bench():
    return {**os.environ, "PATH": f"{BENCH.parent}{os.pathsep}{os.environ['PATH']}"}


def test_a_hang_up_ends_the_run_in_hand(place):
    """The terminal is closed: also nothing that is said then has a reader."""
    running = start("--iterations", "100000", "--json")
    try:
        until = time.monotonic() + 60
        while not any("chrom" in one.name() for one in psutil.Process(running.pid).children(recursive=True)):
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(1)
        running.send_signal(signal.SIGHUP)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130 and "Traceback" not in err, err
    assert [run["outcome"] for run in json.loads(out)["runs"]] == ["interrupted"]
    assert not left_behind(str(place))


@pytest.mark.long
def test_nohup_goes_on(place):
    if not shutil.which("nohup"):
        pytest.skip("nohup is not on this machine")
    command = [
        "nohup",
        BENCH,
        "run",
        "--model",
        "bert-tiny",
        "--sequence-length",
        "8",
        "--bits",
        "4",
        "--json",
    ]
    running = subprocess.Popen(
        [*command, "--iterations", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 60
        while not any("chrom" in one.name() for one in psutil.Process(running.pid).children(recursive=True)):
            assert time.monotonic() < until
            time.sleep(0.05)
        running.send_signal(signal.SIGHUP)
        out, err = running.communicate(timeout=100)
    finally:
        running.kill()
    assert running.returncode == 0, err
    assert [run["outcome"] for run in json.loads(out)["runs"]] == ["ok"]
