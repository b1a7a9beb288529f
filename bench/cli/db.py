"""`bench db`: look after the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.store import backup, check, upgrade

Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        show_default=False,
        help="Database URL; else BENCH_DB, else sqlite:///results/bench.sqlite.",
    ),
]

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
    for problem in report.problems:
        typer.echo(f"problem: {problem}")
    if report.problems:
        raise typer.Exit(1)
    typer.echo("no problems found")
