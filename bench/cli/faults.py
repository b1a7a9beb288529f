"""`bench faults`: what can be broken on purpose. Hidden from the ordinary help."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.table import Table

from bench.faults import CATALOGUE

faults_app = typer.Typer(help="Faults on purpose, for `bench run --fault NAME`.")


@faults_app.callback()
def group() -> None:
    """Faults on purpose, for `bench run --fault NAME`; a run with one says so in its evidence."""


@faults_app.command("list")
def list_command() -> None:
    """Every fault, and what a run must become through it."""
    table = Table(header_style="bold underline", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("fault", "layer", "what happens", "outcome", "stage"):
        table.add_column(name, no_wrap=name == "fault")
    for fault in CATALOGUE.values():
        stage = fault.stage.value if fault.stage else ""
        table.add_row(fault.name, fault.layer.value, fault.about, fault.outcome.value, stage)
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 10_000).print(table)
