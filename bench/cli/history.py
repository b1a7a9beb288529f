"""`bench history`: every arm over time, and what was new where its level changed."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.compare import BothWhere, Metric, as_text, percentage, usual
from bench.cli.db import Database
from bench.cli.flags import Campaign, Output, choose
from bench.errors import InputError
from bench.metrics import COMPARED, DECODE, LATENCY
from bench.report.output import write_file
from bench.report.row import rows_of
from bench.store import open_store

if TYPE_CHECKING:
    from bench.report.history import Series


class Format(StrEnum):
    """How a history is given."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    CSV = "csv"


def history_command(
    where: BothWhere = None,
    campaign: Campaign = None,
    metric: Metric = None,
    least: Annotated[
        str, typer.Option("--least", metavar="PERCENT", help="Smaller steps are not named.")
    ] = "2%",
    output_format: Annotated[
        Format, typer.Option("--format", help="csv has a line a run, json everything.")
    ] = Format.TABLE,
    output: Output = None,
    db: Database = None,
) -> None:
    """Follow each arm over time on one host, and name the run, browser and harness where a step begins.

    One point a session. A series ends where processor, adapter or weights change. Fallbacks are not in it.
    """
    if metric is not None:
        choose("--metric", metric, COMPARED)
    size = percentage("--least", least)
    from bench.report.history import NEEDED, as_csv, as_json, history  # SciPy is slow to load

    with open_store(db, create=False) as store:
        columns = list(dict.fromkeys([*NEEDED, *([metric] if metric else (LATENCY, DECODE))]))
        rows = rows_of(store.side(None, columns, where=where, campaign=campaign))
    metric = metric or usual(rows)
    series = history(rows, metric, size)
    if not series:
        raise InputError(f"no run that ran as requested has {metric}: see bench query")
    if output_format is Format.JSON:
        text = as_json(series, metric)
    elif output_format is Format.CSV:
        text = as_csv(series)
    else:
        markdown = output_format is Format.MARKDOWN
        text = _shown(series, metric, markdown=markdown, to_file=output is not None)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_file(output, text.encode())
        typer.echo(str(output))


def _shown(series: list[Series], metric: str, *, markdown: bool, to_file: bool) -> str:
    from bench.report.compare_text import markdown_table
    from bench.report.history import lines, steps_in_words, title

    head, body = lines(series, metric)
    steps = steps_in_words(series)
    if markdown:
        listed = [line for name, found in steps for line in (f"- {name}", *(f"  - {one}" for one in found))]
        return "\n".join(["; ".join(title(series, metric)), "", *markdown_table(head, body), "", *listed, ""])
    table = as_text(head, body, plain=to_file or not sys.stdout.isatty())
    listed = [line for name, found in steps for line in (name, *(f"  {one}" for one in found))]
    return "\n".join([*title(series, metric), "", table, "", *(listed or ["no steps"]), ""])
