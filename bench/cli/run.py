"""`bench run`: cells from flags."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.asked import Asked, with_flags
from bench.cli.db import Database
from bench.cli.faults import bring
from bench.cli.flags import Grid, with_grid
from bench.cli.query import give_runs
from bench.cli.work import Work, work
from bench.errors import InputError
from bench.harness.asked import RunSettings
from bench.harness.campaign import Policy, Report, Sources, settled_plan
from bench.harness.outputs import check_output_folder
from bench.harness.stop import Stop
from bench.plan.cells import make_plan
from bench.plan.measuring import kept
from bench.plan.request import Request
from bench.settings import Settings, load_settings
from bench.store import Campaign, Store, check_name, open_store

_MOST_SEED = 2**63 - 1  # what the database keeps


@with_flags()
def run_command(
    asked: Asked,
    seed: Annotated[int, typer.Option(help="Of the order the cells run in.")] = 0,
    name: Annotated[
        str | None, typer.Option(help="The campaign's name; else made of the time.", show_default=False)
    ] = None,
    grid: Grid = None,
    save_outputs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep inputs and outputs as DIR/RUN/<tensor>.npy.", show_default=False
        ),
    ] = None,
    fault: Annotated[str | None, typer.Option(hidden=True, help="A fault of `bench faults list`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON on stdout.")] = False,
    db: Database = None,
) -> int:
    """Run models in real browsers and keep every run, the refused and the fallen-back ones too.

    Exit code 5: the disk of the database is full; what was finished is kept, and `bench campaign resume`
    takes it in.
    """
    settings = with_grid(load_settings(), grid)
    if abs(seed) > _MOST_SEED:
        raise InputError(f"--seed {seed}: must be from -{_MOST_SEED} to {_MOST_SEED}")
    arms = asked.arms(settings)
    bring(fault)(fault)  # refuses an unknown one before anything is written
    measuring = RunSettings(**asked.settings(), fault=fault)
    report = run_requests(arms, settings, measuring, seed=seed, name=name, db=db, save_outputs=save_outputs)
    if as_json:
        print(json.dumps(as_contract(report)))
    else:
        print_runs(report, db)
    return report.exit_code


def run_requests(
    arms: list[Request],
    settings: Settings,
    measuring: RunSettings,
    *,
    seed: int = 0,
    name: str | None = None,
    db: str | None = None,
    save_outputs: Path | None = None,
    stop: Stop | None = None,
) -> Report:
    """Check everything, write the plan, run it; progress goes to stderr.

    Raises:
        InputError: anything that is wrong before the first run; then nothing was written.
        KeyboardInterrupt: stopped before the first run.
    """
    plan = make_plan(arms, seed)
    if name is not None:
        check_name(name)
    if save_outputs:
        check_output_folder(save_outputs)

    def write(store: Store, sources: Sources) -> Campaign:
        chosen = settled_plan(plan, sources)
        return store.plan_campaign(name, chosen, settings=kept(measuring.model_dump()))

    what = Work(
        list(dict.fromkeys(arms)),
        write,
        settings,
        db,
        create=True,
        policy=Policy(),
        fault=measuring.fault,
        save_outputs=save_outputs,
        keep=True,
    )
    return work(what, stop)[0]


def as_contract(report: Report) -> dict[str, Any]:
    """The JSON of `bench run --json`."""
    return {
        "campaign": report.campaign.id,
        "runs": [record.model_dump(mode="json") for record in report.records],
    }


def print_runs(report: Report, db: str | None) -> None:
    """A table of what ran, and where to look next."""
    name = report.campaign.name
    with open_store(db, create=False) as store:
        rows = store.rows(
            campaign=report.campaign.id, sort="requested_model,browser,requested_platform,-bits"
        )
    give_runs(rows)
    typed = shlex.quote(name)
    print(f"campaign {name}; more: bench query --campaign {typed}, bench report --campaign {typed}")
