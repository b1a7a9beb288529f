"""Campaigns at set times: APScheduler, with its job store in the same database.

The scheduler starts `bench campaign run` as a process of its own, one at a time: two campaigns at once would
measure each other. Runs that were missed, because the scheduler was down or a campaign took long, become one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from bench.errors import InputError
from bench.harness.supervisor import ROOT
from bench.store import Store

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Planned:
    """One line of `bench campaign schedule --list`; times have the host's time zone."""

    name: str
    cron: str
    file: str
    next_run: datetime | None


def trigger_of(cron: str) -> BaseTrigger:
    """The times that a crontab line means, in the host's time zone.

    Days of the week are cron's (0 and 7 are Sunday), not APScheduler's; and as in cron, where both a day of
    the month and a day of the week are given, either will do.

    Raises:
        InputError: it is no crontab line.
    """
    fields = cron.split()
    if len(fields) != 5:
        raise InputError(
            f'--cron "{cron}": {len(fields)} fields; allowed: five, minute hour day month weekday, '
            'for example "0 3 * * *"'
        )
    minute, hour, day, month, weekday = fields
    times = {"minute": minute, "hour": hour, "month": month}
    try:
        named = _weekdays(weekday)
        if day == "*" or weekday == "*":
            return CronTrigger(**times, day=day, day_of_week=named)
        return OrTrigger([CronTrigger(**times, day=day), CronTrigger(**times, day_of_week=named)])
    except ValueError as error:
        raise InputError(f'--cron "{cron}": {error}; for example "0 3 * * *"') from None


def _weekdays(field: str) -> str:
    """Cron's numbers as names; a range that ends on Sunday or passes it becomes a list."""
    found = []
    for part in field.split(","):
        span, slash, step = part.partition("/")
        low, dash, high = span.partition("-")
        if not dash and not slash:
            found.append(_DAYS[int(low)] if low.isdecimal() and int(low) <= 7 else low)
            continue
        first, last = (0, 6) if low == "*" else (_number(low), _number(high) if dash else 6)
        every = int(step) if slash else 1
        if every < 1 or last < first:
            raise ValueError(f"{part!r} is no range of days")
        found += [_DAYS[number] for number in range(first, last + 1, every)]
    return ",".join(found)


def _number(day: str) -> int:
    if day.isdecimal() and int(day) <= 7:
        return int(day)
    if day.lower() in _DAYS:
        return _DAYS.index(day.lower())
    raise ValueError(f"{day!r} is no day of the week; allowed: 0 to 7, or mon to sun")


class _Scheduler(BackgroundScheduler):  # type: ignore[misc]  # APScheduler has no types
    """Takes no job any more once it is being shut down.

    APScheduler wakes its thread to end it, and that looks for due jobs once more: with the executors gone it
    would call them run and lose them. `bench campaign schedule --list` at such a moment is enough.
    """

    def _process_jobs(self) -> Any:
        return super()._process_jobs() if self.running else None


@contextmanager
def opened(store: Store, *, paused: bool = True) -> Iterator[BackgroundScheduler]:
    """The scheduler on this database; paused, it only shows and changes what is planned."""
    engine = store.engine.execution_options(bench_writes=True)
    scheduler = _Scheduler(
        jobstores={"default": SQLAlchemyJobStore(engine=engine)},
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    scheduler.start(paused=paused)
    try:
        yield scheduler
    finally:
        scheduler.shutdown(wait=not paused)


def add(store: Store, name: str, file: Path, cron: str) -> Planned:
    """Plan a campaign; one of that name is planned anew.

    Raises:
        InputError: `cron` is no crontab line.
    """
    trigger = trigger_of(cron)
    with opened(store) as scheduler:
        job = scheduler.add_job(
            fire,
            trigger,
            id=name,
            name=name,
            kwargs={"name": name, "file": str(file.resolve()), "cron": cron},
            replace_existing=True,
        )
        return _planned(job)


def remove(store: Store, name: str) -> None:
    """Plan a campaign no more; what runs goes on.

    Raises:
        InputError: none of that name is planned.
    """
    with opened(store) as scheduler:
        try:
            scheduler.remove_job(name)
        except JobLookupError:
            names = ", ".join(job.id for job in scheduler.get_jobs()) or "none"
            raise InputError(f"no campaign {name!r} is scheduled; scheduled: {names}") from None


def planned(store: Store) -> list[Planned]:
    """What is planned, the next first."""
    with opened(store) as scheduler:
        return [_planned(job) for job in scheduler.get_jobs()]


def _planned(job: Any) -> Planned:
    return Planned(job.id, job.kwargs["cron"], job.kwargs["file"], job.next_run_time)


def fire(name: str, file: str, cron: str) -> None:
    """Run the campaign now, under its name and the time; called by the scheduler in a thread."""
    unique = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    print(f"{unique}: begins ({file}, {cron})", flush=True)
    command = [sys.executable, "-P", "-m", "bench", "campaign", "run", file, "--name", unique]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # A session of its own: its Ctrl-C comes from us, once.
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, start_new_session=True)
    _children[child.pid] = child
    try:
        code = child.wait()
    finally:
        _children.pop(child.pid, None)
    print(f"{unique}: ended with exit code {code}", flush=True)


def serve(store: Store) -> None:
    """Run what is planned until Ctrl-C or SIGTERM; a campaign that runs then is stopped with the same signal.

    Campaigns use the database that BENCH_DB names in this process.
    """
    ended = threading.Event()

    def take(number: int, _frame: FrameType | None) -> None:
        ended.set()
        for child in list(_children.values()):
            with contextlib.suppress(OSError):
                os.kill(child.pid, number)

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with opened(store, paused=False):
            while not ended.wait(1.0):
                pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
