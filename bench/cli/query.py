"""`bench query` and `bench show`: read the history."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.db import Database
from bench.errors import InputError
from bench.metrics import METRICS
from bench.record import RunRecord
from bench.report import words
from bench.report.advice import advise
from bench.store import open_store
from bench.store.filter import column
from bench.store.schema import SUMMARY

_TONES = {
    "ok": "green",
    "fallback": "yellow",
    "unsupported": "dim",
    "unavailable": "dim",
    "interrupted": "dim",
}


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"


def query_command(
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="EXPR", help="For example: bits = 4 and outcome in (ok, fallback)"),
    ] = None,
    campaign: Annotated[
        str | None, typer.Option("--campaign", metavar="NAME", help="A campaign's name or number.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="COL", help="A column; -COL for descending; a,b for both.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", help="At most so many rows.")] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="A,B,C", help="Columns of run_summary instead.")
    ] = None,
    output: Annotated[
        Format, typer.Option("--format", help="csv and json have every column.")
    ] = Format.TABLE,
    db: Database = None,
) -> None:
    """List runs, failed and fallen-back ones too; blank where nothing was measured.

    ms: median latency with its 95 % interval. saved: memory against FP16. kernel: relative L2 distance to
    the reference on the same weights. cosine: to the unquantized model.
    """
    names = _columns(columns)
    with open_store(db, create=False) as store:
        rows = store.rows(where, campaign=campaign, limit=limit, sort=sort)
    if names is not None:
        rows = [{name: row[name] for name in names} for row in rows]
    if output is Format.JSON:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False))
    elif output is Format.CSV:
        header = names or [item.name for item in _all_columns()]
        typer.echo(_csv(header, rows), nl=False)
    else:
        markdown = output is Format.MARKDOWN
        if names is None:
            print_short(rows, markdown=markdown)
        else:
            _print_table(names, [_texts(row) for row in rows], markdown=markdown)


def print_short(rows: Sequence[dict[str, Any]], *, markdown: bool = False) -> None:
    """Print rows of `run_summary` in the columns that people look at first."""
    _print_table(_short_headings(), [_short(row) for row in rows], markdown=markdown)


def show_command(
    run: Annotated[int, typer.Argument(metavar="RUN", help="The run's number, as `bench query` shows it.")],
    as_json: Annotated[bool, typer.Option("--json", help="The whole record as JSON.")] = False,
    db: Database = None,
) -> None:
    """Show everything about one run, the browser's words verbatim."""
    with open_store(db, create=False) as store:
        record = store.run(run)
    if as_json:
        data = record.model_dump(mode="json")
        data["samples"] = [sample.model_dump(mode="json") for sample in record.samples]
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        for line in _describe(record):
            typer.echo(line)


def _all_columns() -> Sequence[Any]:
    return list(SUMMARY.c)


def _columns(text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [column(part.strip()).name for part in text.split(",") if part.strip()]
    if not names:
        raise InputError("--columns is empty: name some, for example id,bits,outcome")
    return list(dict.fromkeys(names))


def _short_headings() -> Sequence[str]:
    return (
        "run",
        "browser",
        "platform",
        "model",
        "bits",
        "outcome",
        "ms [95 %]",
        "saved",
        "kernel",
        "cosine",
    )


def _short(row: dict[str, Any]) -> list[str]:
    platform = " ".join(part for part in (words.platform(row), words.options(row)) if part)
    return [
        str(row["id"]),
        f"{row['browser']} {words.short_version(row['browser_version'])}".rstrip(),
        platform,
        str(row["requested_model"]),
        words.bits(row),
        str(row["outcome"]),
        words.latency(row),
        words.percent(row["memory_reduction"]),
        words.number(row["kernel_rel_l2"], 2),
        "" if row["cosine_fp32"] is None else f"{row['cosine_fp32']:.4f}",
    ]


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _texts(row: dict[str, Any]) -> list[str]:
    return [
        words.number(value, 5) if isinstance(value, float) else words.visible(_plain(value))
        for value in row.values()
    ]


def _csv(header: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_plain(row[name]) for name in header] for row in rows)
    return text.getvalue()


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> None:
    if markdown:
        import pandas as pd  # slow to load

        # A bar or a line break in foreign words would end the cell.
        safe = [[" ".join(value.split()).replace("|", "\\|") for value in row] for row in rows]
        frame = pd.DataFrame(safe, columns=list(header), dtype=object)
        typer.echo(frame.to_markdown(index=False, disable_numparse=True))
        return
    # Not wrapped where nobody looks at it: a pipe gets each row on one line.
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 10_000)
    count = f"{len(rows)} run{'' if len(rows) == 1 else 's'}"
    hidden = -1
    if sys.stdout.isatty() and "model" in header:
        place = list(header).index("model")
        models = {row[place] for row in rows}
        if len(models) == 1:  # said once beneath leaves room for the numbers
            hidden, count = place, f"{count} of {models.pop()}"
    if rows:
        console.print(_table(header, rows, hidden))
    console.print(Text(count))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], hidden: int) -> Table:
    """A table without lines; foreign words are text, never markup."""
    table = Table(header_style="bold underline", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    narrow = {"run", "bits", "outcome", "saved", "kernel", "cosine", "id"}
    kept = [place for place in range(len(header)) if place != hidden]
    for place in kept:
        name = header[place]
        table.add_column(name, overflow="fold", no_wrap=name in narrow, min_width=min(8, len(name)))
    for row in rows:
        cells = [Text(value) for value in row]
        if "outcome" in header:
            place = list(header).index("outcome")
            cells[place].stylize(_TONES.get(row[place], "red"))
        table.add_row(*(cells[place] for place in kept))
    return table


def _describe(record: RunRecord) -> list[str]:
    """A record in lines: the verdict first, then each part with its fields."""
    asked = record.requested
    lines = [f"run {record.id}: {record.outcome.value}  ({asked.label}, {asked.model})"]
    if record.fallback_reason:
        lines.append(f"fell back because: {words.visible(record.fallback_reason)}")
    if record.error:
        at = f" at {words.visible(record.error.operator)}" if record.error.operator else ""
        lines += [
            f"ended in {record.error.stage.value}{at} ({record.error.category.value}):",
            f"  {words.visible(record.error.name)}: {words.visible(record.error.message)}",
        ]
    if advice := advise(record):
        lines += [f"likely cause: {advice.cause}", f"next: {advice.next}"]
    lines += _section("requested", asked.model_dump(mode="json"))
    lines += _section("effective", record.effective.model_dump(mode="json"))
    lines += _measured(record)
    lines += _section("model", record.model.model_dump(mode="json"))
    lines += _section("environment", record.environment.model_dump(mode="json"))
    lines += _section("wall time of each stage, ms", record.phases_ms)
    times = {"started": record.started_at, "finished": record.finished_at, "uuid": record.uuid}
    lines += _section("when", times | {"samples kept": len(record.samples)})
    lines += _section("evidence", record.evidence)
    return lines


def _measured(record: RunRecord) -> list[str]:
    flat: dict[str, Any] = {**record.metrics.model_dump(), **record.quality.model_dump()}
    latency = flat.pop("latency_ms") or {}
    flat.update({f"latency_ms_{stat}": value for stat, value in latency.items()})
    lines = []
    for metric in METRICS:
        value = flat.get(metric.name)
        if value is not None:
            text = words.thousands(value) if metric.integer else words.number(value, 5)
            lines.append(f"  {metric.name:<24}{text} {metric.unit}".rstrip())
    return ["", "measured", *(lines or ["  nothing"])]


def _section(title: str, values: dict[str, Any]) -> list[str]:
    """A heading and a line for each value that there is; nested values as JSON."""
    lines = []
    for name, value in values.items():
        if value is None or value == [] or value == {}:
            continue
        nested = isinstance(value, dict | list)
        text = json.dumps(value, ensure_ascii=False) if nested else _plain(value)
        lines.append(f"  {words.visible(name):<24}{words.visible(text)}")
    return ["", title, *lines] if lines else []
