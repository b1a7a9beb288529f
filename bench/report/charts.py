"""Charts of speed, size and accuracy by precision.

They show speed only where it was measured and right. What fell back is hollow and stands at the bits that
ran, never at those asked for; what has no speed is named beneath.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from bench.harness.outcome import Outcome
from bench.report import canvas, words
from bench.report.board import BITS, Board, measured, right
from bench.report.canvas import STYLE, Look
from bench.report.row import Arm, cosine, median_ms, time_ms, weight_bytes, writes

Drawn = Mapping[Any, Look]


@mpl.rc_context(STYLE)
def latency_by_bits(board: Board) -> Figure:
    """Median latency against weight bits: a panel a model and shape, a series a browser, platform and device.

    Raises:
        InputError: there are no runs.
    """
    if not board.ran:
        raise canvas.nobody()
    panels, left_out = canvas.capped(list(canvas.panels(board.ran).items()), canvas.MOST_PANELS, "panels")
    shown = [arm for _, members in panels for arm in members]
    drawn = [arm for arm in shown if measured(arm)]
    series = canvas.looks(_key(arm) for arm in drawn)
    names, more = canvas.capped(list(series), canvas.MOST_SERIES, "series in this legend")
    figure, axes = canvas.sheet(
        "Latency of one inference by weight precision",
        len(panels),
        legend=[
            *(series[key].handle(_name(key)) for key in names),
            canvas.hollow("hollow: fell back, shown at the bits that ran"),
        ],
        notes=[*left_out, *more, *_notes(shown)],
        footer=[canvas.SEVERAL, *_first_token(shown), *canvas.footer(board.ran)],
    )
    for axis, (title, members) in zip(axes, panels, strict=True):
        _draw_latency(axis, title, [arm for arm in members if measured(arm)], series)
    return figure


def _first_token(arms: Sequence[Arm]) -> list[str]:
    """What latency is where a language model is among the arms."""
    said = "of a language model: the time to the first token; what follows is in the chart `tokens`"
    return [said] if any(writes(arm) for arm in arms) else []


def _key(arm: Arm) -> tuple[str, ...]:
    """What ran, not what was asked: a fallback to another platform belongs to that one."""
    return (
        words.browser(arm),
        str(arm["effective_platform"] or arm["requested_platform"]),
        words.device(arm),
        words.options(arm),
    )


def _name(key: tuple[str, ...]) -> str:
    return ", ".join(part for part in (f"{key[0]} {key[1]}", textwrap.shorten(key[2], 60), key[3]) if part)


def _bits_axis(axis: Axes) -> None:
    axis.set_xticks(range(len(BITS)), [f"{width}" for width in BITS])
    axis.set_xlim(-0.5, len(BITS) - 0.5)
    axis.set_xlabel("weight bits that ran")


def _draw_latency(axis: Axes, title: str, arms: Sequence[Arm], series: Drawn) -> None:
    counted = canvas.counts(arms)
    axis.set_title(
        "\n".join(canvas.wrap(title, 68)) + (f"\n{counted}" if counted else ""), loc="left", size=9
    )
    _bits_axis(axis)
    axis.set_ylabel("median latency, ms (log)")
    if not arms:
        canvas.nothing(axis)
        return
    axis.set_yscale("log")
    canvas.grid(axis)
    present = [key for key in series if any(_key(arm) == key for arm in arms)]
    for index, key in enumerate(present):
        # Side by side, so that no interval hides another.
        shift = (index - (len(present) - 1) / 2) * min(0.12, 0.6 / max(1, len(present)))
        _draw_series(axis, series[key], [arm for arm in arms if _key(arm) == key], shift)
    low = min(min(words.interval(arm)[0], median_ms(arm)) for arm in arms)
    high = max(max(words.interval(arm)[1], median_ms(arm)) for arm in arms)
    axis.set_ylim(max(low, high * 1e-9) / 1.35, high * 1.35)
    canvas.label_log(axis.yaxis, high / max(low, high * 1e-9))


def _draw_series(axis: Axes, look: Look, arms: Sequence[Arm], shift: float) -> None:
    kept = [arm for arm in arms if arm["outcome"] == Outcome.OK]
    fallen = [arm for arm in arms if arm["outcome"] == Outcome.FALLBACK]
    line = [
        (BITS.index(width) + shift, median_ms(arm))
        for width in BITS
        for arm in kept
        if arm["effective_bits"] == width
    ]
    firsts = dict(reversed(line))
    xs = sorted(firsts)
    axis.plot(xs, [firsts[x] for x in xs], color=look.colour, linestyle=look.line, linewidth=1.4)
    for width in BITS:
        group = [arm for arm in (*kept, *fallen) if arm["effective_bits"] == width]
        for place, arm in enumerate(group):
            _draw_point(axis, look, arm, BITS.index(width) + shift + 0.07 * place)


def _draw_point(axis: Axes, look: Look, arm: Arm, x: float) -> None:
    median = median_ms(arm)
    low, high = words.interval(arm)
    _point(axis, look, arm, x, median, (max(0.0, median - low), max(0.0, high - median)))


def _point(axis: Axes, look: Look, arm: Arm, x: float, y: float, around: tuple[float, float]) -> None:
    axis.errorbar(
        [x],
        [y],
        yerr=[[around[0]], [around[1]]],
        color=look.colour,
        marker=look.marker,
        markersize=5.5,
        markerfacecolor="white" if arm["outcome"] == Outcome.FALLBACK else look.colour,
        markeredgewidth=1.3,
        capsize=2.5,
        linewidth=1.1,
    )


def _notes(arms: Sequence[Arm]) -> list[str]:
    """What fell back and what has no speed, by name."""
    fallen: dict[str, list[str]] = {}
    missing: dict[str, dict[str, list[str]]] = {}
    several = len({arm["requested_model"] for arm in arms}) > 1
    for arm in sorted(arms, key=lambda arm: -arm["requested_bits"]):
        parts = (words.browser(arm), arm["requested_platform"], words.options(arm))
        name = " ".join(words.distinct((*parts, arm["requested_model"] if several else "")))
        if not measured(arm):
            kinds = missing.setdefault(name, {})
            kinds.setdefault(arm["outcome"], []).append(str(arm["requested_bits"]))
        elif arm["outcome"] == Outcome.FALLBACK:
            ran = words.bits(arm)
            if arm["effective_platform"] != arm["requested_platform"]:
                ran += f" ({words.platform(arm)})"
            fallen.setdefault(name, []).append(ran)
    lines = [
        f"fell back: {name} {', '.join(words.distinct(found))}" for name, found in sorted(fallen.items())
    ]
    for name, kinds in sorted(missing.items()):
        said = [f"{', '.join(words.distinct(found))}: {outcome}" for outcome, found in kinds.items()]
        lines.append(f"not measured: {name} {'; '.join(said)}")
    return lines


def place_of(bits: float) -> float:
    """Where that many bits stand on the axis of precisions: 16 at 0, 2 at 3, a mixed mean between."""
    return 4 - math.log2(bits)


@mpl.rc_context(STYLE)
def memory(board: Board) -> Figure:
    """Bytes of weights against FP16 by the mean bits that ran, with the line of bits over 16.

    Raises:
        InputError: there are no runs.
    """
    sized = [arm for arm in board.ran if right(arm) and arm["weight_bytes"] and arm["weight_bytes_fp16"]]

    def share(arm: Arm) -> tuple[float, float, float]:
        value = 100 * weight_bytes(arm) / (arm["weight_bytes_fp16"] or math.nan)
        return value, value, value

    ideal = Line2D([], [], color="#555555", linestyle="-", linewidth=1, label="ideal: bits / 16, no scales")
    figure, (axis,), arms = _by_precision(
        board, "Weights in memory against FP16", sized, [("% of FP16 bytes (log)", share)], [ideal]
    )
    if arms:
        axis.set_yscale("log", base=2)
        values = [share(arm)[0] for arm in arms]
        axis.plot([0, 3], [100, 12.5], color="#555555", linewidth=1, zorder=1)
        axis.set_ylim(min(12.5, *values) / 1.2, max(100.0, *values) * 1.2)
        axis.yaxis.set_major_locator(FixedLocator([6.25, 12.5, 25, 50, 100, 200]))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return figure


@mpl.rc_context(STYLE)
def accuracy(board: Board, limit: float = 0.99) -> Figure:
    """Cosine and relative L2 distance to the unquantized model by the mean bits that ran.

    Args:
        board: what to draw; a point is the median over sessions, its bar from least to most.
        limit: a cosine to draw a line at.

    Raises:
        InputError: there are no runs.
    """
    known = [arm for arm in board.ran if right(arm) and arm["cosine_fp32"] is not None]

    def closeness(arm: Arm) -> tuple[Any, Any, Any]:
        return arm["cosine_fp32"], arm["cosine_fp32_low"], arm["cosine_fp32_high"]

    def distance(arm: Arm) -> tuple[Any, Any, Any]:
        return arm["rel_l2_fp32"], arm["rel_l2_fp32_low"], arm["rel_l2_fp32_high"]

    figure, axes, arms = _by_precision(
        board,
        "Accuracy against the unquantized model",
        known,
        [("mean cosine (1: the same)", closeness), ("relative L2 distance (log)", distance)],
        [Line2D([], [], color="#555555", linestyle=":", label=f"cosine {limit:g}, the limit of a choice")],
    )
    if arms:
        axes[0].axhline(limit, color="#555555", linestyle=":", linewidth=1.2)
        axes[0].set_ylim(min(0.98, *(cosine(arm) for arm in arms)) - 0.02, 1.005)
        positive = [arm["rel_l2_fp32"] for arm in arms if arm["rel_l2_fp32"]]
        if positive:
            axes[1].set_yscale("log")
            axes[1].set_ylim(min(positive) / 1.5, max(positive) * 1.5)
            canvas.label_log(axes[1].yaxis, max(positive) / min(positive))
    return figure


# Middle, least and most of an arm; None where it was not measured.
Value = Callable[[Arm], tuple[Any, Any, Any]]


def _by_precision(
    board: Board,
    title: str,
    arms: Sequence[Arm],
    panels: Sequence[tuple[str, Value]],
    legend: Sequence[Line2D],
) -> tuple[Figure, list[Axes], list[Arm]]:
    """Panels over bits, a series a model, platform and options; equal points are drawn once.

    Returns the arms that were drawn too: the picture has room for only some series.
    """
    if not board.ran:
        raise canvas.nobody()
    grouped: dict[tuple[str, ...], list[Arm]] = {}
    for arm in arms:
        key = (arm["requested_model"], str(arm["effective_platform"]), words.options(arm))
        grouped.setdefault(key, []).append(arm)
    keys, notes = canvas.capped(sorted(grouped), canvas.MOST_SERIES, "series")
    series = canvas.looks(keys)
    handles = []
    for key in keys:
        total = sum(arm["sessions"] for arm in grouped[key])
        text = " ".join(part for part in key if part)
        handles.append(series[key].handle(f"{text} (n = {total} run{'' if total == 1 else 's'})"))
    missing = [arm for arm in board.ran if not right(arm)]
    handles.append(canvas.hollow("hollow: fell back, shown at the bits that ran"))
    figure, axes = canvas.sheet(
        title,
        len(panels),
        legend=[*legend, *handles],
        notes=[*notes, *_notes(missing)],
        footer=canvas.footer(board.ran),
        panel=4.2,
    )
    drawn = [arm for key in keys for arm in grouped[key]]
    for axis, (label, value) in zip(axes, panels, strict=True):
        _bits_axis(axis)
        axis.set_ylabel(label)
        if not drawn:
            canvas.nothing(axis)
            continue
        canvas.grid(axis)
        for index, key in enumerate(keys):
            shift = (index - (len(keys) - 1) / 2) * min(0.08, 0.5 / len(keys))
            _draw_values(axis, series[key], grouped[key], shift, value)
    return figure, axes, drawn


def _draw_values(axis: Axes, look: Look, arms: Sequence[Arm], shift: float, value: Value) -> None:
    seen = set()
    for arm in arms:
        middle, low, high = value(arm)
        bits = arm["effective_bits_mean"] or arm["effective_bits"]
        if middle is None or bits is None:
            continue
        x = place_of(bits) + shift
        point = (round(x, 6), f"{middle:.9g}", arm["outcome"])
        if point not in seen:
            seen.add(point)
            _point(axis, look, arm, x, middle, (max(0.0, middle - low), max(0.0, high - middle)))


@mpl.rc_context(STYLE)
def pareto(board: Board) -> Figure:
    """Latency against bytes of weights, each point with its bits and cosine; filled where none is better.

    An arm is better than another where it is as good in latency, bytes and cosine, and better in one of them.

    Raises:
        InputError: there are no runs.
    """
    if not board.ran:
        raise canvas.nobody()
    known = [
        arm for arm in board.ran if measured(arm) and arm["weight_bytes"] and arm["cosine_fp32"] is not None
    ]
    shown = canvas.panels(known) or {"": []}
    panels, left_out = canvas.capped(list(shown.items()), canvas.MOST_PANELS, "panels")
    series = canvas.looks(_key(arm) for _, members in panels for arm in members)
    names, more = canvas.capped(list(series), canvas.MOST_SERIES, "series in this legend")
    figure, axes = canvas.sheet(
        "Latency, bytes and accuracy: what no other arm beats",
        len(panels),
        legend=[
            *(series[key].handle(_name(key)) for key in names),
            canvas.hollow("hollow: another arm is at least as good in latency, bytes and cosine"),
        ],
        notes=[*left_out, *more, *_notes([arm for arm in board.ran if not measured(arm)])],
        footer=["beside a point: bits that ran, cosine to the unquantized model", *canvas.footer(board.ran)],
        panel=4.4,
    )
    for axis, (title, members) in zip(axes, panels, strict=True):
        _draw_pareto(axis, title, members, series)
    return figure


def front(arms: Sequence[Arm]) -> list[Arm]:
    """The arms that no other beats in latency, bytes and cosine together."""

    def cost(arm: Arm) -> tuple[float, float, float]:
        return time_ms(arm), weight_bytes(arm), -cosine(arm)

    def beaten(mine: tuple[float, ...]) -> bool:
        return any(other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in costs)

    costs = [cost(arm) for arm in arms]
    return [arm for arm, mine in zip(arms, costs, strict=True) if not beaten(mine)]


def _draw_pareto(axis: Axes, title: str, arms: Sequence[Arm], series: Drawn) -> None:
    counted = canvas.counts(arms)
    axis.set_title(
        "\n".join(canvas.wrap(title, 68)) + (f"\n{counted}" if counted else ""), loc="left", size=9
    )
    of_tokens = any(writes(arm) for arm in arms)  # a panel is of one model
    axis.set_xlabel(
        "median time of a token after the prompt, ms (log)" if of_tokens else "median latency, ms (log)"
    )
    axis.set_ylabel("weights, MB")
    if not arms:
        canvas.nothing(axis)
        return
    best = front(arms)
    axis.set_xscale("log")
    canvas.grid(axis, "both")
    for arm in arms:
        look, filled = series[_key(arm)], any(arm is one for one in best)
        x, y = time_ms(arm), weight_bytes(arm) / 1e6
        axis.plot(
            [x],
            [y],
            linestyle="none",
            marker=look.marker,
            color=look.colour,
            markerfacecolor=look.colour if filled else "white",
            markersize=6.5 if filled else 5,
            zorder=3 if filled else 2,
        )
        if filled and len(best) <= 12:
            text = f"{words.bits(arm)}, {arm['cosine_fp32']:.3f}"
            axis.annotate(text, (x, y), xytext=(6, 4), textcoords="offset points", size=7)
    xs = [time_ms(arm) for arm in arms]
    axis.set_xlim(min(xs) / 1.3, max(xs) * 2.0)
    axis.set_ylim(0, max(weight_bytes(arm) for arm in arms) / 1e6 * 1.15)
    canvas.label_log(axis.xaxis, max(xs) / min(xs) * 2)
