"""Charts of times themselves: browsers side by side for audio, samples of single runs, arms over months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.metrics import DECODE, LATENCY
from bench.models.families import HEARING
from bench.report import canvas, words
from bench.report.board import BITS, Board, as_rows, measured
from bench.report.canvas import STYLE
from bench.report.compare_text import split_arms
from bench.report.history import NEEDED, Series, history
from bench.report.row import Arm, median_ms, writes

MOST_RUNS = 8
_MOST_SERIES = 8


@mpl.rc_context(STYLE)
def audio(board: Board) -> Figure:
    """Firefox against Chrome for audio models: latency by precision, a panel a model and platform.

    Raises:
        InputError: no audio model ran.
    """
    heard = [arm for arm in board.ran if arm["model_family"] in HEARING]
    if not heard:
        raise InputError("no runs of an audio model to draw: bench run --model whisper-tiny.en makes some")
    grouped: dict[str, list[Arm]] = {}
    for title, members in canvas.panels(heard).items():
        for arm in members:
            platform = arm["effective_platform"] or arm["requested_platform"]
            grouped.setdefault(f"{platform}: {title}", []).append(arm)
    panels, notes = canvas.capped(sorted(grouped.items()), canvas.MOST_PANELS, "panels")
    series = canvas.looks(_who(arm) for arm in heard if measured(arm))
    figure, axes = canvas.sheet(
        "Audio: one inference in each browser",
        len(panels),
        legend=[
            Rectangle(
                (0, 0), 1, 1, facecolor=look.colour, hatch=look.hatch, edgecolor="white", label=" ".join(key)
            )
            for key, look in series.items()
        ],
        notes=[*notes, *_refused(heard)],
        footer=[canvas.SEVERAL, *canvas.footer(heard)],
    )
    for axis, (title, members) in zip(axes, panels, strict=True):
        _draw_bars(axis, title, [arm for arm in members if measured(arm)], series)
    return figure


def _who(arm: Arm) -> tuple[str, str]:
    return words.browser(arm), words.options(arm)


def _refused(arms: Sequence[Arm]) -> list[str]:
    found: dict[str, list[str]] = {}
    for arm in sorted(arms, key=lambda arm: -arm["requested_bits"]):
        if not measured(arm):
            name = f"not measured: {words.browser(arm)} {arm['requested_platform']}: {arm['outcome']}"
            found.setdefault(name, []).append(str(arm["requested_bits"]))
    return [f"{name} at {', '.join(words.distinct(bits))} bits" for name, bits in sorted(found.items())]


def _draw_bars(axis: Axes, title: str, arms: Sequence[Arm], series: Mapping[Any, canvas.Look]) -> None:
    canvas.headed(axis, title, arms)
    axis.set_xlabel("bits asked for; hatched white: fell back, to the bits above the bar")
    axis.set_ylabel("median latency, ms")
    widths = [width for width in BITS if any(arm["requested_bits"] == width for arm in arms)]
    if not widths:
        canvas.nothing(axis)
        return
    canvas.grid(axis)
    axis.set_xticks(range(len(widths)), [str(width) for width in widths])
    size = 0.8 / len(series)
    for index, (key, look) in enumerate(series.items()):
        for arm in arms:
            if _who(arm) == key:
                fell = arm["outcome"] == Outcome.FALLBACK
                x = widths.index(arm["requested_bits"]) + (index - (len(series) - 1) / 2) * size
                median, (low, high) = median_ms(arm), words.interval(arm)
                text = words.number(median) + (f" (→ {arm['effective_bits']})" if fell else "")
                canvas.bar(
                    axis, look, (x, size * 0.9), median, (low, high), text, fell=fell, capsize=2.5, font=7
                )
    axis.margins(y=0.12)


@mpl.rc_context(STYLE)
def samples(board: Board, measured_ms: Mapping[int, Sequence[float]]) -> Figure:
    """The share of samples at or below a time, a line a run.

    Args:
        board: where the runs are described.
        measured_ms: run -> the samples of its measure phase, ms; at most `MOST_RUNS` are drawn.

    Raises:
        InputError: there are no samples.
    """
    rows = [
        row for row in as_rows(board.runs[board.runs["id"].isin(list(measured_ms))]) if measured_ms[row["id"]]
    ]
    if not rows:
        raise InputError("no samples to draw: no run there was measured; see bench query")
    shown, notes = canvas.capped(rows[::-1], MOST_RUNS, "runs")
    series = canvas.looks(row["id"] for row in shown)
    of_shown = [arm for arm in board.ran if set(arm["runs"]) & {row["id"] for row in shown}]
    handles = []
    for row in shown:
        bits = (
            f"{words.bits(row)}-bit" if row["outcome"] == Outcome.OK else f"{words.bits(row)} bits, fell back"
        )
        asked = " ".join(filter(None, [words.browser(row), words.platform(row), bits, words.options(row)]))
        what = ", a token after the prompt" if writes(row) else ""
        text = f"run {row['id']}: {asked}, {row['requested_model']}{what}, n = {len(measured_ms[row['id']])}"
        handles.append(series[row["id"]].handle(text))
    figure, (axis,) = canvas.sheet(
        "Distribution of samples within a session",
        1,
        legend=handles,
        notes=notes,
        footer=canvas.footer(of_shown or board.ran),
    )
    for row in shown:
        ordered = np.sort(np.asarray(measured_ms[row["id"]], dtype=np.float64))
        share = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
        look = series[row["id"]]
        axis.plot(
            ordered,
            share,
            drawstyle="steps-post",
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markersize=4.5,
            markevery=max(1, len(ordered) // 8),
            linewidth=1.3,
        )
    axis.set_xscale("log")
    canvas.grid(axis, "both")
    axis.set_xlabel("wall time of one inference, ms (log)")
    axis.set_ylabel("% of samples at or below")
    axis.set_ylim(0, 104)
    drawn = [value for row in shown for value in measured_ms[row["id"]]]
    axis.set_xlim(min(drawn) / 1.05, max(drawn) * 1.05)
    canvas.label_log(axis.xaxis, max(drawn) / min(drawn) * 1.1)
    return figure


def newest_measured(board: Board, most: int = MOST_RUNS) -> list[int]:
    """The newest runs that were measured."""
    kept = board.runs[board.runs["latency_ms_median"].notna()]
    return [int(one) for one in kept["id"].tail(most)]


@mpl.rc_context(STYLE)
def over_time(board: Board, metric: str | None = None) -> Figure:
    """Session medians of each arm over time, with the run where a step begins.

    Args:
        board: whose runs have the metric.
        metric: one of `bench.metrics.COMPARED`; by default the time of a token where all are language models,
            else that of an inference.

    Raises:
        InputError: no run that ran as requested has it.
    """
    metric, kept = _followed(board, metric)
    keys = [name for name in NEEDED if name.startswith("requested_") or name in ("cpu", "adapter")]
    number = kept.groupby(keys, dropna=False, sort=False).ngroup()
    longest = number.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    chosen = kept.loc[number.isin(longest.index[:_MOST_SERIES]), [*NEEDED, metric]]
    followed = sorted(history(as_rows(chosen), metric), key=lambda one: -len(one.values))
    found, notes = canvas.capped(followed, _MOST_SERIES, "series")
    if len(longest) > _MOST_SERIES:
        notes = [f"the {len(found)} longest of {len(longest)} arms: narrow it with --campaign or --where"]
    shared, names = split_arms([one.arm for one in found])
    series = canvas.looks(range(len(found)))
    handles = [
        series[place].handle(
            f"{name or shared}, n = {len(one.values)} session{'' if len(one.values) == 1 else 's'}"
        )
        for place, (one, name) in enumerate(zip(found, names, strict=True))
    ]
    for one, name in zip(found, names, strict=True):
        notes += [f"step in {name or shared}: {change.words}" for change in one.changes]
    figure, (axis,) = canvas.sheet(
        "Latency over time" if metric == LATENCY else f"{metric} over time",
        1,
        legend=handles,
        notes=notes,
        footer=["a vertical line: a step, at the first run after it", *canvas.footer(board.ran)],
        panel=4.6,
    )
    if shared:
        axis.set_title(f"every arm: {shared}", loc="left", size=9)
    few = sum(len(one.changes) for one in found) <= 4  # else their names would cover each other
    for place, one in enumerate(found):
        _draw_history(axis, one, series[place], named=few)
    axis.set_yscale("log")
    canvas.grid(axis)
    axis.set_ylabel("session median, ms (log)" if metric == LATENCY else f"{metric} (log)")
    values = [value for one in found for value in one.values]
    axis.set_ylim(min(values) / 1.35, max(values) * 1.35)
    canvas.label_log(axis.yaxis, max(values) / min(values) * 1.8)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axis.set_xlabel("started, UTC")
    return figure


def _followed(board: Board, metric: str | None) -> tuple[str, pd.DataFrame]:
    """What is followed, and the runs that have it; InputError where there are none."""
    right = board.runs[board.runs["outcome"] == Outcome.OK.value]
    if metric is None:
        all_write = len(right) and right["requested_generate"].notna().all()
        metric = DECODE if all_write else LATENCY
    kept = right[right[metric].notna()]
    if not len(kept):
        what = "a latency" if metric == LATENCY else metric
        raise InputError(f"no run that ran as requested has {what} to follow: see bench query")
    return metric, kept


def _draw_history(axis: Axes, one: Series, look: canvas.Look, *, named: bool) -> None:
    times: list[Any] = [datetime.fromisoformat(text) for text in one.times]
    # Thousands of points would make the picture megabytes large: every n-th is drawn.
    every = max(1, len(times) // 400)
    axis.plot(
        times[::every],
        one.values[::every],
        color=look.colour,
        linestyle=look.line if len(times) <= 60 else "none",
        linewidth=0.9,
        marker=look.marker,
        markersize=4 if len(times) <= 60 else 2.5,
    )
    for change in one.changes:
        when: Any = datetime.fromisoformat(change.since)
        axis.axvline(when, color=look.colour, linestyle=look.line, linewidth=1)
        axis.annotate(
            f"run {change.run}",
            (when, 0.99),
            xycoords=("data", "axes fraction"),
            size=7,
            rotation=90,
            va="top",
        )
