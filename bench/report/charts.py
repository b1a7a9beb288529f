"""Charts with matplotlib's object API: no global state, the same bytes for the same rows.

`latency_by_bits` shows speed only where it was measured and right. What fell back is hollow and stands at
the bits that ran, never at those asked for; what has no speed is named beneath.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.report import words
from bench.report.tables import BITS, as_rows, latest

Format = Literal["svg", "png"]

# Okabe and Ito's palette, darkest first; marker and line differ too, so that it reads in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D00", "#3A9BD1", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
_LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "svg.hashsalt": "webquant-bench",
    "axes.axisbelow": True,
    "text.parse_math": False,  # foreign words are no formula
}

# Inches.
_WIDTH, _PANEL, _LEGEND_LINE, _TEXT_LINE, _MARGIN = 10.0, 3.9, 0.205, 0.185, 0.3
_LETTERS = 128  # of the small text that fit on one line
_MOST_NOTES = 16


@dataclass(frozen=True)
class _Series:
    key: tuple[str, ...]
    label: str
    colour: str
    marker: str
    line: Any


def latency_by_bits(runs: pd.DataFrame) -> Figure:
    """Median latency against weight bits: a panel a model and shape, a series a browser, platform and device.

    Args:
        runs: rows of `Store.summary`; the last attempt at each cell is drawn. Each point is one browser
            session, its bar the 95 % interval of the median within it; a line joins medians over sessions.

    Raises:
        InputError: there are no runs.
    """
    rows = as_rows(latest(runs))
    if not rows:
        raise InputError("no runs to draw: `bench run` makes some, or widen --campaign and --where")
    drawn = [row for row in rows if _measured(row)]
    panels = _panels(rows)
    series = _all_series(drawn)
    notes, footer = _notes(rows), _footer(rows)
    with mpl.rc_context(_STYLE):
        figure, axes, below = _layout(len(panels), len(series), len(notes) + len(footer))
        for axis, (title, members) in zip(axes, panels.items(), strict=True):
            _draw_panel(axis, title, [row for row in members if _measured(row)], series)
        figure.text(
            _MARGIN / _WIDTH,
            1 - _MARGIN / figure.get_figheight(),
            "Latency of one inference by weight precision",
            va="center",
            weight="bold",
            size=12,
        )
        _write_below(figure, list(series.values()), notes, footer, below)
    return figure


def render(figure: Figure, kind: Format) -> bytes:
    """The figure as bytes, without dates or versions in it."""
    file = io.BytesIO()
    with mpl.rc_context(_STYLE):
        if kind == "svg":
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        else:
            figure.savefig(file, format="png", dpi=144, metadata={"Software": None})
    return file.getvalue()


def _measured(row: words.Row) -> bool:
    right = Outcome(row["outcome"]).measured
    return right and row["latency_ms_median"] is not None and row["effective_bits"] in BITS


def _panels(rows: Sequence[words.Row]) -> dict[str, list[words.Row]]:
    """Rows that may stand on one axis: the same model, weights, shape and host."""
    hosts = words.distinct(_host(row) for row in rows)
    found: dict[str, list[words.Row]] = {}
    for row in rows:
        parts = [f"{row['requested_model']}, {row['requested_sequence_length']} tokens"]
        if row["requested_batch_size"] != 1:
            parts.append(f"batch of {row['requested_batch_size']}")
        if row["model_weights"] == "synthetic":
            parts.append("SYNTHETIC WEIGHTS")
        if len(hosts) > 1:
            parts.append(_host(row))
        found.setdefault(", ".join(parts), []).append(row)
    return dict(sorted(found.items()))


def _host(row: words.Row) -> str:
    return ", ".join(words.distinct((row["os"], row["cpu"])))


def _key(row: words.Row) -> tuple[str, ...]:
    """What ran, not what was asked: a fallback to another platform belongs to that one."""
    return (
        words.browser(row),
        str(row["effective_platform"] or row["requested_platform"]),
        words.device(row),
        words.options(row),
    )


def _all_series(drawn: Sequence[words.Row]) -> dict[tuple[str, ...], _Series]:
    keys: dict[tuple[str, ...], words.Row] = {}
    for row in drawn:
        keys.setdefault(_key(row), row)
    found = {}
    for index, key in enumerate(sorted(keys)):
        label = ", ".join(
            part for part in (f"{key[0]} {key[1]}", textwrap.shorten(key[2], 60), key[3]) if part
        )
        found[key] = _Series(
            key,
            label,
            _COLOURS[index % len(_COLOURS)],
            _MARKERS[index % len(_MARKERS)],
            _LINES[index % len(_LINES)],
        )
    return found


def _draw_panel(
    axis: Axes, title: str, rows: Sequence[words.Row], series: Mapping[tuple[str, ...], _Series]
) -> None:
    axis.set_title(title + _counts(rows), loc="left", size=9)
    axis.set_xticks(range(len(BITS)), [f"{width}" for width in BITS])
    axis.set_xlim(-0.5, len(BITS) - 0.5)
    axis.set_xlabel("weight bits that ran")
    axis.set_ylabel("median latency, ms (log)")
    if not rows:
        axis.set_yticks([])
        axis.text(0.5, 0.5, "nothing was measured", ha="center", va="center", transform=axis.transAxes)
        return
    axis.set_yscale("log")
    axis.grid(visible=True, axis="y", color="#dddddd", linewidth=0.6)
    present = [item for item in series.values() if any(_key(row) == item.key for row in rows)]
    for index, item in enumerate(present):
        # Side by side, so that no interval hides another.
        shift = (index - (len(present) - 1) / 2) * min(0.12, 0.6 / max(1, len(present)))
        _draw_series(axis, item, [row for row in rows if _key(row) == item.key], shift)
    low = min(min(words.interval(row)[0], row["latency_ms_median"]) for row in rows)
    high = max(max(words.interval(row)[1], row["latency_ms_median"]) for row in rows)
    axis.set_ylim(max(low, high * 1e-9) / 1.35, high * 1.35)
    _label_log_axis(axis, high / max(low, high * 1e-9))


def _label_log_axis(axis: Axes, ratio: float) -> None:
    steps: tuple[float, ...] = (1.0, 2.0, 5.0) if ratio < 300 else (1.0,)
    if ratio < 4:
        steps = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
    axis.yaxis.set_major_locator(LogLocator(base=10, subs=steps))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _draw_series(axis: Axes, item: _Series, rows: Sequence[words.Row], shift: float) -> None:
    kept = [row for row in rows if row["outcome"] == Outcome.OK]
    fallen = [row for row in rows if row["outcome"] == Outcome.FALLBACK]
    middle: dict[int, float] = {}
    for width in BITS:
        values = [row["latency_ms_median"] for row in kept if row["effective_bits"] == width]
        if values:
            middle[BITS.index(width)] = float(pd.Series(values).median())
    axis.plot(
        [place + shift for place in middle],
        list(middle.values()),
        color=item.colour,
        linestyle=item.line,
        linewidth=1.4,
    )
    for width in BITS:
        group = [row for row in (*kept, *fallen) if row["effective_bits"] == width]
        for place, row in enumerate(group):
            # A point of its own for each session; the first stands on the line.
            side = shift + 0.07 * place
            _draw_point(axis, item, row, BITS.index(width) + side)


def _draw_point(axis: Axes, item: _Series, row: words.Row, x: float) -> None:
    median = row["latency_ms_median"]
    low, high = words.interval(row)
    bars = [[max(0.0, median - low)], [max(0.0, high - median)]]
    axis.errorbar(
        [x],
        [median],
        yerr=bars,
        color=item.colour,
        marker=item.marker,
        markersize=5.5,
        markerfacecolor="white" if row["outcome"] == Outcome.FALLBACK else item.colour,
        markeredgewidth=1.3,
        capsize=2.5,
        linewidth=1.1,
    )


def _counts(rows: Sequence[words.Row]) -> str:
    counts = sorted({int(row["latency_ms_n"]) for row in rows if row["latency_ms_n"] is not None})
    if not counts:
        return ""
    span = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    sessions = "1 session" if len(rows) == 1 else f"{len(rows)} sessions"
    return f"\n{sessions}, n = {span} samples each"


def _layout(panels: int, series: int, lines: int) -> tuple[Figure, list[Axes], float]:
    """A figure tall enough for everything beneath its panels, and that part's height in inches."""
    across = 1 if panels == 1 else 2
    down = math.ceil(panels / across)
    below = _MARGIN + (series + 1) * _LEGEND_LINE + lines * _TEXT_LINE + 0.55
    height = 0.85 + down * _PANEL + below
    figure = Figure(figsize=(_WIDTH, height))
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        down,
        across,
        left=0.8 / _WIDTH,
        right=1 - _MARGIN / _WIDTH,
        top=1 - 0.85 / height,
        bottom=below / height,
        hspace=0.36,
        wspace=0.22,
    )
    axes = [figure.add_subplot(grid[index // across, index % across]) for index in range(panels)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes, below


def _write_below(
    figure: Figure, series: Sequence[_Series], notes: Sequence[str], footer: Sequence[str], below: float
) -> None:
    height = figure.get_figheight()
    handles = [
        Line2D([], [], color=item.colour, marker=item.marker, linestyle=item.line, label=item.label)
        for item in series
    ]
    handles.append(Line2D([], [], color="#555555", marker="o", markerfacecolor="white", linestyle="none"))
    handles[-1].set_label(
        "hollow: fell back, shown at the bits that ran; bars: 95 % interval within one session"
    )
    top = below - 0.6
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(_MARGIN / _WIDTH, top / height),
        frameon=False,
        fontsize=8.5,
        borderaxespad=0,
        handlelength=3.4,
        labelspacing=0.45,
    )
    start = top - len(handles) * _LEGEND_LINE - 0.06
    for place, line in enumerate([*notes, *footer]):
        figure.text(
            _MARGIN / _WIDTH,
            (start - place * _TEXT_LINE) / height,
            line,
            size=7.5,
            va="top",
            color="#222222" if place < len(notes) else "#555555",
        )


def _notes(rows: Sequence[words.Row]) -> list[str]:
    """What fell back and what has no speed, by name."""
    fallen: dict[str, list[str]] = {}
    missing: dict[str, dict[str, list[str]]] = {}
    several = len({row["requested_model"] for row in rows}) > 1
    for row in sorted(rows, key=lambda row: -row["requested_bits"]):
        parts = (words.browser(row), row["requested_platform"], words.options(row))
        name = " ".join(words.distinct((*parts, row["requested_model"] if several else "")))
        if not _measured(row):
            kinds = missing.setdefault(name, {})
            kinds.setdefault(row["outcome"], []).append(str(row["requested_bits"]))
        elif row["outcome"] == Outcome.FALLBACK:
            ran = words.bits(row)
            if row["effective_platform"] != row["requested_platform"]:
                ran += f" ({words.platform(row)})"
            fallen.setdefault(name, []).append(ran)
    lines = [
        f"fell back: {name} {', '.join(words.distinct(found))}" for name, found in sorted(fallen.items())
    ]
    for name, kinds in sorted(missing.items()):
        said = [f"{', '.join(words.distinct(found))}: {outcome}" for outcome, found in kinds.items()]
        lines.append(f"not measured: {name} {'; '.join(said)}")
    wrapped = [part for line in lines for part in _wrap(line)]
    if len(wrapped) > _MOST_NOTES:
        more = len(wrapped) - _MOST_NOTES
        wrapped = [*wrapped[:_MOST_NOTES], f"and {more} more lines, all in the report"]
    return [*wrapped, ""] if wrapped else []


def _footer(rows: Sequence[words.Row]) -> list[str]:
    campaigns = words.distinct(row["campaign"] for row in rows)
    named = ", ".join(campaigns[:4]) + (f" and {len(campaigns) - 4} more" if len(campaigns) > 4 else "")
    lines = [
        f"campaign: {named}    weights: {', '.join(words.distinct(row['model_weights'] for row in rows))}",
        f"browsers: {', '.join(sorted(words.distinct(words.browser(row) for row in rows)))}",
    ]
    adapters: dict[str, bool] = {}
    for row in rows:
        if row["adapter"]:
            adapters[words.visible(row["adapter"])] = row["adapter_is_fallback"] is True or (
                row["effective_platform"] == "webgpu" and words.software(row)
            )
    for name, software in sorted(adapters.items()):
        lines.append(f"adapter: {name}" + (" — SOFTWARE ADAPTER, not a GPU" if software else ""))
    if any(words.software(row) for row in rows) and not any(adapters.values()):
        lines.append("some runs ran on the CPU: SOFTWARE ADAPTER or device cpu, not a GPU")
    host = words.distinct(_host(row) for row in rows)
    lines.append(f"host: {'; '.join(host)}")
    return [part for line in lines for part in _wrap(line)]


def _wrap(line: str) -> list[str]:
    return textwrap.wrap(line, _LETTERS, subsequent_indent="    ") or [""]
