"""`bench campaign schedule` and `bench scheduler run`, on SQLite and PostgreSQL."""

import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.cli import main
from bench.harness import schedule
from bench.store import open_store

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="Safari is there, and would really run")
FILE = """\
name = "nightly"
[matrix]
model = ["bert-tiny"]
platform = ["webgpu"]
browser = ["safari"]
bits = [4]
sequence_length = [16]
"""


@pytest.fixture
def place(tmp_path, monkeypatch, any_url):
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCH_DB", any_url)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (folder / "nightly.toml").write_text(FILE)
    return folder


def test_schedule_list_and_remove(place, capsys):
    assert main(["campaign", "schedule", "nightly.toml", "--cron", "0 3 * * *"]) == 0
    assert re.search(r"nightly: 2 cells, next at \d{4}-\d\d-\d\d 03:00", capsys.readouterr().out)
    assert main(["campaign", "schedule", "nightly.toml", "--cron", "30 4 * * *"]) == 0  # anew, not twice
    capsys.readouterr()
    assert main(["campaign", "schedule", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "30 4 * * *" in lines[1] and str(place / "nightly.toml") in lines[1]
    assert main(["campaign", "schedule", "--remove", "nightli"]) == 2
    assert "scheduled: nightly" in capsys.readouterr().err
    assert main(["campaign", "schedule", "--remove", "nightly"]) == 0
    with open_store() as store:
        assert schedule.planned(store) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nightly.toml", "--cron", "0 3 * *"], "4 fields"),
        (["nightly.toml", "--cron", "nonsense"], "1 fields"),
        (["nightly.toml"], "go together"),
        (["--cron", "0 3 * * *"], "give one of"),
        (["nightly.toml", "--list"], "give one of"),
        (["none.toml", "--cron", "0 3 * * *"], "cannot be read"),
        ([], "give one of"),
    ],
)
def test_bad_input_writes_nothing(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DB", raising=False)
    (tmp_path / "nightly.toml").write_text(FILE)
    assert main(["campaign", "schedule", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line
    assert [path.name for path in tmp_path.iterdir()] == ["nightly.toml"]


def test_looking_at_a_due_job_does_not_take_it(place, caplog):
    main(["campaign", "schedule", "nightly.toml", "--cron", "* * * * *"])
    due = datetime.now(UTC) - timedelta(days=3)
    with open_store() as store:
        with schedule.opened(store) as scheduler:
            scheduler.get_job("nightly").modify(next_run_time=due)
        for _ in range(5):
            [one] = schedule.planned(store)
            assert one.next_run == due
    assert not caplog.records


def test_what_was_missed_runs_once_and_the_next_time_stays(place):
    """The scheduler was down for three days of a campaign that runs every minute."""
    main(["campaign", "schedule", "nightly.toml", "--cron", "* * * * *"])
    with open_store() as store, schedule.opened(store) as scheduler:
        job = scheduler.get_job("nightly")
        job.modify(next_run_time=datetime.now(UTC) - timedelta(days=3))
    # Not two runs by two minutes that pass meanwhile.
    time.sleep(max(0.0, 45 - datetime.now(UTC).second) if datetime.now(UTC).second > 50 else 0)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "scheduler", "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with open_store() as store:
                if any(row["state"] == "done" for row in store.campaigns()):
                    break
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "scheduler: stopped" in out and "Traceback" not in err
    with open_store() as store:
        rows = store.campaigns()
        assert 1 <= len(rows) <= 2  # 2 where a minute began meanwhile; never three days of them
        assert all(re.fullmatch(r"nightly-\d{8}-\d{6}", row["name"]) for row in rows)
        [one] = schedule.planned(store)
        # Of now, and not of three days ago; a minute may have begun since the scheduler stopped.
        assert one.next_run > datetime.now(UTC) - timedelta(minutes=1)
