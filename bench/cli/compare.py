"""`bench compare`: two campaigns, browsers, builds or precisions against each other, block by block."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.db import Database
from bench.cli.flags import Output, choose
from bench.cli.tables import VERDICTS, Layout, captured, print_table, toned
from bench.errors import InputError
from bench.metrics import COMPARED, DECODE, LATENCY
from bench.report.output import write_file
from bench.report.row import Row, rows_of, writes
from bench.store import Store, open_store

if TYPE_CHECKING:
    from bench.report.compare import Table

TOO_NOISY = 4
SIDE = "A campaign's name or number, or a filter: bits=4, browser=firefox, browser_version=153.0.8010.0."
BothWhere = Annotated[
    str | None, typer.Option("--where", metavar="EXPR", help="Only runs of both sides that meet this.")
]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="COL",
        show_default=False,
        help=f"One of {', '.join(COMPARED)}; else {LATENCY}, {DECODE} where all are language models.",
    ),
]


class Format(StrEnum):
    """How a comparison is given."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    JUNIT = "junit"
    CSV = "csv"


def compare_command(
    base: Annotated[str, typer.Argument(metavar="BASE", help=SIDE)],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The same; what is asked about.")],
    campaign: Annotated[
        str | None, typer.Option("--campaign", metavar="NAME", help="Both sides are filters within this one.")
    ] = None,
    where: BothWhere = None,
    metric: Metric = None,
    margin: Annotated[
        str, typer.Option("--margin", metavar="PERCENT", help="What counts as no difference.")
    ] = "2%",
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also across adapters, clock steps, weights, models; fallbacks too. It is said."
        ),
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            metavar="slower:PERCENT",
            help="Exit with 1 where a whole interval says slower by more than this, with 4 where one is too "
            "noisy to tell.",
        ),
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", help="How it is given.")] = Format.TABLE,
    output: Output = None,
    db: Database = None,
) -> None:
    """Compare two sides cell by cell: ratio of times with its 95 % interval over blocks, and a verdict.

    Cells meet where they asked for the same in everything but what tells the sides apart. Exit codes: 0
    compared; 1 `--fail-on` is met; 2 not comparable, or bad input; 3 no cell has both sides; 4 not met where
    it can be told, but an interval has the limit of `--fail-on` within it, or there is none: too noisy to
    tell. As JUnit without `--fail-on` a cell whose verdict is slower has failed.
    """
    if metric is not None:
        choose("--metric", metric, COMPARED)
    within = percentage("--margin", margin)
    above = _fail_above(fail_on)
    from bench.report.compare import NEEDED, compare  # SciPy is slow to load

    with open_store(db, create=False) as store:
        columns = list(dict.fromkeys([*NEEDED, *([metric] if metric else (LATENCY, DECODE))]))
        sides = [rows_of(store.side(text, columns, where=where, campaign=campaign)) for text in (base, other)]
        chosen = metric or usual([*sides[0], *sides[1]])
        table = compare(sides[0], sides[1], (base, other), chosen, within, force=force)
        table = replace(table, adapters=_adapters(store, table))
    text = _text(table, output_format, above, to_file=output is not None)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_file(output, text.encode())
        typer.echo(str(output))
    if code := _exit_code(table, above):
        raise typer.Exit(code)


def usual(rows: Sequence[Row]) -> str:
    """What rows are compared by where nobody says it: language models by a token, others by an inference."""
    return DECODE if rows and all(writes(row) for row in rows) else LATENCY


def _adapters(store: Store, table: Table) -> list[str]:
    """How the adapters of two browsers differ, by a run of each; nothing where they have one browser."""
    from bench.report.alike import adapters_differ

    cell = next((cell for cell in table.cells if cell.base.runs and cell.other.runs), None)
    if cell is None or "requested_browser" not in table.varied:
        return []
    base, other = (store.run(side.runs[0]).environment.adapter for side in (cell.base, cell.other))
    return adapters_differ(base, other)


def _exit_code(table: Table, above: float | None) -> int:
    from bench.report.gate import Gate, count

    if table.aggregate.ratio is None:
        return 3
    if above is None:
        return 0
    if count(table, above, Gate.EXCEEDED):
        return 1
    return TOO_NOISY if count(table, above, Gate.NOISY) else 0


def percentage(flag: str, text: str, most: float = 100.0) -> float:
    """`2%`, `2 %` or `2` as 0.02; InputError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%?\s*", text, re.ASCII)
    if found is None or not 0 < float(found[1]) <= most:
        raise InputError(f"{flag} {text}: not allowed; write a percentage above 0, at most {most:g}, like 2%")
    return float(found[1]) / 100


def _fail_above(text: str | None) -> float | None:
    if text is None:
        return None
    kind, colon, size = text.partition(":")
    if kind.strip() != "slower" or not colon:
        raise InputError(f"--fail-on {text}: not allowed; write for example slower:5%")
    return percentage("--fail-on slower:", size, most=10_000.0)


def _text(table: Table, output_format: Format, above: float | None, *, to_file: bool) -> str:
    from bench.report import compare_text as given
    from bench.report.junit import as_junit

    if output_format is Format.JSON:
        return given.as_json(table, above)
    if output_format is Format.CSV:
        return given.as_csv(table)
    if output_format is Format.MARKDOWN:
        return given.as_markdown(table, above)
    if output_format is Format.JUNIT:
        return as_junit(table, above)
    shown = as_text(given.headings(table), given.lines(table), plain=to_file or not sys.stdout.isatty())
    return "\n".join([*given.title(table), "", shown, "", *given.summary(table, above), ""])


def as_text(head: Sequence[str], body: Sequence[Sequence[str]], *, plain: bool) -> str:
    """A table for a terminal, no wider than that; in a pipe or a file each line stays whole."""
    rows = [[toned(value, VERDICTS) for value in row] for row in body]
    return captured(lambda out: print_table(out, head, rows, _LAYOUT), plain=plain)


_UNITS = ("", " ms", " 1/s")
_SIDES = tuple(f"{side}{unit}" for side in ("BASE", "OTHER") for unit in _UNITS)
_NOW = tuple(f"now{unit}" for unit in _UNITS)
_LAYOUT = Layout(
    spare=(*_SIDES, "blocks", "from", "runs"),
    own=("ratio [95 %]", "verdict", *_NOW, "steps", "blocks"),
    right=("blocks", *_SIDES, "bits", "tokens", "runs", "ms"),
)
