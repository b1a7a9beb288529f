"""The roofline: what each arm reached, under what its adapter reached with arithmetic and reading alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.report import canvas, words
from bench.report.board import Board, measured
from bench.report.canvas import STYLE, Look
from bench.report.row import Arm, median_ms

MOST_RUNS = 2000  # whose evidence is read, the newest


@dataclass(frozen=True)
class Point:
    """One arm: operations for each byte that must move, and billions of operations a second.

    `gpu` is the rate by the GPU's own clock, None where it has none.
    """

    arm: Arm
    intensity: float
    rate: float
    gpu: float | None


@dataclass(frozen=True)
class Roof:
    """An adapter's ceilings, medians over the sessions that measured them: GFLOP/s and GB/s."""

    gflops: float
    gbytes_per_s: float
    sessions: int


def newest_ran(board: Board) -> list[int]:
    """The newest runs that ran as requested through WebGPU: those that can have a roof."""
    kept = board.runs[
        (board.runs["outcome"] == Outcome.OK.value) & (board.runs["effective_platform"] == "webgpu")
    ]
    return [int(one) for one in kept["id"].tail(MOST_RUNS)]


def points(board: Board, found: Mapping[int, Any]) -> dict[str, tuple[Roof, list[Point]]]:
    """Device -> its roof and its arms.

    Args:
        board: the arms.
        found: run -> its evidence `roofline`; runs without numbers in it (a note instead) are none.
    """
    known = {run: one for run, one in found.items() if one.get("gflops") and one.get("bytes")}
    devices: dict[str, tuple[list[Any], list[Point]]] = {}
    for arm in board.ran:
        mine = [known[run] for run in arm["runs"] if run in known]
        if not mine or not measured(arm) or arm["outcome"] != Outcome.OK:
            continue
        roofs, there = devices.setdefault(", ".join(filter(None, [words.device(arm), arm["cpu"]])), ([], []))
        roofs += mine
        work = mine[-1]
        seconds, gpu_ms = median_ms(arm) / 1000, arm["gpu_ms"]
        there.append(
            Point(
                arm,
                work["flop"] / work["bytes"],
                work["flop"] / seconds / 1e9,
                work["flop"] / gpu_ms / 1e6 if gpu_ms else None,
            )
        )
    return {
        name: (
            Roof(
                median(one["gflops"] for one in roofs),
                median(one["gbytes_per_s"] for one in roofs),
                len(roofs),
            ),
            there,
        )
        for name, (roofs, there) in sorted(devices.items())
    }


@mpl.rc_context(STYLE)
def roofline(board: Board, found: Mapping[int, Any]) -> Figure:
    """Rate against intensity, a panel a device.

    Args:
        board: the arms.
        found: see `points`.

    Raises:
        InputError: no run has measured its ceilings.
    """
    devices = points(board, found)
    if not devices:
        raise InputError(
            "no roofline to draw: no WebGPU run there measured its ceilings; see bench run --roofline"
        )
    panels, notes = canvas.capped(list(devices.items()), canvas.MOST_PANELS, "devices")
    series = canvas.looks(_key(point.arm) for _, (_, there) in panels for point in there)
    names, more = canvas.capped(list(series), canvas.MOST_SERIES, "series in this legend")
    figure, axes = canvas.sheet(
        "Roofline: what was reached, under what the adapter can do",
        len(panels),
        legend=[
            *(series[key].handle(" ".join(filter(None, key))) for key in names),
            canvas.hollow("hollow: by the GPU's own clock, without the browser's submit and wait"),
        ],
        notes=[*notes, *more],
        footer=[
            "line: f32 arithmetic and reading measured in the same sessions (best of five at most)",
            "intensity: operations for each byte of packed weights and activations that kernels must move",
            *canvas.footer(board.ran),
        ],
        panel=4.6,
        across=1,
    )
    for axis, (name, (roof, there)) in zip(axes, panels, strict=True):
        _draw(axis, name, roof, there, series)
    return figure


def _key(arm: Arm) -> tuple[str, ...]:
    return (
        str(arm["requested_model"]),
        f"{arm['requested_sequence_length']} tokens",
        words.browser(arm),
        words.options(arm),
    )


def _draw(axis: Axes, name: str, roof: Roof, there: Sequence[Point], series: Mapping[Any, Look]) -> None:
    ridge = roof.gflops / roof.gbytes_per_s
    low = min([ridge, *(point.intensity for point in there)]) / 3
    high = max([ridge, *(point.intensity for point in there)]) * 3
    xs = np.geomspace(low, high, 200)
    axis.plot(xs, np.minimum(roof.gflops, xs * roof.gbytes_per_s), color="#444444", linewidth=1.6)
    for point in there:
        look = series[_key(point.arm)]
        axis.plot(point.intensity, point.rate, marker=look.marker, color=look.colour, linestyle="none")
        top = point.rate
        if point.gpu is not None:
            axis.plot(
                point.intensity, point.gpu, marker=look.marker, markerfacecolor="none", color=look.colour,
                linestyle="none",
            )  # fmt: skip
            top = max(top, point.gpu)
        axis.annotate(
            words.bits(point.arm),
            (point.intensity, top),
            (0, 5),
            textcoords="offset points",
            ha="center",
            size=7,
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    rates = [rate for point in there for rate in (point.rate, point.gpu) if rate]
    axis.set_xlim(low, high)
    bottom, top = min([*rates, low * roof.gbytes_per_s]) / 2, max([roof.gflops, *rates]) * 2
    axis.set_ylim(bottom, top)
    canvas.label_log(axis.xaxis, high / low)
    canvas.label_log(axis.yaxis, top / bottom)
    canvas.grid(axis, "both")
    axis.set_xlabel("FLOP a byte (log)")
    axis.set_ylabel("GFLOP/s (log)")
    sessions = f"{roof.sessions} session{'' if roof.sessions == 1 else 's'}"
    reached = f"{words.number(roof.gflops)} GFLOP/s, {words.number(roof.gbytes_per_s)} GB/s ({sessions})"
    axis.set_title("\n".join([*canvas.wrap(name, 110), reached]), loc="left", size=9)
