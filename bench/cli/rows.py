"""Rows in any format: a table for people, CSV, JSON, JSON lines, Markdown, Parquet; to stdout or a file."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.errors import InputError
from bench.report import words
from bench.report.output import write_file
from bench.store.filter import column
from bench.store.schema import SUMMARY

Row = Mapping[str, Any]
WIDE = 10_000  # not wrapped where nobody looks at it: a pipe or a file gets each row on one line

Where = Annotated[
    str | None,
    typer.Option("--where", metavar="EXPR", help="For example: bits = 4 and outcome in (ok, fallback)"),
]
Campaign = Annotated[
    str | None, typer.Option("--campaign", metavar="NAME", help="A campaign's name or number.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Only runs begun since: 30d, 12h, 2w, or a date (UTC)."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Into a file, whole or not at all.")
]
_TONES = {
    "ok": "green",
    "fallback": "yellow",
    "unsupported": "dim",
    "unavailable": "dim",
    "interrupted": "dim",
}
_NARROW = {"run", "bits", "outcome", "saved", "kernel", "cosine", "id", "count", "runs", "last seen"}


class Format(StrEnum):
    """How rows are given."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    PARQUET = "parquet"


def check_format(output_format: Format, output: Path | None) -> None:
    """Raise InputError where the answer could not be given; before anything is read for it."""
    if output_format is Format.PARQUET and output is None and sys.stdout.isatty():
        raise InputError("--format parquet is no text: name a file with --output, or pipe it")


def named_columns(text: str | None, table: sa.FromClause = SUMMARY) -> list[str] | None:
    """The columns that `--columns` names, each once; None where it was not given."""
    if text is None:
        return None
    names = [column(part.strip(), table).name for part in text.split(",") if part.strip()]
    if not names:
        raise InputError("--columns is empty: name some, for example id,campaign")
    return list(dict.fromkeys(names))


def give(
    rows: Sequence[Row],
    header: Sequence[str],
    output_format: Format,
    output: Path | None,
    *,
    shown: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None,
    kinds: Mapping[str, type] | None = None,
    noun: str = "run",
    notes: Sequence[str] = (),
) -> None:
    """Print rows, or write them.

    Args:
        rows: what there is; None is a blank.
        header: the columns, in order.
        output_format: which form.
        output: a file instead of stdout; its name is printed then.
        shown: headings and texts for people, where they are not the columns as they are.
        kinds: column -> int, float, bool or str, for Parquet; what is not named is told from its values.
        noun: what a row is, for the count under a table.
        notes: lines under a table.
    """
    if output_format in (Format.TABLE, Format.MARKDOWN):
        names, lines = shown or (header, [texts(row, header) for row in rows])
        if output_format is Format.MARKDOWN:
            content = _markdown(names, lines) + "".join(f"\n{note}\n" for note in notes)
        elif output is None:
            _print_table(names, lines, noun, notes)
            return
        else:
            console = Console(file=io.StringIO(), width=WIDE)
            content = _captured(console, names, lines, noun, notes)
        data = content.encode()
    else:
        data = _data(rows, header, output_format, kinds or {})
    if output is not None:
        write_file(output, data)
        typer.echo(str(output))
    elif output_format is Format.PARQUET:
        sys.stdout.buffer.write(data)
    else:
        typer.echo(data.decode(), nl=False)


def _data(
    rows: Sequence[Row], header: Sequence[str], output_format: Format, kinds: Mapping[str, type]
) -> bytes:
    if output_format is Format.PARQUET:
        return parquet(rows, header, kinds)
    plain = [{name: row[name] for name in header} for row in rows]
    if output_format is Format.JSON:
        text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    elif output_format is Format.JSONL:
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in plain)
    else:
        text = _csv(header, rows)
    return text.encode()


def parquet(rows: Sequence[Row], header: Sequence[str], kinds: Mapping[str, type]) -> bytes:
    """One Parquet file; a column of blanks keeps its type."""
    import pyarrow as pa  # slow to load, and most commands need none
    from pyarrow import parquet as files

    arrow = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}
    columns = [
        pa.array([row[name] for row in rows], type=arrow[kinds[name]] if name in kinds else None)
        for name in header
    ]
    sink = pa.BufferOutputStream()
    files.write_table(pa.table(columns, names=list(header)), sink)
    return bytes(sink.getvalue())


def plain(value: Any) -> str:
    """A value as text; "" for a blank."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def texts(row: Row, header: Sequence[str]) -> list[str]:
    """A row for people, without what a terminal would take for a command."""
    return [
        words.number(row[name], 5) if isinstance(row[name], float) else words.visible(plain(row[name]))
        for name in header
    ]


def _csv(header: Sequence[str], rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([plain(row[name]) for name in header] for row in rows)
    return text.getvalue()


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    # A bar or a line break in foreign words would end the cell.
    safe = [[" ".join(value.split()).replace("|", "\\|") for value in row] for row in rows]
    return tabulate(safe, list(header), tablefmt="pipe", disable_numparse=True) + "\n"


def _print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], noun: str, notes: Sequence[str]
) -> None:
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDE)
    count = f"{len(rows)} {noun}{'' if len(rows) == 1 else 's'}"
    hidden = -1
    if sys.stdout.isatty() and "model" in header:
        place = list(header).index("model")
        models = {row[place] for row in rows}
        if len(models) == 1:  # said once beneath leaves room for the numbers
            hidden, count = place, f"{count} of {models.pop()}"
    if rows:
        console.print(_table(header, rows, hidden))
    for line in (count, *notes):
        console.print(Text(line))


def _captured(
    console: Console, header: Sequence[str], rows: Sequence[Sequence[str]], noun: str, notes: Sequence[str]
) -> str:
    with console.capture() as captured:
        if rows:
            console.print(_table(header, rows, -1))
        for line in (f"{len(rows)} {noun}{'' if len(rows) == 1 else 's'}", *notes):
            console.print(Text(line))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], hidden: int) -> Table:
    """A table without lines; foreign words are text, never markup."""
    table = Table(header_style="bold underline", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    kept = [place for place in range(len(header)) if place != hidden]
    for place in kept:
        name = header[place]
        table.add_column(name, overflow="fold", no_wrap=name in _NARROW, min_width=min(8, len(name)))
    for row in rows:
        cells = [Text(value) for value in row]
        if "outcome" in header:
            place = list(header).index("outcome")
            cells[place].stylize(_TONES.get(row[place], "red"))
        table.add_row(*(cells[place] for place in kept))
    return table
