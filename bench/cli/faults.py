"""`bench faults`: what can be broken on purpose. Hidden from the ordinary help."""

from __future__ import annotations

from typing import Any

import typer

from bench.cli.tables import console, print_table
from bench.errors import InputError
from bench.harness.injection import Bring, nothing
from bench.harness.supervisor import RUNNER

faults_app = typer.Typer(help="Faults on purpose, for `bench run --fault NAME`.")


@faults_app.callback()
def group() -> None:
    """Faults on purpose, for `bench run --fault NAME`; a run with one says so in its evidence."""


@faults_app.command("list")
def list_command() -> None:
    """Every fault, and what a run must become through it."""
    catalogue = _package().CATALOGUE
    lines = [
        [one.name, one.layer.value, one.about, one.outcome.value, one.stage.value if one.stage else ""]
        for one in catalogue.values()
    ]
    print_table(console(), ("fault", "layer", "what happens", "outcome", "stage"), lines)


def bring(fault: str | None) -> Bring:
    """What gives the harness the fault of that name; without one, nothing.

    Raises:
        InputError: there are no faults here.
    """
    if fault is None:
        return nothing
    found: Bring = _package().injection
    return found


def runner(fault: str | None) -> str:
    """The module whose process runs the cells."""
    return RUNNER if fault is None else "bench.faults.runner"


def _package() -> Any:
    """The faults, which a checkout has and an installed package has not."""
    try:
        import bench.faults  # Selenium, which an honest run's worker does without
    except ModuleNotFoundError as error:
        if error.name != "bench.faults":
            raise
        raise InputError("faults come with a checkout of the project; this is an installed package") from None
    return bench.faults
