"""`bench campaign schedule` and `bench scheduler run`: campaigns at set times."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.campaign_file import load
from bench.cli.db import Database
from bench.cli.tables import console, print_table
from bench.errors import InputError
from bench.report import words
from bench.store import open_store

if TYPE_CHECKING:  # APScheduler is slow to load, and `bench campaign run` needs none of it
    from bench.harness.schedule import Planned

scheduler_app = typer.Typer(help="Run scheduled campaigns when their time comes.", no_args_is_help=True)
_SHOWN = 5


def schedule_command(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A campaign file; read again at each run.")
    ] = None,
    cron: Annotated[
        str | None,
        typer.Option(metavar="LINE", help='When, as in a crontab: "0 3 * * *".', show_default=False),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="Whose clock LINE means, for example Europe/Berlin; else this machine's.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help=f"Print the next {_SHOWN} times, and store nothing.")
    ] = False,
    as_list: Annotated[bool, typer.Option("--list", help="List what is scheduled.")] = False,
    remove: Annotated[
        str | None, typer.Option(metavar="NAME", help="Schedule it no more.", show_default=False)
    ] = None,
    db: Database = None,
) -> None:
    """Schedule a campaign, list what is scheduled, or take one off; `bench scheduler run` runs them.

    Each run is a campaign of its own, named after the file's campaign and the time. What was missed becomes
    one run. The zone is kept with the line: it means the same times wherever the scheduler runs.
    """
    if sum([file is not None, as_list, remove is not None]) != 1:
        raise InputError("give one of: a campaign FILE with --cron LINE, --list, --remove NAME")
    if (cron is None) is not (file is None):
        raise InputError('a campaign FILE and --cron LINE go together, for example --cron "0 3 * * *"')
    if file is not None and cron is not None:
        _schedule(file, cron, timezone, db, dry_run=dry_run)
        return
    for flag, given in (("--timezone", timezone is not None), ("--dry-run", dry_run)):
        if given:
            raise InputError(f"{flag} goes with a campaign FILE and --cron LINE")
    from bench.harness import schedule

    with open_store(db, create=False) as store:
        if remove is not None:
            schedule.remove(store, remove)
            print(f"campaign {remove}: scheduled no more")
            return
        lines = [
            [words.visible(one.name), one.cron, one.zone, _at(one), words.visible(one.file)]
            for one in schedule.planned(store)
        ]
        print_table(console(), ("name", "cron", "zone", "next", "file"), lines)


def _schedule(file: Path, cron: str, timezone: str | None, db: str | None, *, dry_run: bool) -> None:
    """Check all of it, then keep it or only say when it would run."""
    from bench.harness import schedule
    from bench.harness.crontab import CronLine
    from bench.harness.zones import host_zone

    campaign, _, plan = load(file)
    line = CronLine(cron, host_zone() if timezone is None else timezone)
    about = f"campaign {campaign.name}: {len(plan.cells)} cells"
    if dry_run:
        print(f"{about}, at {line}:")
        for due in line.next(datetime.now(UTC), _SHOWN):
            print(f"  {_time(due)}")
        print("nothing was stored")
        return
    with open_store(db) as store:
        one = schedule.add(store, campaign.name, file, line)
    print(f"{about}, next at {_at(one)}; runs while this does:")
    print("  bench scheduler run")


def _time(due: datetime) -> str:
    return f"{due:%Y-%m-%d %H:%M %Z}"


def _at(one: Planned) -> str:
    return f"{_time(one.next_run)} ({one.zone})" if one.next_run else "never again"


@scheduler_app.command("run")
def scheduler_run_command(db: Database = None) -> None:
    """Wait, and run each scheduled campaign when its time comes, one at a time, until Ctrl-C or SIGTERM.

    A campaign that runs then finishes its run in hand (Ctrl-C) or ends it (SIGTERM); `resume` goes on.
    """
    from bench.harness import schedule

    if db:
        os.environ["BENCH_DB"] = db  # for the campaigns, which are processes of their own
    with open_store(db) as store:
        waiting = schedule.planned(store)
        print(f"scheduler: {len(waiting)} campaigns, kept in {store.url}", flush=True)
        for one in waiting:
            print(f"  {one.name}: {one.cron}, next at {_at(one)}", flush=True)
        schedule.serve(store)
    print("scheduler: stopped", flush=True)
