"""`bench report` and `bench plot`: the history as a page and as a chart."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.db import Database
from bench.cli.flags import Campaign, Since, Where, choose
from bench.errors import InputError
from bench.metrics import COMPARED, DECODE, LATENCY
from bench.report.kinds import Kind
from bench.report.output import write_file
from bench.store import open_store


class Format(StrEnum):
    """What a report is written as."""

    HTML = "html"
    MARKDOWN = "markdown"


_SUFFIXES = {Format.HTML: (".html", ".htm"), Format.MARKDOWN: (".md", ".markdown")}


def report_command(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", show_default="results/report.html or .md")
    ] = None,
    output_format: Annotated[
        Format, typer.Option("--format", help="markdown puts its pictures beside it.")
    ] = Format.HTML,
    campaign: Campaign = None,
    where: Where = None,
    since: Since = None,
    least_cosine: Annotated[
        float, typer.Option("--min-cosine", metavar="X", help="What a choice must keep, from -1 to 1.")
    ] = 0.99,
    db: Database = None,
) -> None:
    """Write one self-contained HTML page: the choice, what runs where, charts, tables, and every failure."""
    suffixes = _SUFFIXES[output_format]
    path = output or Path(f"results/report{suffixes[0]}")
    if path.suffix.lower() not in suffixes:
        what = "an HTML" if output_format is Format.HTML else "a Markdown"
        raise InputError(f"--output {path} is not {what} file: use a name that ends in {suffixes[0]}")
    if not -1 <= least_cosine <= 1:
        raise InputError(f"--min-cosine {least_cosine} is not a cosine: use a number from -1 to 1")
    from bench.report.html import make_report, write_html, write_markdown  # matplotlib is slow to load

    with open_store(db, create=False) as store:
        report = make_report(store, campaign=campaign, where=where, since=since, least_cosine=least_cosine)
    (write_html if output_format is Format.HTML else write_markdown)(report, path)
    typer.echo(str(path))


def plot_command(
    kind: Annotated[Kind, typer.Argument(help="Which chart.")],
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="COL",
            show_default=False,
            help=f"What a history follows, as in bench history; else {LATENCY}, {DECODE} where all are "
            "language models.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", show_default="results/report-KIND.svg")
    ] = None,
    campaign: Campaign = None,
    where: Where = None,
    since: Since = None,
    db: Database = None,
) -> None:
    """Write one chart as SVG or PNG."""
    path = output or Path(f"results/report-{kind.value}.svg")
    suffix = path.suffix.lower()
    if suffix not in (".svg", ".png"):
        raise InputError(f"--output {path} is not a chart file: use a name that ends in .svg or .png")
    if metric is not None:
        if kind is not Kind.HISTORY:
            raise InputError(f"--metric {metric}: only bench plot {Kind.HISTORY.value} takes one")
        choose("--metric", metric, COMPARED)
    from bench.report.board import Board
    from bench.report.canvas import render
    from bench.report.plots import draw

    with open_store(db, create=False) as store:
        more = () if metric is None else (metric,)
        board = Board.load(store, where, campaign=campaign, since=since, more=more)
        figure = draw(kind, board, store, metric)
    write_file(path, render(figure, "svg" if suffix == ".svg" else "png"))
    typer.echo(str(path))


def explain_command(
    run: Annotated[int, typer.Argument(metavar="RUN", help="Any run behind the number.")],
    db: Database = None,
) -> None:
    """Say what is behind a number of a report: its runs, samples, order, adapter and browser build."""
    from bench.report.explain import arm_of, campaigns_of, explain  # pandas is slow to load

    with open_store(db, create=False) as store:
        board, arm = arm_of(store, run)
        seeds = {name: store.campaign(name).seed for name in campaigns_of(board, arm)}
    for line in explain(board, arm, seeds):
        typer.echo(line)
