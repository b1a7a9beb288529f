"""One HTML file with everything in it: no script, no font, no link to elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from bench import __version__
from bench.report import charts, tables, words
from bench.report.output import write_file
from bench.store.store import Store

_FLAGS = ("platform", "browser", "model", "bits")
# What a campaign shares in one command line; the defaults need no flag.
_SHARED: dict[str, tuple[str, Any]] = {
    "mixed_precision": ("--mixed-precision", False),
    "experimental_precision": ("--experimental-precision", False),
    "batch_size": ("--batch-size", 1),
    "sequence_length": ("--sequence-length", 128),
    "engine": ("--engine", "native"),
    "device": ("--device", "auto"),
    "group_size": ("--group-size", 32),
    "scheme": ("--scheme", "symmetric"),
    "weights": ("--weights", None),
}


def write_report(store: Store, path: Path, *, campaign: int | str | None = None) -> None:
    """Write the report of a campaign, or of the whole database.

    Raises:
        InputError: there is no such campaign, or the file cannot be written.
    """
    runs = tables.arms_only(store.summary(campaign=campaign))
    cells = [cell for cell in store.cells(campaign=campaign) if cell["role"] != "twin"]
    write_file(path, page(runs, cells, source=store.url).encode("utf-8", "backslashreplace"))


def page(runs: pd.DataFrame, cells: Sequence[words.Row], *, source: str, now: datetime | None = None) -> str:
    """The page as text, also for no runs at all.

    Args:
        runs: rows of `Store.summary`.
        cells: rows of `Store.cells`: the denominator.
        source: where the rows come from, fit to be printed.
        now: when it was made; UTC now without it.
    """
    ran, asked = tables.coverage(runs, cells)
    rows = tables.as_rows(runs)
    return _template().render(
        campaigns=words.distinct(cell["campaign"] for cell in cells),
        source=source,
        made=(now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        ran=ran,
        asked=asked,
        counts=tables.outcome_counts(runs, cells),
        software=sorted({_where(row) for row in rows if row["effective_platform"] and words.software(row)}),
        synthetic=sorted({row["model"] for row in rows if row["model_weights"] == "synthetic"}),
        shape=_one_shape(cells),
        support=_narrow(tables.support_matrix(runs, cells), cells),
        comparison=_narrow(tables.comparison(runs), cells),
        failures=_drop_blank(tables.failures(runs)),
        environments=_drop_blank(tables.environments(runs)),
        chart=_inline_chart(runs) if rows else "",
        commands=repeat_commands(cells),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tone"] = _tone
    return environment.get_template("report.html.j2")


def _tone(text: str) -> str:
    """The CSS class of a verdict: its first word, where it is the only one."""
    return "mixed" if "," in text else (text.split() or [""])[0] if text != tables.NOT_RUN else "notrun"


def _inline_chart(runs: pd.DataFrame) -> str:
    """The chart as an SVG element, without the XML prologue that HTML does not know."""
    text = charts.render(charts.latency_by_bits(runs), "svg").decode()
    return text[text.index("<svg") :]


def _where(row: words.Row) -> str:
    adapter = words.device(row).removesuffix(" (software adapter)")
    return f"{row['browser']} {row['effective_platform']} on {adapter}"


def _one_shape(cells: Sequence[words.Row]) -> str:
    """The model and its tokens where all cells share them: said once, not in every line."""
    shapes = {(cell["requested_model"], cell["requested_sequence_length"]) for cell in cells}
    if len(shapes) != 1:
        return ""
    model, tokens = shapes.pop()
    return f"{model}, {tokens} tokens. "


def _narrow(frame: pd.DataFrame, cells: Sequence[words.Row]) -> pd.DataFrame:
    return _drop_blank(frame.drop(columns=["model", "tokens"]) if _one_shape(cells) else frame)


def _drop_blank(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out a column that is blank in every row."""
    return frame[[name for name in frame.columns if (frame[name] != "").any()]]


def repeat_commands(cells: Sequence[words.Row]) -> list[str]:
    """`bench run` lines that ask for exactly the arms of these cells."""
    arms = {
        tuple(sorted((k, v) for k, v in cell.items() if k.startswith("requested_"))): cell for cell in cells
    }
    groups: dict[tuple[Any, ...], list[words.Row]] = {}
    for cell in arms.values():
        groups.setdefault(tuple(cell[f"requested_{name}"] for name in _SHARED), []).append(cell)
    lines = []
    for members in groups.values():
        axes = {name: words.distinct(cell[f"requested_{name}"] for cell in members) for name in _FLAGS}
        size = 1
        for values in axes.values():
            size *= len(values)
        # Flags multiply out; where that would ask for more than was asked, one line an arm.
        parts = [axes] if size == len(members) else [_single(cell) for cell in members]
        lines += [_command(part, members[0]) for part in parts]
    return lines


def _single(cell: words.Row) -> dict[str, list[str]]:
    return {name: [str(cell[f"requested_{name}"])] for name in _FLAGS}


def _command(axes: dict[str, list[str]], cell: words.Row) -> str:
    parts = ["bench", "run"]
    for name, values in axes.items():
        for value in values:
            parts += [f"--{name}", value]
    for name, (flag, default) in _SHARED.items():
        value = cell[f"requested_{name}"]
        if value is True:
            parts.append(flag)
        elif value != default:
            parts += [flag, str(value)]
    return shlex.join(words.visible(part) for part in parts)
