"""Closed and broken stdin, stdout and stderr: every command works or says in one line why not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.store import check, open_store

BIN = Path(sys.executable).parent
CLOSED = ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"]
COMMANDS = [
    "query", "query --format csv", "query --format parquet", "show 1", "errors", "recommend", "report",
    "compare bits=4 bits=16 --force", "history", "campaign list", "campaign status 1", "models list",
    "browsers list", "db check", "db upgrade", "db backup", "campaign schedule --list", "--version", "--help",
]  # fmt: skip

# One that prints a table, and Typer's own.
EVERYDAY = {"query", "--help"}


def shell(line, **environment):
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "BENCH_OFFLINE": "1", **environment}
    return subprocess.run(
        ["bash", "-c", line], env=env, capture_output=True, text=True, errors="replace", check=False
    )


@pytest.mark.parametrize(
    "command", [one if one in EVERYDAY else pytest.param(one, marks=pytest.mark.long) for one in COMMANDS]
)
def test_closed_streams_change_no_exit_code(url, tmp_path, command):
    open_one = shell(f"bench {command}")
    assert "Traceback" not in open_one.stderr
    for closed in [">&-", "<&- >&- 2>&-"] if command != "query" else CLOSED:
        done = shell(f"bench {command} {closed}")
        assert done.returncode == open_one.returncode, f"{closed}: {done.stderr}"
        assert done.stderr == ("" if "2>&-" in closed else open_one.stderr)
        if " >&-" in f" {closed}":
            assert done.stdout == ""
    assert check(url).problems == []


@pytest.mark.parametrize("closed", CLOSED)
def test_a_run_with_closed_streams_is_kept(tmp_path, monkeypatch, closed):
    """Also nothing that a run prints, its children too, ends in the database as number 1 or 2."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/bench.sqlite"
    line = f"bench run --browser safari --model bert-tiny --bits 4 --sequence-length 16 --json {closed}"
    done = shell(line, BENCH_DB=url, BENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 3, done.stderr
    if closed == "2>&-":
        assert json.loads(done.stdout)["runs"][0]["outcome"] == "unavailable"
    assert check(url).problems == []
    with open_store(url, create=False) as store:
        assert [row["outcome"] for row in store.rows()] == ["unavailable"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize(("to", "says"), [(">/dev/full", "make room"), ("1</dev/null", "elsewhere")])
@pytest.mark.parametrize("command", ["query", "--version", "show 1", "query --format parquet"])
def test_an_output_that_takes_nothing_is_one_line(url, command, to, says):
    done = shell(f"bench {command} {to}")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: cannot write: ") and says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize(
    "command", ["run --browser safari --model bert-tiny --bits 4 --bits 8 --json", "run --help"]
)
def test_progress_that_nobody_takes_stops_no_run(tmp_path, command):
    url = f"sqlite:///{tmp_path}/bench.sqlite"
    done = shell(f"bench {command} 2>/dev/full", BENCH_DB=url)
    if "help" in command:
        assert done.returncode == 0 and "--browser" in done.stdout
        return
    assert done.returncode == 3
    assert [run["outcome"] for run in json.loads(done.stdout)["runs"]] == ["unavailable"] * 2
    with open_store(url, create=False) as store:
        assert len(store.rows()) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_refusal_that_nobody_takes_keeps_its_exit_code(tmp_path):
    assert shell("bench run --bits 3 2>/dev/full").returncode == 2
