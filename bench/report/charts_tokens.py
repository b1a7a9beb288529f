"""Charts of language models: tokens per second by weight bits, and by the length of the prompt.

Speed stands there only where it was measured and right. What fell back is hollow and stands at the bits that
ran; what has no speed is named beneath.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.plan.request import OPTIONS
from bench.report import canvas, words
from bench.report.board import BITS, Board, measured
from bench.report.canvas import STYLE, Look
from bench.report.row import Arm, tokens_per_s, value_at, writes

Key = tuple[Any, ...]
_APART = tuple(one for one in OPTIONS if one.name not in ("generate", "engine", "batch_size"))


@mpl.rc_context(STYLE)
def tokens(board: Board) -> Figure:
    """Tokens per second after the prompt by weight bits: a panel a model and shape; browsers and engines side
    by side.

    Raises:
        InputError: no language model ran.
    """
    asked = _language_models(board)
    panels, left_out = canvas.capped(list(canvas.panels(asked).items()), canvas.MOST_PANELS, "panels")
    shown = [arm for _, members in panels for arm in members]
    series = canvas.looks(_key(arm) for arm in shown if _measured(arm))
    names, more = canvas.capped(list(series), canvas.MOST_SERIES, "series in this legend")
    figure, axes = canvas.sheet(
        "Tokens per second by weight precision",
        len(panels),
        legend=[
            *(_patch(series[key], _name(key)) for key in names),
            Rectangle(
                *((0, 0), 1, 1),
                facecolor="white",
                hatch="////",
                edgecolor="#555555",
                label="white: fell back, to the bits above the bar",
            ),
        ],
        notes=[*left_out, *more, *_refused(shown)],
        footer=[canvas.SEVERAL, *canvas.footer(asked)],
    )
    for axis, (title, members) in zip(axes, panels, strict=True):
        _draw_bars(axis, title, [arm for arm in members if _measured(arm)], series)
    return figure


@mpl.rc_context(STYLE)
def depth(board: Board) -> Figure:
    """Tokens per second over the length of the prompt: after it, and of the prompt itself; a line an arm.

    Raises:
        InputError: no language model ran.
    """
    asked = _language_models(board)
    groups = _by_model(asked)
    shown, left_out = canvas.capped(list(groups.items()), canvas.MOST_PANELS // 2, "models")
    drawn = [arm for _, members in shown for arm in members if _measured(arm)]
    series = canvas.looks(_line(arm) for arm in drawn)
    names, more = canvas.capped(list(series), canvas.MOST_SERIES, "series in this legend")
    figure, axes = canvas.sheet(
        "Tokens per second by the length of the prompt",
        2 * len(shown),
        legend=[
            *(series[key].handle(_name(key)) for key in names),
            canvas.hollow("hollow: fell back, to the bits that the legend names"),
        ],
        notes=[*left_out, *more, *_refused([arm for _, members in shown for arm in members])],
        footer=[canvas.SEVERAL, *canvas.footer(asked)],
    )
    for place, (title, members) in enumerate(shown):
        found = [arm for arm in members if _measured(arm)]
        _draw_depth(axes[2 * place], f"{title}: after the prompt", found, series, prompt=False)
        _draw_depth(axes[2 * place + 1], f"{title}: the prompt", found, series, prompt=True)
    return figure


def _language_models(board: Board) -> list[Arm]:
    found = [arm for arm in board.ran if writes(arm)]
    if not found:
        raise InputError(
            "no runs of a language model to draw: bench run --model NAME --generate 64 makes some"
        )
    return found


def _measured(arm: Arm) -> bool:
    return measured(arm) and arm["decode_tokens_per_s"] is not None


def _key(arm: Arm) -> Key:
    """Who wrote: browser, platform and engine that ran, on what, and every option that is not the default."""
    ran = str(arm["effective_platform"] or arm["requested_platform"])
    engine = arm["effective_engine"] or ""
    said = (one.option_said(value_at(arm, one.column)) for one in _APART)
    return (words.browser(arm), f"{ran} {engine}".rstrip(), words.device(arm), ", ".join(filter(None, said)))


def _line(arm: Arm) -> Key:
    """What has a line of its own in `depth`: who wrote, at how many bits."""
    return (*_key(arm), -arm["requested_bits"], f"{words.bits(arm)}-bit")


def _name(key: Key) -> str:
    who, ran, device, *more = (part for part in key if isinstance(part, str))
    return ", ".join(part for part in (f"{who} {ran}", textwrap.shorten(device, 50), *more) if part)


def _by_model(arms: Sequence[Arm]) -> dict[str, list[Arm]]:
    """Arms whose prompts alone may differ in length, by model, weights and host."""
    found: dict[str, list[Arm]] = {}
    hosts = words.distinct(canvas.host(arm) for arm in arms)
    for arm in arms:
        parts = [words.visible(arm["requested_model"]), f"{arm['requested_generate']} tokens written"]
        parts += ["SYNTHETIC WEIGHTS"] if arm["model_weights"] == "synthetic" else []
        parts += [canvas.host(arm)] if len(hosts) > 1 else []
        found.setdefault(", ".join(parts), []).append(arm)
    return dict(sorted(found.items(), key=lambda item: canvas.natural(item[0])))


def _refused(arms: Sequence[Arm]) -> list[str]:
    """What has no tokens per second, by name."""
    found: dict[str, list[str]] = {}
    several = len({arm["requested_model"] for arm in arms}) > 1
    for arm in sorted(arms, key=lambda arm: -arm["requested_bits"]):
        if not _measured(arm):
            of = f" {arm['requested_model']}" if several else ""
            engine = value_at(arm, "requested_engine")
            who = f"{words.browser(arm)} {arm['requested_platform']} {engine}{of}"
            name = f"not measured: {who}, {words.shape(arm)}: {arm['outcome']}"
            found.setdefault(name, []).append(str(arm["requested_bits"]))
    return [f"{name} at {', '.join(words.distinct(bits))} bits" for name, bits in sorted(found.items())]


def _headed(axis: Axes, title: str, arms: Sequence[Arm]) -> None:
    """Title a panel, with the sessions in it."""
    total = sum(arm["sessions"] for arm in arms)
    said = [f"{total} session{'' if total == 1 else 's'}"] if total else []
    axis.set_title("\n".join([*canvas.wrap(title, 68), *said]), loc="left", size=9)


def _patch(look: Look, label: str) -> Rectangle:
    return Rectangle((0, 0), 1, 1, facecolor=look.colour, hatch=look.hatch, edgecolor="white", label=label)


def _draw_bars(axis: Axes, title: str, arms: Sequence[Arm], series: Mapping[Any, Look]) -> None:
    _headed(axis, title, arms)
    axis.set_xlabel("weight bits asked for")
    axis.set_ylabel("tokens per second")
    widths = [width for width in BITS if any(arm["requested_bits"] == width for arm in arms)]
    if not widths:
        canvas.nothing(axis)
        return
    canvas.grid(axis)
    axis.set_xticks(range(len(widths)), [str(width) for width in widths])
    axis.set_xlim(-0.5, len(widths) - 0.5)
    present = [key for key in series if any(_key(arm) == key for arm in arms)]
    size = 0.84 / len(present)
    for index, key in enumerate(present):
        for arm in (arm for arm in arms if _key(arm) == key):
            x = widths.index(arm["requested_bits"]) + (index - (len(present) - 1) / 2) * size
            _draw_bar(axis, series[key], arm, (x, size), named=len(present) * len(widths) <= 24)
    axis.margins(y=0.14)


def _draw_bar(axis: Axes, look: Look, arm: Arm, place: tuple[float, float], *, named: bool) -> None:
    fell = arm["outcome"] == Outcome.FALLBACK
    (x, size), rate, (low, high) = place, tokens_per_s(arm), words.tokens_interval(arm)
    text = words.number(rate) if named else ""
    text += f" (→ {arm['effective_bits']})" if fell and arm["effective_bits"] != arm["requested_bits"] else ""
    canvas.bar(axis, look, (x, size * 0.92), rate, (low, high), text, fell=fell, capsize=2.0, font=6.5)


def _draw_depth(
    axis: Axes, title: str, arms: Sequence[Arm], series: Mapping[Any, Look], *, prompt: bool
) -> None:
    _headed(axis, title, arms)
    axis.set_xlabel("tokens of the prompt (log)")
    axis.set_ylabel("tokens per second (log)")
    kept = [arm for arm in arms if not prompt or arm["prefill_tokens_per_s"] is not None]
    if not kept:
        canvas.nothing(axis)
        return
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    canvas.grid(axis, "both")
    values: list[float] = []
    for key, look in series.items():
        own = sorted(
            (arm for arm in kept if _line(arm) == key), key=lambda arm: arm["requested_sequence_length"]
        )
        for arm in own:
            rate, low, high = _rate(arm, prompt=prompt)
            values += [rate, low, high]
            axis.errorbar(
                [arm["requested_sequence_length"]],
                [rate],
                yerr=[[max(0.0, rate - low)], [max(0.0, high - rate)]],
                color=look.colour,
                marker=look.marker,
                markersize=5.5,
                markerfacecolor="white" if arm["outcome"] == Outcome.FALLBACK else look.colour,
                capsize=2.5,
                linewidth=1.1,
            )
        xs = [arm["requested_sequence_length"] for arm in own]
        rates = [_rate(arm, prompt=prompt)[0] for arm in own]
        axis.plot(xs, rates, color=look.colour, linestyle=look.line, linewidth=1.4)
    lengths = sorted({arm["requested_sequence_length"] for arm in kept})
    axis.xaxis.set_major_locator(FixedLocator(lengths))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlim(lengths[0] / 1.3, lengths[-1] * 1.3)
    axis.set_ylim(min(values) / 1.35, max(values) * 1.35)
    canvas.label_log(axis.yaxis, max(values) / min(values) * 1.8)


def _rate(arm: Arm, *, prompt: bool) -> tuple[float, float, float]:
    """Tokens per second with the ends of the 95 % interval: of the prompt, or after it."""
    if not prompt:
        return (tokens_per_s(arm), *words.tokens_interval(arm))
    rate = arm["prefill_tokens_per_s"]
    assert rate is not None, "whoever draws it has looked"
    median, (low, high) = arm["latency_ms_median"] or 0.0, words.interval(arm)
    return rate, rate * median / high, rate * median / low
