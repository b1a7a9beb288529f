"""`bench campaign`: campaigns from a TOML file, planned, run, resumed, looked at, cancelled."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.campaign_file import load
from bench.cli.campaign_view import plan_json, print_plan, print_status, status_json
from bench.cli.db import Database
from bench.cli.flags import AsJson, Grid, with_grid
from bench.cli.schedule import schedule_command
from bench.cli.tables import Layout, console, print_table
from bench.cli.work import Work, open_cells, work
from bench.errors import InputError
from bench.harness.campaign import (
    Policy,
    Report,
    Sources,
    release,
    settled_plan,
)
from bench.harness.foresight import Asked, Foreseen, asked, foresee
from bench.plan.campaign import CampaignFile, retried
from bench.plan.cells import Plan
from bench.plan.estimate import Estimate, Forecast
from bench.plan.measuring import OPERATORS, kept
from bench.plan.request import Request
from bench.report import words
from bench.settings import load_settings
from bench.store import Campaign, CampaignState, Store, open_store
from bench.store.address import parse_url, sqlite_path
from bench.store.origin import shown

campaign_app = typer.Typer(help="Campaigns from a TOML file: planned, run, resumed, looked at.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A campaign file; see docs/campaigns.md.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A campaign's name or number.")]
Rename = Annotated[
    str | None, typer.Option("--name", help="Instead of the name in the file.", show_default=False)
]


campaign_app.command("schedule")(schedule_command)


@campaign_app.command("plan")
def plan_command(file: File, as_json: AsJson = False, db: Database = None) -> None:
    """Print the cells in their order, those known not to run here, and how long it will take. Writes nothing.

    What is known comes from this machine and from the runs in the database.
    """
    campaign, arms, plan = load(file)
    with_history = _history(db)
    settings = with_grid(load_settings(), campaign.run.grid)
    foreseen = foresee(arms, settings, with_history[1])
    estimate = _estimate(plan, foreseen, with_history[0])
    if as_json:
        print(json.dumps(plan_json(campaign, plan, foreseen, estimate), indent=2))
        return
    print_plan(campaign, arms, plan, foreseen, estimate)


def _history(db: str | None) -> tuple[Forecast, dict[Asked, Any]]:
    """Durations and refusals from the database; nothing where there is none yet."""
    path = sqlite_path(parse_url(db))
    if path is not None and not path.exists():
        return Forecast(), {}
    with open_store(db, create=False) as store:
        return Forecast(store.durations()), dict(store.refusals())


def _estimate(plan: Plan, foreseen: dict[Asked, Foreseen], forecast: Forecast) -> Estimate:
    """A browser that is not here takes no time."""
    here = [
        cell.request
        for cell in plan.cells
        if (at := foreseen.get(asked(cell.request))) is None or at.outcome.value != "unavailable"
    ]
    return forecast.of(here)


@campaign_app.command("run")
def run_file_command(file: File, name: Rename = None, grid: Grid = None, db: Database = None) -> int:
    """Write the plan into the database and run it; progress goes to stderr.

    The first Ctrl-C finishes the run in hand, the second ends it; `bench campaign resume` goes on.
    Exit code 5: the disk of the database is full; what was finished is kept, and `resume` takes it in.
    """
    campaign_file, arms, plan = load(file, name, grid)

    def make(store: Store, sources: Sources) -> Campaign:
        chosen, settings = settled_plan(plan, sources), kept(campaign_file.run.model_dump())
        return store.plan_campaign(campaign_file.name, chosen, settings=settings)

    return _measure(arms, make, db, create=True, file=campaign_file)


@campaign_app.command("resume")
def resume_command(name: Name, grid: Grid = None, db: Database = None) -> int:
    """Go on with a campaign, or join one that runs: every cell that has not ended runs.

    What ended with a worker that is gone is an `interrupted` row, and runs again.
    """
    with open_store(db, create=False) as store:
        campaign = store.campaign(name)
        if campaign.state is CampaignState.CANCELLED:
            raise InputError(
                f"the campaign {campaign.name!r} was cancelled: run its file under another --name"
            )
        if campaign.plan_hash is not None and campaign.plan.hash != campaign.plan_hash:
            raise InputError(
                f"the plan of campaign {campaign.name!r} was changed in the database: its hash is "
                f"{campaign.plan.hash[:16]}, it was written with {campaign.plan_hash[:16]}"
            )
        if OPERATORS in campaign.settings:
            from bench.harness.kernel_plan import restored  # with all that a session needs

            restored(campaign)
        release(store, campaign)
        opened = open_cells(store, campaign)
        if not opened:
            store.settle(campaign.id)
            print_status(store.status(campaign.id))
            return Report(campaign, finals=store.finals(campaign.id)).exit_code
    if OPERATORS in campaign.settings:
        from bench.cli.kernels import resume

        return resume(campaign, with_grid(load_settings(), grid), db)
    file = CampaignFile.model_validate(campaign.definition) if campaign.definition else None
    arms = list(dict.fromkeys(campaign.cells[position].request for position in sorted(opened)))
    return _measure(
        arms, lambda store, _: store.campaign(campaign.id), db, create=False, file=file, grid=grid
    )


def policy_of(file: CampaignFile | None) -> Policy:
    """Retries, budgets and breaker of a file; those of `bench run` without one."""
    if file is None:
        return Policy()
    return Policy(
        attempts=file.retry.attempts,
        retry_on=retried(file),
        breaker=file.run.breaker,
        max_cell_seconds=file.run.max_cell_seconds,
        max_minutes=file.run.max_minutes,
        precision=file.stop.precision if file.stop else None,
        blocks=file.run.blocks,
    )


def _measure(
    arms: Sequence[Request],
    get: Callable[[Store, Sources], Campaign],
    db: str | None,
    *,
    create: bool,
    file: CampaignFile | None,
    grid: str | None = None,
) -> int:
    """Run every open cell; the exit code. A campaign from flags has no `file`."""
    settings = with_grid(load_settings(), grid or (file.run.grid if file else None))
    checks = file.checks if file else None
    # What goes on was begun where its browsers had the features; what lacks them here is a row.
    what = Work(arms, get, settings, db, create=create, policy=policy_of(file), checks=checks, probe=create)
    report, status = work(what)
    print_status(status)
    return report.exit_code


@campaign_app.command("status")
def status_command(name: Name, as_json: AsJson = False, db: Database = None) -> None:
    """Say where a campaign is: cells, runs by outcome, who runs what now."""
    with open_store(db, create=False) as store:
        status = store.status(name)
    if as_json:
        print(json.dumps(status_json(status), indent=2))
    else:
        print_status(status)


@campaign_app.command("list")
def list_campaigns_command(as_json: AsJson = False, db: Database = None) -> None:
    """List every campaign in the database with its state, and whose results it holds."""
    with open_store(db, create=False) as store:
        rows = [{**row, "origin": shown(row)} for row in store.campaigns()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    head = ("id", "name", "origin", "state", "cells", "done", "skipped", "created", "note")
    keys = ("id", "name", "origin", "state", "cells", "done", "skipped", "created_at", "note")
    lines = [[words.visible(row[key]) for key in keys] for row in rows]
    print_table(console(), head, lines, Layout(spare=("created", "skipped", "note"), own=("state",)))


@campaign_app.command("cancel")
def cancel_command(name: Name, db: Database = None) -> None:
    """End a campaign for good: its open cells are skipped; a run in hand still ends and is kept."""
    with open_store(db, create=False) as store:
        status = store.status(name)
        if status.state in (CampaignState.DONE, CampaignState.CANCELLED):
            raise InputError(f"the campaign {status.name!r} is {status.state.value} already")
        store.set_state(status.id, CampaignState.CANCELLED, "cancelled by the user")
        count = store.skip(status.id, "the campaign was cancelled")
    print(f"campaign {status.name}: cancelled, {count} cells skipped")
