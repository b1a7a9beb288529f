"""What flags share: values checked once, with messages that name flag, value and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.errors import InputError
from bench.settings import Settings


def choose(flag: str, value: Any, allowed: Sequence[Any]) -> Any:
    """`value` as one of `allowed`; InputError naming the flag, the value and what is allowed."""
    for one in allowed:
        if str(one) == str(value).strip():
            return one
    raise InputError(f"{flag} {value}: not allowed; allowed: {', '.join(map(str, allowed))}")


def positive(flag: str, value: float | None, most: float) -> None:
    """Raise InputError unless the value is absent or in range."""
    if value is not None and not 0 < value <= most:
        limit = f"from 1 to {most:.0f}" if isinstance(value, int) else f"greater than 0, at most {most:.0f}"
        raise InputError(f"{flag} {value}: must be {limit}")


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
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", help="The most rows that are given.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
Grid = Annotated[
    str | None,
    typer.Option(
        "--grid",
        metavar="URL",
        show_default=False,
        help="A Selenium Grid whose browsers are used, for example http://127.0.0.1:4444; else BENCH_GRID.",
    ),
]


def with_grid(settings: Settings, url: str | None) -> Settings:
    """The settings with this Grid; the one they name where none is given. InputError where it is none."""
    chosen = url or settings.harness.grid
    if not chosen:
        return settings
    from bench.browsers import grid  # Selenium, which a query does without

    grid.check(chosen)
    return settings.model_copy(update={"harness": settings.harness.model_copy(update={"grid": chosen})})
