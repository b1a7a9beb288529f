"""The sheet a chart is drawn on: title, panels, legend, notes and a footer that says where it comes from.

matplotlib's object API only: no global state, the same bytes for the same rows. Colours are never alone:
marker, line and hatch differ too, so that a chart reads in grey.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.errors import InputError
from bench.report import words
from bench.report.row import Arm

Format = Literal["svg", "png"]

# Okabe and Ito's palette, darkest first.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D00", "#3A9BD1", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
_LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "+++", "ooo")
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "svg.hashsalt": "webquant-bench",
    "axes.axisbelow": True,
    "hatch.linewidth": 0.7,
    "text.parse_math": False,  # foreign words are no formula
}

# Inches.
_WIDTH, _PANEL, _LEGEND_LINE, _TEXT_LINE, _MARGIN = 10.0, 3.9, 0.205, 0.185, 0.3
_LETTERS = 128  # of the small text that fit on one line
_MOST_NOTES = 16
MOST_PANELS = 12
MOST_SERIES = 24
SEVERAL = (
    "bars: 95 % interval within a session; of the median over sessions where there are several, "
    "from least to most where fewer than 6"
)


@dataclass(frozen=True)
class Look:
    """How one series is told from the others."""

    colour: str
    marker: str
    line: Any
    hatch: str

    def handle(self, label: str) -> Line2D:
        """The series in the legend."""
        return Line2D([], [], color=self.colour, marker=self.marker, linestyle=self.line, label=label)


def looks(keys: Iterable[Any]) -> dict[Any, Look]:
    """A look for each key, in their order."""
    return {
        key: Look(
            _COLOURS[index % len(_COLOURS)],
            _MARKERS[index % len(_MARKERS)],
            _LINES[index % len(_LINES)],
            _HATCHES[index % len(_HATCHES)],
        )
        for index, key in enumerate(sorted(set(keys)))
    }


def render(figure: Figure, kind: Format) -> bytes:
    """The figure as bytes, without dates or versions in it."""
    file = io.BytesIO()
    with mpl.rc_context(STYLE):
        if kind == "svg":
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        else:
            figure.savefig(file, format="png", dpi=144, metadata={"Software": None})
    return file.getvalue()


def inline_svg(figure: Figure, name: str) -> str:
    """The figure as an element of an HTML page: no prologue, and no id that another chart has too."""
    text = render(figure, "svg").decode()
    text = text[text.index("<svg") :]
    used = set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", text))
    text = re.sub(
        r" id=\"([^\"]+)\"",
        lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "",
        text,
    )
    text = re.sub(r"(href=\"#|url\(#)", rf"\g<1>{name}-", text)
    return re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)


def sheet(
    title: str,
    panels: int,
    *,
    legend: Sequence[Artist] = (),
    notes: Sequence[str] = (),
    footer: Sequence[str] = (),
    panel: float = _PANEL,
    across: int = 2,
    left: float = 0.8,
) -> tuple[Figure, list[Axes]]:
    """A figure tall enough for everything beneath its panels; `panel` and `left` in inches.

    A panel's height counts its title and labels. More notes than fit are counted instead.
    """
    wrapped = [part for line in notes for part in wrap(line)]
    if len(wrapped) > _MOST_NOTES:
        more = len(wrapped) - _MOST_NOTES
        wrapped = [*wrapped[:_MOST_NOTES], f"and {more} more lines, all in the report"]
    wrapped = [*wrapped, ""] if wrapped else []
    sources = [part for line in footer for part in wrap(line)]
    across = min(across, panels)
    down = math.ceil(panels / across)
    below = _MARGIN + len(legend) * _LEGEND_LINE + (len(wrapped) + len(sources)) * _TEXT_LINE + 0.55
    height = 0.85 + down * panel + below
    figure = Figure(figsize=(_WIDTH, height))
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        down,
        across,
        left=left / _WIDTH,
        right=1 - _MARGIN / _WIDTH,
        top=1 - 0.85 / height,
        bottom=below / height,
        hspace=0.36,
        wspace=0.22,
    )
    axes = [figure.add_subplot(grid[index // across, index % across]) for index in range(panels)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.text(_MARGIN / _WIDTH, 1 - _MARGIN / height, title, va="center", weight="bold", size=12)
    _write_below(figure, legend, wrapped, sources, below)
    return figure, axes


def _write_below(
    figure: Figure, legend: Sequence[Artist], notes: Sequence[str], footer: Sequence[str], below: float
) -> None:
    height = figure.get_figheight()
    top = below - 0.6
    if legend:
        figure.legend(
            handles=list(legend),
            loc="upper left",
            bbox_to_anchor=(_MARGIN / _WIDTH, top / height),
            frameon=False,
            fontsize=8.5,
            borderaxespad=0,
            handlelength=3.4,
            labelspacing=0.45,
        )
    start = top - len(legend) * _LEGEND_LINE - 0.06
    for place, line in enumerate([*notes, *footer]):
        figure.text(
            _MARGIN / _WIDTH,
            (start - place * _TEXT_LINE) / height,
            line,
            size=7.5,
            va="top",
            color="#222222" if place < len(notes) else "#555555",
        )


def hollow(text: str) -> Line2D:
    """The legend's word for a hollow marker."""
    return Line2D([], [], color="#555555", marker="o", markerfacecolor="white", linestyle="none", label=text)


def bar(
    axis: Axes,
    look: Look,
    place: tuple[float, float],
    value: float,
    interval: tuple[float, float],
    text: str,
    *,
    fell: bool,
    capsize: float,
    font: float,
) -> None:
    """A bar with its interval and a text above it.

    Args:
        axis: drawn on.
        look: of its series.
        place: its middle and its width.
        value: its height.
        interval: low and high end.
        text: above it; "" for none.
        fell: whether something else ran than was asked: white, hatched in the series' colour.
        capsize: of the interval's ends, in points.
        font: size of the text, in points.
    """
    (x, width), (low, high) = place, interval
    axis.bar(
        x,
        value,
        width,
        yerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
        facecolor="white" if fell else look.colour,
        edgecolor=look.colour if fell else "white",
        hatch="////" if fell else look.hatch,
        ecolor="#222222",
        capsize=capsize,
    )
    axis.annotate(text, (x, max(high, value)), (0, 2), textcoords="offset points", ha="center", size=font)


def nothing(axis: Axes, text: str = "nothing was measured") -> None:
    """A panel without a point says so."""
    axis.set_yticks([])
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes)


def grid(axis: Axes, which: Literal["both", "x", "y"] = "y") -> None:
    """Faint lines behind the data."""
    axis.grid(visible=True, axis=which, color="#dddddd", linewidth=0.6)


def label_log(axis: Any, ratio: float) -> None:
    """Plain numbers on a logarithmic axis (`Axes.xaxis` or `yaxis`) whose ends are `ratio` apart."""
    steps: tuple[float, ...] = (1.0, 2.0, 5.0) if ratio < 300 else (1.0,)
    if ratio < 4:
        steps = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
    axis.set_major_locator(LogLocator(base=10, subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def capped(found: Sequence[Any], most: int, what: str) -> tuple[list[Any], list[str]]:
    """At most that many, and a note on those left out."""
    left = len(found) - most
    note = f"{left} more {what} left out of this picture: narrow it with --campaign or --where"
    return list(found[:most]), [note] if left > 0 else []


def footer(arms: Sequence[Arm]) -> list[str]:
    """Campaign, weights, browser builds, adapters and hosts, each named once."""
    campaigns = sorted({name for arm in arms for name in arm["campaigns"]})
    named = ", ".join(campaigns[:4]) + (f" and {len(campaigns) - 4} more" if len(campaigns) > 4 else "")
    weights = ", ".join(words.distinct(arm["model_weights"] for arm in arms))
    builds = sorted(words.distinct(words.browser(arm) for arm in arms))
    some = ", ".join(builds[:8]) + (f" and {len(builds) - 8} more" if len(builds) > 8 else "")
    lines = [f"campaign: {named}    weights: {weights}", f"browsers: {some}"]
    adapters: dict[str, bool] = {}
    for arm in arms:
        if arm["adapter"]:
            name = words.visible(arm["adapter"])
            on_cpu = arm["adapter_is_fallback"] is True or (
                arm["effective_platform"] == "webgpu" and words.software(arm)
            )
            adapters[name] = adapters.get(name, False) or on_cpu
    for name, software in sorted(adapters.items())[:6]:
        lines.append(f"adapter: {name}" + (" — SOFTWARE ADAPTER, not a GPU" if software else ""))
    if any(words.software(arm) for arm in arms) and not any(adapters.values()):
        lines.append("some runs ran on the CPU: SOFTWARE ADAPTER or device cpu, not a GPU")
    lines.append(f"host: {'; '.join(words.distinct(host(arm) for arm in arms)[:6])}")
    return lines


def host(row: Arm) -> str:
    """System and processor."""
    return ", ".join(words.distinct((row["os"], row["cpu"])))


def panels(arms: Sequence[Arm]) -> dict[str, list[Arm]]:
    """Arms that may stand on one axis: the same model, weights, shape and host."""
    hosts = words.distinct(host(arm) for arm in arms)
    found: dict[str, list[Arm]] = {}
    for arm in arms:
        parts = [f"{arm['requested_model']}, {words.shape(arm)}"]
        if arm["requested_batch_size"] != 1:
            parts.append(f"batch of {arm['requested_batch_size']}")
        if arm["model_weights"] == "synthetic":
            parts.append("SYNTHETIC WEIGHTS")
        if len(hosts) > 1:
            parts.append(host(arm))
        found.setdefault(", ".join(parts), []).append(arm)
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts `16 tokens` before `128 tokens`."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", text)]


def headed(axis: Axes, title: str, arms: Sequence[Arm]) -> None:
    """Title a panel, with the sessions and samples in it."""
    axis.set_title("\n".join([*wrap(title, 68), *filter(None, [counts(arms)])]), loc="left", size=9)


def counts(arms: Sequence[Arm]) -> str:
    """`2 sessions, n = 20 to 40 samples each` of what is drawn; "" for nothing."""
    ends = [one for arm in arms for one in (arm["n_low"], arm["n_high"]) if one is not None]
    if not ends:
        return ""
    span = str(min(ends)) if min(ends) == max(ends) else f"{min(ends)} to {max(ends)}"
    total = sum(arm["sessions"] for arm in arms)
    return f"{total} session{'' if total == 1 else 's'}, n = {span} samples each"


def nobody(what: str = "runs") -> InputError:
    """The sentence for an empty database."""
    return InputError(f"no {what} to draw: `bench run` makes some, or widen --campaign and --where")


def wrap(line: str, letters: int = _LETTERS) -> list[str]:
    """Lines of small text."""
    return textwrap.wrap(line, letters, subsequent_indent="    ") or [""]
