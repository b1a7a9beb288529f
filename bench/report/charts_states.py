"""Charts of what ran at all: the support matrix, and standard against experimental mode."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.errors import InputError
from bench.report import canvas, tables, words
from bench.report.board import Board, measured
from bench.report.canvas import STYLE
from bench.report.row import Arm, value_at

# Colour and hatch of each kind of outcome; the words stand in the field as well.
_KINDS = {
    "ran": ("#cfe8d8", ""),
    "fell back": ("#ffe9b0", "////"),
    "refused or not there": ("#e3e6ea", "...."),
    "failed": ("#f6c6bf", "xxxx"),
    "not run": ("#ffffff", ""),
}
_REFUSED = ("unsupported", "unavailable", "interrupted")
_MOST_LINES = 48
_LINE = 0.34  # inches


def kind_of(verdict: str) -> str:
    """`ran`, `fell back`, ... of a field of the support matrix; the worst where it counts several."""
    names = [part.split()[0] for part in verdict.split(", ")] if verdict != "not run" else []
    if not names or verdict.startswith("not run"):
        return "not run"
    if all(name == "ok" for name in names):
        return "ran"
    if all(name in ("ok", "fallback") for name in names):
        return "fell back"
    if any(name not in ("ok", "fallback", "not", *_REFUSED) for name in names):
        return "failed"
    return "refused or not there"


@mpl.rc_context(STYLE)
def support(board: Board) -> Figure:
    """What ran, fell back, was refused or crashed: a line a browser and platform, a column a precision.

    Raises:
        InputError: nothing was asked for.
    """
    if not board.arms:
        raise canvas.nobody("cells")
    frame = tables.support_matrix(board.arms)
    lines, notes = canvas.capped(frame.to_dict(orient="records"), _MOST_LINES, "lines")
    columns = [str(name) for name in frame.columns if str(name).endswith("-bit")]
    one_model = frame[["model", "tokens"]].drop_duplicates().shape[0] == 1
    used = {kind_of(value_at(line, name)) for line in lines for name in columns if value_at(line, name)}
    figure, (axis,) = canvas.sheet(
        "What runs where",
        1,
        legend=[
            Rectangle((0, 0), 1, 1, facecolor=colour, hatch=hatch, edgecolor="#777777", label=kind)
            for kind, (colour, hatch) in _KINDS.items()
            if kind in used
        ],
        notes=[f"cells: {_said(board)}", *notes],
        footer=canvas.footer(board.arms),
        panel=0.35 + _LINE * len(lines),
        left=4.6,
    )
    for place, line in enumerate(lines):
        names = [line["browser"], line["platform"], line["options"]]
        names += [] if one_model else [line["model"], f"{line['tokens']} tokens"]
        text = textwrap.shorten(", ".join(name for name in names if name), 60)
        axis.text(-0.05, place + 0.5, f"{text}  ({line['ran']})", ha="right", va="center", size=7.5)
        for index, name in enumerate(columns):
            _field(axis, index, place, value_at(line, name))
    _matrix_axes(axis, columns, len(lines))
    if one_model:
        first = lines[0]
        axis.set_title(f"{first['model']}, {first['tokens']} tokens", loc="left", size=9, pad=16)
    return figure


def _said(board: Board) -> str:
    counts = tables.outcome_counts(board.arms)
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _field(axis: Axes, x: int, y: int, verdict: str) -> None:
    if not verdict:
        return
    colour, hatch = _KINDS[kind_of(verdict)]
    axis.add_patch(
        Rectangle(
            (x + 0.02, y + 0.06),
            0.96,
            0.88,
            facecolor=colour,
            hatch=hatch,
            edgecolor="#b9bec5",
            linewidth=0.6,
        )
    )
    box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
    text = textwrap.shorten(verdict, 26, placeholder="…")
    axis.text(x + 0.5, y + 0.5, text, ha="center", va="center", size=7.5, bbox=box)


def _matrix_axes(axis: Axes, columns: Sequence[str], lines: int) -> None:
    axis.set_xlim(0, len(columns))
    axis.set_ylim(lines, 0)
    axis.xaxis.tick_top()
    axis.set_xticks([index + 0.5 for index in range(len(columns))], columns)
    axis.set_yticks([])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


_MODES = ("standard mode", "experimental mode")
_COLUMN = 58  # letters of a browser's words on one line


@mpl.rc_context(STYLE)
def experimental(board: Board) -> Figure:
    """Standard against experimental mode, for each browser, model and precision, in the browsers' words.

    Raises:
        InputError: nothing ran in experimental mode.
    """
    if not any(arm["requested_experimental_precision"] for arm in board.ran):
        raise InputError("no runs in experimental mode to draw: --experimental-precision makes some")
    found: dict[tuple[Any, ...], dict[bool, list[Arm]]] = {}
    for arm in board.ran:
        names = ("model", "sequence_length", "browser", "platform")
        apart = words.options({**arm, "requested_experimental_precision": False})
        key = (*(value_at(arm, f"requested_{name}") for name in names), apart, -arm["requested_bits"])
        found.setdefault(key, {}).setdefault(arm["requested_experimental_precision"], []).append(arm)
    both = {key: modes for key, modes in sorted(found.items()) if True in modes}
    lines, notes = canvas.capped(list(both.items()), 24, "lines")
    texts = [[_answer(modes.get(mode, [])) for mode in (False, True)] for _, modes in lines]
    heights = [max(len(text) for text in pair) * 0.16 + 0.2 for pair in texts]
    figure, (axis,) = canvas.sheet(
        "Standard against experimental precision, in the browsers' own words",
        1,
        notes=notes,
        footer=canvas.footer([arm for modes in both.values() for arms in modes.values() for arm in arms]),
        panel=0.35 + sum(heights),
        left=2.3,
    )
    top = 0.0
    for (key, modes), pair, height in zip(lines, texts, heights, strict=True):
        name = f"{key[2]} {key[3]}, {-key[5]}-bit{f', {key[4]}' if key[4] else ''}\n{key[0]}, {key[1]} tokens"
        axis.text(-0.02, top + height / 2, name, ha="right", va="center", size=7.5)
        for index, mode in enumerate((False, True)):
            if arms := modes.get(mode):
                colour = _KINDS[kind_of(tables.verdict(arms))][0]
                axis.add_patch(Rectangle((index + 0.01, top + 0.03), 0.98, height - 0.06, facecolor=colour))
            axis.text(index + 0.03, top + height / 2, "\n".join(pair[index]), va="center", size=7)
        top += height
    _matrix_axes(axis, _MODES, 1)
    axis.set_ylim(top, 0)
    return figure


def _answer(arms: Sequence[Arm]) -> list[str]:
    """What a mode came to, in lines."""
    if not arms:
        return ["not asked for"]
    first = arms[0]
    total = sum(arm["sessions"] for arm in arms)
    text = tables.verdict(arms)
    if measured(first):
        text += f": {words.latency(first)} ms"
    lines = [f"{text} (n = {total} session{'' if total == 1 else 's'})"]
    if reason := words.reason(first):
        lines += textwrap.wrap(reason, _COLUMN, max_lines=6, placeholder=" …")
    return lines
