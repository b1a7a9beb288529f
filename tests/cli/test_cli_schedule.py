"""`bench campaign schedule` and `bench scheduler run`, on SQLite and PostgreSQL."""

import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from apscheduler.triggers.cron import CronTrigger

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
        (["nightly.toml", "--cron", "0 3 * * *", "--timezone", "Mars/Base"], "Mars/Base"),
        (["nightly.toml", "--cron", "0 3 * * *", "--timezone", ""], "--timezone"),
        (["nightly.toml", "--cron", "0 3 30 2 *"], "never comes"),
        (["nightly.toml", "--cron", "0 3 * *", "--dry-run"], "4 fields"),
        (["--list", "--timezone", "UTC"], "--timezone goes with"),
        (["--list", "--dry-run"], "--dry-run goes with"),
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


def bench(*words, **environment):
    """The installed command, in a process of its own: the zone is that of its environment."""
    return subprocess.run(
        [Path(sys.executable).with_name("bench"), *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


PLAN = ("campaign", "schedule", "nightly.toml", "--cron")


def test_dry_run_prints_the_next_times_and_stores_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DB", raising=False)
    (tmp_path / "nightly.toml").write_text(FILE)
    done = bench(*PLAN, "30 2 * * *", "--timezone", "Europe/Berlin", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    head, *times, end = done.stdout.splitlines()
    assert head == "campaign nightly: 2 cells, at 30 2 * * * (Europe/Berlin):" and end == "nothing was stored"
    assert len(times) == 5
    assert all(re.fullmatch(r"  20\d\d-\d\d-\d\d 0[23]:[03]0 CES?T", one) for one in times)
    assert [path.name for path in tmp_path.iterdir()] == ["nightly.toml"]


@pytest.mark.parametrize(
    ("tz", "zone", "hour"),
    [
        pytest.param("JST-9", "JST-9", 18, marks=pytest.mark.long),
        pytest.param("UTC0", "UTC0", 3, marks=pytest.mark.long),
        (":/usr/share/zoneinfo/Asia/Kolkata", "Asia/Kolkata", None),
    ],
)
def test_a_job_keeps_the_zone_it_was_planned_in_and_shows_it(place, tz, zone, hour):
    planned = bench(*PLAN, "0 3 * * *", TZ=tz)
    assert planned.returncode == 0, planned.stderr
    assert re.search(rf"next at \S+ 03:00 \w+ \({zone}\)", planned.stdout)
    for elsewhere in ("America/New_York", "CET-1CEST", ":/etc/localtime"):  # the second means nothing
        listed = bench("campaign", "schedule", "--list", TZ=elsewhere)
        assert listed.returncode == 0, listed.stderr
        assert re.search(rf"0 3 \* \* \*  {zone} .* 03:00 \w+ \({zone}\)", listed.stdout), listed.stdout
    with open_store() as store:
        [one] = schedule.planned(store)
        assert one.zone == zone
        assert hour is None or one.next_run.astimezone(UTC).hour == hour


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_files_may_begin_with_a_byte_order_mark(tmp_path, monkeypatch, mark):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nightly.toml").write_bytes(mark + FILE.encode())
    (tmp_path / "bench.toml").write_bytes(mark + b"[harness]\nport = 0\n")
    done = bench("campaign", "plan", "nightly.toml", BENCH_DB=f"sqlite:///{tmp_path}/none.sqlite")
    assert done.returncode == 0, done.stderr
    assert "campaign nightly: 1 arms" in done.stdout


@pytest.mark.parametrize("name", ["nightly.toml", "bench.toml"])
@pytest.mark.parametrize(
    "data", [b"\xff\xfea\x00", b"a = " + b"[" * 5000, b"\xef\xbb\xbf\xef\xbb\xbf", b"\0"]
)
def test_a_file_that_is_no_toml_is_one_line(tmp_path, monkeypatch, name, data):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nightly.toml").write_text(FILE)
    (tmp_path / name).write_bytes(data)
    done = bench("campaign", "plan", "nightly.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and name in done.stderr


def test_a_zone_of_this_machine_without_a_name_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DB", raising=False)
    (tmp_path / "nightly.toml").write_text(FILE)
    done = bench(*PLAN, "0 3 * * *", TZ="CET-1CEST")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "TZ='CET-1CEST'" in done.stderr and "--timezone" in done.stderr
    assert bench(*PLAN, "0 3 * * *", "--timezone", "Europe/Berlin", TZ="CET-1CEST").returncode == 0


def test_a_job_of_an_older_version_gets_cron_s_own_times(place):
    """APScheduler's trigger fires twice where the clock goes back; the zone it holds is kept."""
    with open_store() as store:
        with schedule.opened(store) as scheduler:
            scheduler.add_job(
                schedule.fire,
                CronTrigger(minute="30", hour="2", timezone="Europe/Berlin"),
                id="nightly",
                kwargs={"name": "nightly", "file": str(place / "nightly.toml"), "cron": "30 2 * * *"},
            )
        [one] = schedule.planned(store)
        assert one.zone == "Europe/Berlin" and one.next_run.hour in (2, 3)
        with schedule.opened(store) as scheduler:
            due = datetime.now(UTC) - timedelta(days=1)
            scheduler.get_job("nightly").modify(next_run_time=due)
            schedule._renew(scheduler)
            job = scheduler.get_job("nightly")
        assert str(job.trigger) == "30 2 * * * (Europe/Berlin)"
        assert job.next_run_time == due  # what was missed stays due
