"""Rows in any format: a table for people, CSV, JSON, JSON lines, Markdown, Parquet; to stdout or a file."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import typer
from rich.console import Console

from bench.cli.tables import OUTCOMES, Layout, captured, console, print_table, say, toned
from bench.errors import InputError
from bench.report import words
from bench.report.output import write_file
from bench.store.filter import column
from bench.store.schema import SUMMARY

Row = Mapping[str, Any]


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
        raise InputError("--format parquet is not text: name a file with --output, or pipe it")


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
    layout: Layout | None = None,
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
        layout: what a table may do without in a narrow terminal.
    """
    if output_format in (Format.TABLE, Format.MARKDOWN):
        names, lines = shown or (header, [texts(row, header) for row in rows])
        if output_format is Format.MARKDOWN:
            content = _markdown(names, lines) + "".join(f"\n{note}\n" for note in notes)
        elif output is None:
            _print_table(console(), names, lines, noun, notes, layout)
            return
        else:
            content = _captured(names, lines, noun, notes)
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


def text_out(text: str, output: Path | None) -> None:
    """Print a text, or write it and print the file's name."""
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_file(output, text.encode())
        typer.echo(str(output))


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
    out: Console,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    noun: str,
    notes: Sequence[str],
    layout: Layout | None,
) -> None:
    """The table, how many rows it has, and the notes."""
    if rows:
        place = list(header).index("outcome") if "outcome" in header else -1
        shown = [
            [toned(value, OUTCOMES, "red") if at == place else value for at, value in enumerate(row)]
            for row in rows
        ]
        print_table(out, header, shown, layout or Layout(own=("outcome",)))
    for line in (f"{len(rows)} {noun}{'' if len(rows) == 1 else 's'}", *notes):
        say(out, line)


def _captured(header: Sequence[str], rows: Sequence[Sequence[str]], noun: str, notes: Sequence[str]) -> str:
    return captured(lambda out: _print_table(out, header, rows, noun, notes, None)) + "\n"
