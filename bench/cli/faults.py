"""`bench faults`: what can be broken on purpose. Hidden from the ordinary help."""

from __future__ import annotations

import typer

from bench.cli.tables import console, print_table
from bench.faults import CATALOGUE

faults_app = typer.Typer(help="Faults on purpose, for `bench run --fault NAME`.")


@faults_app.callback()
def group() -> None:
    """Faults on purpose, for `bench run --fault NAME`; a run with one says so in its evidence."""


@faults_app.command("list")
def list_command() -> None:
    """Every fault, and what a run must become through it."""
    lines = [
        [one.name, one.layer.value, one.about, one.outcome.value, one.stage.value if one.stage else ""]
        for one in CATALOGUE.values()
    ]
    print_table(console(), ("fault", "layer", "what happens", "outcome", "stage"), lines)
