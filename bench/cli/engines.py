"""`bench engines`: whose code can run the models in the page, and how to get what is not here."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.text import Text

from bench.cli.tables import Cell, console, print_table
from bench.engines import ENGINES, check_engine
from bench.errors import InputError
from bench.plan.request import ENGINE_PLATFORMS
from bench.settings import check_cache

engines_app = typer.Typer(help="Whose code runs the models in the page, and how to get what is not here.")
INSTALLABLE = [name for name, engine in ENGINES.items() if engine.version is not None]


@engines_app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """List every engine: what it is, its platforms, and where it lies."""
    rows = [
        {
            "engine": name,
            "title": engine.title,
            "version": engine.version,
            "platforms": list(ENGINE_PLATFORMS[name]),
            "folder": str(engine.installed() or "") or None,
        }
        for name, engine in ENGINES.items()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    lines: list[list[Cell]] = []
    for row in rows:
        where: Cell = str(row["folder"] or "")
        if row["folder"] is None:
            where = Text(f"not here; type: bench engines install {row['engine']}", style="yellow")
        elif row["version"] is None:
            where = "in this package"
        platforms = ", ".join(ENGINE_PLATFORMS[check_engine(str(row["engine"]))])
        lines.append([str(row["engine"]), str(row["title"]), str(row["version"] or ""), platforms, where])
    print_table(console(), ("engine", "what it is", "version", "platforms", "where"), lines)


@engines_app.command("install")
def install_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help=f"{', '.join(INSTALLABLE)}; all of them by default."),
    ] = None,
) -> int:
    """Install engines from package registries, through their own clients, into the cache.

    Exit code 0 where all are there, 1 where one could not be installed.
    """
    wanted = [check_engine(name) for name in dict.fromkeys(names or INSTALLABLE)]
    check_cache()
    code = 0
    for name in wanted:
        engine = ENGINES[name]
        try:
            engine.install(lambda text: print(text, flush=True))
        except InputError as problem:
            print(f"{name}: NOT installed: {problem}")
            code = 1
            continue
        print(f"{name}: {engine.version or 'in this package'} at {engine.installed()}")
    return code
