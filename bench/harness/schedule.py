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
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from bench.errors import InputError
from bench.harness.crontab import CronLine
from bench.harness.stop import stopping_signals
from bench.harness.supervisor import ROOT
from bench.harness.zones import host_zone, zone_of
from bench.store import Store

_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Planned:
    """One line of `bench campaign schedule --list`; `next_run` is in the job's own zone."""

    name: str
    cron: str
    zone: str
    file: str
    next_run: datetime | None


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
        timezone=UTC,  # each job has its own; left alone it would look for the host's, and fail without one
    )
    scheduler.start(paused=paused)
    try:
        yield scheduler
    finally:
        scheduler.shutdown(wait=not paused)


def add(store: Store, name: str, file: Path, line: CronLine) -> Planned:
    """Plan a campaign; one of that name is planned anew."""
    with opened(store) as scheduler:
        job = scheduler.add_job(
            fire,
            line,
            id=name,
            name=name,
            kwargs={"name": name, "file": str(file.resolve()), "cron": line.line, "zone": line.zone},
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
    zone = _zone(job)
    due = job.next_run_time
    return Planned(
        job.id, job.kwargs["cron"], zone, job.kwargs["file"], due and due.astimezone(zone_of(zone))
    )


def _zone(job: Any) -> str:
    """The zone that the job was planned in; those of older versions hold it in APScheduler's own triggers."""
    if isinstance(job.trigger, CronLine):
        return job.trigger.zone
    inner = getattr(job.trigger, "triggers", [job.trigger])[0]
    try:
        zone_of(str(inner.timezone))
    except (AttributeError, InputError):
        return host_zone()
    return str(inner.timezone)


def _renew(scheduler: BackgroundScheduler) -> None:
    """Give the jobs of older versions times that are cron's; what was missed stays due."""
    for job in scheduler.get_jobs():
        if not isinstance(job.trigger, CronLine):
            line = CronLine(job.kwargs["cron"], _zone(job))
            job.modify(trigger=line, kwargs={**job.kwargs, "zone": line.zone})


def fire(name: str, file: str, cron: str, zone: str = "UTC") -> None:
    """Run the campaign now, under its name and the time; called by the scheduler in a thread."""
    now = datetime.now(zone_of(zone))
    unique = f"{name}-{now:%Y%m%d-%H%M%S}{'-again' if now.fold else ''}"  # an hour may come twice
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
    """Run what is planned until Ctrl-C, SIGTERM or SIGHUP; a campaign that runs then is sent the same.

    Campaigns use the database that BENCH_DB names in this process.
    """
    ended = threading.Event()

    def take(number: int, _frame: FrameType | None) -> None:
        ended.set()
        for child in list(_children.values()):
            with contextlib.suppress(OSError):
                os.kill(child.pid, number)

    before = {number: signal.signal(number, take) for number in stopping_signals()}
    try:
        with opened(store) as scheduler:
            _renew(scheduler)
        with opened(store, paused=False):
            while not ended.wait(1.0):
                pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
