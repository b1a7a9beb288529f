"""`bench browsers`: which browsers are on this machine, and how to get those that are not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from bench.browsers import BROWSERS, BrowserMissing, Build, install, parse_browser
from bench.browsers.base import version_of
from bench.cli.flags import AsJson
from bench.cli.tables import Cell, console, print_table
from bench.settings import Settings, check_cache, load_settings

browsers_app = typer.Typer(help="Which browsers are on this machine, and how to get those that are not.")


@browsers_app.command("list")
def list_command(
    as_json: AsJson = False,
) -> None:
    """List every known browser with its builds on this machine; starts none (`bench doctor` does)."""
    rows = [row for name in BROWSERS for row in _rows(name, load_settings())]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    lines: list[list[Cell]] = []
    for row in rows:
        if row["binary"] is None and row["remedy"]:
            lines.append([row["browser"], "", Text("not here", style="yellow"), row["remedy"]])
            continue
        where = Text(str(row["binary"]))
        where.append(f"\ndriver: {row['driver'] or 'found by Selenium Manager'}", style="dim")
        if row["remedy"]:
            where.append(f"\n{row['remedy']}", style="yellow")
        lines.append([row["browser"], row["version"] or "when started", row["source"], where])
    print_table(console(), ("browser", "version", "source", "where"), lines)


def _rows(name: str, settings: Settings) -> list[dict[str, Any]]:
    """One row a build; one with the remedy where there is no build."""
    browser = BROWSERS[name]
    builds = browser.builds(settings)
    if not builds:
        return [_row(name, None, None, browser.remedy)]
    return [_row(name, build, _version(build), None) for build in builds]


def _row(name: str, build: Build | None, version: str | None, remedy: str | None) -> dict[str, Any]:
    return {
        "browser": name,
        "found": build is not None,
        "version": version,
        "source": build.source if build else None,
        "binary": str(build.binary) if build and build.binary else None,
        "driver": str(build.driver) if build and build.driver else None,
        "remedy": remedy,
    }


def _version(build: Build) -> str | None:
    return version_of(build.binary, build.library_path) if build.binary else None


@browsers_app.command("install")
def install_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help=f"{', '.join(install.INSTALLABLE)}; all of them by default."
        ),
    ] = None,
) -> int:
    """Install browsers and drivers from package registries, through their own clients.

    Exit code 0 where all are there, 1 where some could not be installed.
    """
    settings = load_settings()
    wanted = list(dict.fromkeys(names or install.INSTALLABLE))
    for name in wanted:
        parse_browser(name)  # an unknown one is refused before anything is downloaded
    ours = [name for name in wanted if name in install.INSTALLABLE]
    check_cache()
    problems = install.install(ours, lambda text: print(text, flush=True)) if ours else {}
    return _report(wanted, problems, settings)


def _report(wanted: Sequence[str], problems: dict[str, str | None], settings: Settings) -> int:
    """Say for each browser what is there now; 1 where one has a problem."""
    code = 0
    for name in wanted:
        problem = problems.get(name)
        try:
            build = BROWSERS[name].find(None, settings)
        except BrowserMissing as missing:
            problem = problem or missing.remedy
            print(f"{name}: NOT installed: {problem}")
            code = 1
            continue
        print(f"{name}: {_version(build) or 'version unknown'} at {build.binary} ({build.source})")
        if problem:
            print(f"{name}: incomplete: {problem}")
            code = 1
    return code
