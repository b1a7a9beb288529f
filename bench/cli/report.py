"""`bench report` and `bench plot`: the history as a page and as a chart."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.db import Database
from bench.errors import InputError
from bench.report.output import write_file
from bench.store import open_store

Campaign = Annotated[
    str | None, typer.Option("--campaign", metavar="NAME", help="A campaign's name or number.")
]


class Kind(StrEnum):
    """The charts there are."""

    LATENCY = "latency"


def report_command(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.html")] = Path(
        "results/report.html"
    ),
    campaign: Campaign = None,
    db: Database = None,
) -> None:
    """Write one self-contained HTML page: support matrix, chart, table, and everything that failed."""
    if output.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--output {output} is no HTML file: use a name that ends in .html")
    from bench.report.html import write_report  # matplotlib and pandas are slow to load

    with open_store(db, create=False) as store:
        write_report(store, output, campaign=campaign)
    typer.echo(str(output))


def plot_command(
    kind: Annotated[Kind, typer.Argument(help="Which chart.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", show_default="results/report-KIND.svg")
    ] = None,
    campaign: Campaign = None,
    where: Annotated[str | None, typer.Option("--where", metavar="EXPR", help="As in `bench query`.")] = None,
    db: Database = None,
) -> None:
    """Write one chart as SVG or PNG."""
    path = output or Path(f"results/report-{kind.value}.svg")
    suffix = path.suffix.lower()
    if suffix not in (".svg", ".png"):
        raise InputError(f"--output {path} is no chart file: use a name that ends in .svg or .png")
    from bench.report.charts import latency_by_bits, render
    from bench.report.tables import arms_only

    with open_store(db, create=False) as store:
        figure = latency_by_bits(arms_only(store.summary(where, campaign=campaign)))
    write_file(path, render(figure, "svg" if suffix == ".svg" else "png"))
    typer.echo(str(path))
