"""`bench db`: look after the database."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import InputError
from bench.store import backup, check, filled, open_store, upgrade

if TYPE_CHECKING:
    from bench.store.exchange import Imported

Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        show_default=False,
        help="Database URL; else BENCH_DB, else sqlite:///results/bench.sqlite.",
    ),
]


class ExportFormat(StrEnum):
    """What the files of an export are."""

    JSONL = "jsonl"
    PARQUET = "parquet"


db_app = typer.Typer(help="Look after the database.", no_args_is_help=False)


@db_app.command("upgrade")
def upgrade_command(db: Database = None) -> None:
    """Bring the database to this program's schema, after a checked backup; make it where there is none."""
    before, after, copy = upgrade(db)
    if copy:
        typer.echo(f"backup: {copy} (to go back: stop every campaign, put it in the database's place)")
    typer.echo(
        f"schema {after}: nothing to do" if before == after else f"schema {before or 'none'} -> {after}"
    )


@db_app.command("backup")
def backup_command(
    target: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The new file; else one beside the database.")
    ] = None,
    db: Database = None,
) -> None:
    """Copy an SQLite database while campaigns may run, and check the copy."""
    copy = backup(db, target)
    typer.echo(f"backup: {copy} (to restore it: stop every campaign, put it in the database's place)")


@db_app.command("check")
def check_command(db: Database = None) -> None:
    """Look for damage, broken references and an old schema; exit code 1 where something is wrong."""
    report = check(db)
    typer.echo(f"{report.url}: schema {report.revision} (this program's: {report.head})")
    for table, count in report.counts.items():
        typer.echo(f"  {table:<13}{count:>10,}")
    for note in report.notes:
        typer.echo(f"note: {note}")
    for problem in report.problems:
        typer.echo(f"problem: {problem}")
    if report.problems:
        raise typer.Exit(1)
    typer.echo("no problems found")


@db_app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
    campaign: Annotated[
        str | None, typer.Option("--campaign", metavar="NAME", help="Only this one, by name or number.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="EXPR", help="Only runs that meet this, as in `bench query`."),
    ] = None,
    output_format: Annotated[
        ExportFormat, typer.Option("--format", help="JSON lines, or Parquet for other programs.")
    ] = ExportFormat.JSONL,
    db: Database = None,
) -> None:
    """Write campaigns with their plans, runs, samples, environments and models into a new folder.

    Campaigns may run meanwhile. The same rows give the same bytes; `bench db import` takes them in elsewhere.
    """
    from bench.store.exchange import Encoding, export_folder

    with open_store(db, create=False) as store:
        done = export_folder(
            store.engine, folder, campaign=campaign, where=where, encoding=Encoding(output_format.value)
        )
    names = [name for name in ("campaigns", "cells", "runs", "foreign_results") if done.rows[name]]
    counts = ", ".join(_count(name, done.rows[name]) for name in names)
    typer.echo(f"{done.folder}: {counts}, {done.samples:,} samples")


@db_app.command("import")
def import_command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A folder of `bench db export`, or results of llama-bench or crossbench."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="Of the campaign that another tool's results become.", show_default=False
        ),
    ] = None,
    db: Database = None,
) -> None:
    """Take an export in, or another tool's results; what is here already is known and not taken twice.

    All of it or nothing. Results of llama-bench (-o json, jsonl) and crossbench (its folder, a merged file,
    results.db) stay apart from runs: nobody here verified them. `bench query --foreign` reads them.
    """
    from bench.store.exchange import MANIFEST, import_folder, import_foreign, open_export, read_foreign

    if not os.path.exists(path):  # noqa: PTH110 - pathlib's raises where a name is too long
        raise InputError(f"{path} is not there: name a folder or file to import")
    where = path.parent if path.name == MANIFEST else path
    if (where / MANIFEST).is_file():
        if name is not None:
            raise InputError(f"--name {name}: campaigns of an export keep their names")
        export = open_export(where)
        with filled(db) as store:
            _say(import_folder(store.engine, export))
        return
    file = read_foreign(path)
    with filled(db) as store:
        done = import_foreign(store.engine, file, name)
    if done.new:
        typer.echo(
            f"{done.tool}: {_count('results', done.new)} into campaign {done.campaign}, not verified here"
        )
    else:
        typer.echo(
            f"nothing new: {_count('results', done.known)} of {done.tool} are in campaign {done.campaign}"
        )
    for words in file.left:
        typer.echo(f"note: {words}")
    if done.new and done.known:
        typer.echo(f"known already: {_count('results', done.known)}")
    if done.new and done.campaign != done.asked and not done.known:
        typer.echo(f"another campaign here is named {done.asked!r}")


def _say(done: Imported) -> None:
    """What an import did, in a few lines."""
    parts = [_count(name, number) for name, number in done.new.items() if number]
    if done.cells_updated:
        parts.append(f"{_count('cells', done.cells_updated)} went on")
    known = ", ".join(_count(name, number) for name, number in done.known.items() if number)
    if parts:
        typer.echo(f"imported: {', '.join(parts)}")
        if known:
            typer.echo(f"known already: {known}")
    else:
        typer.echo(f"nothing new: {known} are here already" if known else "nothing new")
    for note in done.notes:
        typer.echo(f"note: {note}")


def _count(name: str, number: int) -> str:
    words = name.replace("_", " ")
    return f"{number:,} {words.removesuffix('s') if number == 1 else words}"
