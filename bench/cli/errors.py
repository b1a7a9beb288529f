"""`bench errors`: what failed, by stage and message."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.db import Database
from bench.cli.flags import Campaign, Limit, Output, Since, Where
from bench.cli.rows import Format, check_format, give
from bench.cli.tables import Layout
from bench.errors import InputError
from bench.report import words
from bench.store import open_store

_COLUMNS = (
    *("count", "outcome", "stage", "category", "name", "message"),
    *("browsers", "first_seen", "last_seen", "run"),
)
_LAYOUT = Layout(spare=("last seen", "browsers", "stage"), own=("outcome", "message"))
_KINDS = dict.fromkeys(_COLUMNS, str) | {"count": int, "run": int}


def errors_command(
    where: Where = None,
    campaign: Campaign = None,
    since: Since = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also what is unsupported, unavailable or was interrupted.")
    ] = False,
    limit: Limit = None,
    output_format: Annotated[Format, typer.Option("--format", help="How they are given.")] = Format.TABLE,
    output: Output = None,
    db: Database = None,
) -> None:
    """Group failures by stage and message, the most frequent first, with counts and when they were last seen.

    Messages that differ only in their numbers are one; the newest stands for them, verbatim. run is the
    newest of them: `bench show RUN` has a likely cause and what to do next.
    """
    check_format(output_format, output)
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} is not a number of rows: use 1 or more")
    with open_store(db, create=False) as store:
        rows = store.failures(where, campaign=campaign, since=since, every=every)[:limit]
    shown = [
        [
            *(str(row["count"]), row["outcome"], row["stage"] or ""),
            f"{words.visible(row['name'])}: {words.visible(row['message'])}" if row["name"] else "",
            *(words.visible(row["browsers"]), row["last_seen"][:16].replace("T", " "), str(row["run"])),
        ]
        for row in rows
    ]
    headings = ("count", "outcome", "stage", "message", "browsers", "last seen", "run")
    give(
        rows,
        _COLUMNS,
        output_format,
        output,
        shown=(headings, shown),
        kinds=_KINDS,
        noun="kind",
        layout=_LAYOUT,
    )
