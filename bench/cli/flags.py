"""What flags share: values checked once, with messages that name flag, value and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from bench.browsers import check_browser, grid
from bench.errors import InputError
from bench.harness.session import RunSettings
from bench.plan import request as words
from bench.settings import Settings, load_defaults

MAX_ITERATIONS = 100_000
MAX_SECONDS = 86_400.0
SHORTENED = "BENCH_SEQUENCE_LENGTH", "BENCH_ITERATIONS", "BENCH_MAX_SECONDS"


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


def platforms_of(values: Sequence[str]) -> list[str]:
    """Platforms from flags; `both` stands for the two."""
    found: list[str] = []
    for value in values:
        chosen = choose("--platform", value, (*words.PLATFORMS, "both"))
        for one in words.BOTH if chosen == "both" else (chosen,):
            if one not in found:
                found.append(one)
    return found


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
    grid.check(chosen)
    return settings.model_copy(update={"harness": settings.harness.model_copy(update={"grid": chosen})})


def browsers_of(values: Sequence[str], settings: Settings) -> list[str]:
    """Browsers from flags, each once; a named executable must be there."""
    for value in values:
        check_browser(value, settings)
    return list(dict.fromkeys(values))


def shape_of(batch_size: int, sequence_length: int | None) -> dict[str, int]:
    """Batch and sequence, from flags or their defaults."""
    length = load_defaults().sequence_length if sequence_length is None else sequence_length
    positive("--batch-size", batch_size, words.MAX_BATCH)
    positive("--sequence-length", length, words.MAX_SEQUENCE)
    return {"batch_size": batch_size, "sequence_length": length}


def measuring_of(iterations: int | None, max_seconds: float | None, timeout: float = 180.0) -> RunSettings:
    """How to measure, from flags or their defaults."""
    defaults = load_defaults()
    count = defaults.iterations if iterations is None else iterations
    seconds = defaults.max_seconds if max_seconds is None else max_seconds
    positive("--iterations", count, MAX_ITERATIONS)
    positive("--max-seconds", float(seconds), MAX_SECONDS)
    positive("--timeout", float(timeout), MAX_SECONDS)
    return RunSettings(iterations=count, max_seconds=seconds, timeout=timeout)
