"""`bench query`: the history as rows, or in groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.db import Database
from bench.cli.flags import Campaign, Limit, Output, Since, Where
from bench.cli.foreign import query_foreign
from bench.cli.rows import Format, check_format, give, named_columns, text_out, texts
from bench.cli.tables import Layout
from bench.errors import InputError
from bench.report import words
from bench.report.row import Row, rows_of, value_at, writes
from bench.store import Store, groups, open_store
from bench.store.schema import SUMMARY


class Given(StrEnum):
    """How `bench query` gives its rows: as every command does, or as llama-bench prints its own."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    PARQUET = "parquet"
    LLAMA_BENCH = "llama-bench"


GivenAs = Annotated[
    Given,
    typer.Option(
        "--format", help="All but table and markdown have every column; llama-bench: as it prints them."
    ),
]
GroupBy = Annotated[
    str | None, typer.Option("--group-by", metavar="A,B", help="One row for each value of these columns.")
]
Aggregates = Annotated[
    str | None,
    typer.Option(
        "--agg",
        metavar="F(COL),...",
        show_default=groups.DEFAULT,
        help="Numbers of each group; functions: median mean min max std sum p10 p90 p99 count distinct "
        "first last.",
    ),
]
Foreign = Annotated[
    bool, typer.Option("--foreign", help="Results of other tools instead, which nobody here verified.")
]


def query_command(
    where: Where = None,
    campaign: Campaign = None,
    since: Since = None,
    group_by: GroupBy = None,
    numbers: Aggregates = None,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="COL", help="A column; -COL for descending; a,b for both.")
    ] = None,
    limit: Limit = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="A,B,C", help="Columns of run_summary instead.")
    ] = None,
    given: GivenAs = Given.TABLE,
    output: Output = None,
    foreign: Foreign = False,
    db: Database = None,
) -> None:
    """List runs, failed and fallen-back ones too; blank where nothing was measured.

    ms: median latency with its 95 % interval. saved: memory against FP16. kernel: relative L2 distance to
    the reference on the same weights. cosine: to the unquantized model. Of a language model ms is the time to
    the first token, tokens/s what it writes after that, same tokens the share that the unquantized model
    writes too.

    In groups, every run is counted under its outcome, and numbers are of those that ran as requested (ok),
    unless the groups tell outcomes apart.
    """
    grouped = {"--group-by": group_by, "--agg": numbers}
    if given is Given.LLAMA_BENCH:
        _alone(
            f"--format {given.value}", {**grouped, "--columns": columns, "--foreign": "" if foreign else None}
        )
        _as_llama_bench((where, campaign, since), (sort, limit), output, db)
        return
    output_format = Format(given.value)
    check_format(output_format, output)
    if foreign:
        _alone("--foreign", {"--since": since, **grouped})
        query_foreign(where, campaign, columns, (sort, limit), (output_format, output), db)
        return
    if group_by is not None or numbers is not None:
        if columns is not None:
            raise InputError(
                "--columns and --group-by: use one of them; the groups' columns are named by --agg"
            )
        with open_store(db, create=False) as store:
            _groups(
                store, (where, campaign, since), (group_by, numbers), (sort, limit), (output_format, output)
            )
        return
    names = named_columns(columns)
    with open_store(db, create=False) as store:
        rows = store.rows(where, campaign=campaign, since=since, limit=limit, sort=sort)
    give_runs(rows, names, output_format, output)


LAYOUT = Layout(
    spare=("kernel", "saved", "cosine", "same tokens"), own=("outcome", "ms [95 %]", "tokens/s [95 %]")
)


def give_runs(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str] | None = None,
    output_format: Format = Format.TABLE,
    output: Path | None = None,
) -> None:
    """Print rows of `run_summary`: for people, without `names`, in the columns that they look at first."""
    kinds = {item.name: item.type.python_type for item in SUMMARY.c}
    shown = _shown(rows_of(rows)) if names is None else None
    give(rows, names or list(kinds), output_format, output, shown=shown, kinds=kinds, layout=LAYOUT)


def _alone(one: str, others: Mapping[str, str | None]) -> None:
    """Raise InputError where a flag was given that has no meaning beside `one`."""
    for flag, value in others.items():
        if value is not None:
            raise InputError(f"{f'{flag} {value}'.rstrip()}: not together with {one}")


def _as_llama_bench(
    which: tuple[str | None, str | None, str | None],
    order: tuple[str | None, int | None],
    output: Path | None,
    db: str | None,
) -> None:
    from bench.report.llama_bench import table

    where, campaign, since = which
    with open_store(db, create=False) as store:
        rows = rows_of(store.rows(where, campaign=campaign, since=since, sort=order[0], limit=order[1]))
        rows = [row for row in rows if row["role"] != "twin"]
        samples = {row["id"]: store.samples(row["id"]) for row in rows if writes(row)}
    if not samples:
        raise InputError("no run of a language model is among these: see bench query")
    text_out("\n".join(table(rows, samples)) + "\n", output)


def _groups(
    store: Store,
    which: tuple[str | None, str | None, str | None],
    what: tuple[str | None, str | None],
    order: tuple[str | None, int | None],
    to: tuple[Format, Path | None],
) -> None:
    by, wanted = groups.columns(what[0]), groups.aggregates(what[1] or groups.DEFAULT)
    header = [*by, groups.RUNS, groups.OUTCOMES, *(one.label for one in wanted)]
    where, campaign, since = which
    rows = store.groups(*what, where=where, campaign=campaign, since=since)
    rows = groups.ordered(rows, order[0], header)
    if order[1] is not None:
        if order[1] < 1:
            raise InputError(f"--limit {order[1]} is not a number of rows: use 1 or more")
        rows = rows[: order[1]]
    notes = []
    if "outcome" not in by and any(row[groups.OUTCOMES] != f"{row[groups.RUNS]} ok" for row in rows):
        notes = [
            "numbers are of the runs that ran as requested (ok); add outcome to --group-by for the others"
        ]
    kinds = {name: SUMMARY.c[name].type.python_type for name in by}
    kinds |= {groups.RUNS: int, groups.OUTCOMES: str, **{one.label: groups.kind(one) for one in wanted}}
    of = [f"n({name})" for name in groups.counted(wanted)]
    kinds |= dict.fromkeys(of, int)
    shown = (header, [_with_counts(row, header, wanted) for row in rows])
    give(rows, [*header, *of], *to, shown=shown, kinds=kinds, noun="group", notes=notes)


def _with_counts(
    row: Mapping[str, Any], header: Sequence[str], wanted: Sequence[groups.Aggregate]
) -> list[str]:
    """A group for people: a number says of how many runs it is, where that is not all of them."""
    found = dict(zip(header, texts(row, header), strict=True))
    for one in wanted:
        if one.is_number and found[one.label] and (count := row[f"n({one.column})"]) != row[groups.RUNS]:
            found[one.label] += f" (n {count})"
    return list(found.values())


_HEADINGS = (
    *("run", "browser", "platform", "model", "bits", "outcome"),
    *("ms [95 %]", "saved", "kernel", "cosine"),
)
_TIMES = _HEADINGS.index("ms [95 %]") + 1


# What only a language model has: the rate at which it writes, and how much the unquantized model writes too.
_WRITTEN: Mapping[str, Callable[[Row], str]] = {
    "tokens/s [95 %]": words.tokens,
    "same tokens": lambda row: words.percent(row["greedy_agreement"]),
}
# Rows of two machines read the same without these; where they do not differ they say nothing.
_WHERE = {"host": "cpu", "adapter": "adapter"}


def _shown(rows: Sequence[Row]) -> tuple[Sequence[str], list[list[str]]]:
    """Headings and texts for people; what language models write, host and adapter where there is such."""
    differ = {
        title: name
        for title, name in _WHERE.items()
        if len({value_at(row, name) for row in rows if value_at(row, name) is not None}) > 1
    }
    wrote = _WRITTEN if any(words.tokens(row) for row in rows) else {}
    lines = [
        [
            *_short(row)[:_TIMES],
            *(say(row) for say in wrote.values()),
            *_short(row)[_TIMES:],
            *(words.visible(value_at(row, name)) for name in differ.values()),
        ]
        for row in rows
    ]
    return (*_HEADINGS[:_TIMES], *wrote, *_HEADINGS[_TIMES:], *differ), lines


def _short(row: Row) -> list[str]:
    twin = "A/A twin" if row["role"] == "twin" else ""
    platform = " ".join(part for part in (words.platform(row), words.options(row), twin) if part)
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
