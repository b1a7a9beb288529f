"""Command lines that ask for the same again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bench.models import operators
from bench.plan.fields import RecordField
from bench.plan.request import ASKED, BITS, FIELDS, STOCK, Request
from bench.report import words
from bench.report.row import Row, value_at

# What a command line multiplies out, and what all of its arms share.
_AXES = tuple(field for field in FIELDS if field.flag.several)
_SHARED = tuple(field for field in FIELDS if not field.flag.several)


def repeat_commands(cells: Sequence[Row]) -> list[str]:
    """`bench run` lines that ask for exactly the arms of these cells."""
    arms = {tuple(value_at(cell, name) for name in ASKED): cell for cell in cells}
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for cell in arms.values():
        groups.setdefault(tuple(value_at(cell, field.column) for field in _SHARED), []).append(cell)
    lines = []
    for members in groups.values():
        axes = {field.name: _values(field, members) for field in _AXES}
        size = 1
        for values in axes.values():
            size *= len(values)
        # Flags multiply out; where that would ask for more than was asked, one line an arm.
        parts = [members] if size == len(members) else [[cell] for cell in members]
        lines += [_command(part) for part in parts]
    return lines


def _values(field: RecordField, cells: Sequence[Row]) -> list[Any]:
    return list(dict.fromkeys(value_at(cell, field.column) for cell in cells))


def _command(cells: Sequence[Row]) -> str:
    """One line for cells whose values multiply out; the defaults need no flag."""
    parts = ["bench", "run"]
    for field in (*_AXES, *_SHARED):
        values = _values(field, cells)
        if not field.needed and values == [field.default]:
            continue
        for value in filter(lambda one: one is not None, values):
            parts += [field.option] if field.kind is bool else [field.option, str(value)]
    return shlex.join(words.visible(part) for part in parts)


def operators_command(
    name: str, asked: Sequence[Request], kernels: Mapping[str, Any], blocks: int
) -> list[str]:
    """The words of a `bench kernels` line that asks for a campaign of operators again.

    Args:
        name: the campaign's.
        asked: what its cells ask for, in order.
        kernels: its settings: `rounds`, `spread`, and `variants` by their labels.
        blocks: starts of the browser.
    """
    parts = ["bench", "kernels"]
    for shape in dict.fromkeys(operators.of(one.model) for one in asked):
        parts += [f"--{shape.kind}", ",".join(map(str, shape.sizes))]
    packed = [one for one in asked if operators.of(one.model).packed]
    bits = list(dict.fromkeys(one.bits for one in packed))
    if sorted(bits) != sorted(BITS):
        parts += [word for one in bits for word in ("--bits", str(one))]
    for option, value, default in (
        ("--group-size", packed[0].group_size if packed else 32, 32),
        ("--scheme", packed[0].scheme if packed else "symmetric", "symmetric"),
        ("--browser", asked[0].browser, "chrome"),
        ("--device", asked[0].device, "auto"),
        ("--gpu-features", asked[0].gpu_features, STOCK),
    ):
        parts += [] if value == default else [option, str(value)]
    parts += _variant_options(kernels["variants"])
    parts += ["--rounds", str(kernels["rounds"])]
    parts += [] if kernels["spread"] is None else ["--spread", f"{kernels['spread']:g}"]
    parts += [] if blocks == 1 else ["--blocks", str(blocks)]
    return [words.visible(part) for part in (*parts, "--name", name)]


def _variant_options(labels: Sequence[str]) -> list[str]:
    """Engines, accuracy levels and constants of variants, by their labels: `native {"ROWS": 4}`."""
    told = [label.partition(" ")[::2] for label in labels]
    engines = list(dict.fromkeys(engine for engine, _ in told))
    levels = [more.removeprefix("level ") or "0" for engine, more in told if engine != "native"]
    tunings = [more or "{}" for engine, more in told if engine == "native"]
    parts: list[str] = []
    if engines != ["native", "ort-web"]:
        parts += [word for one in engines for word in ("--engine", one)]
    if levels not in ([], ["0"]):
        parts += [word for one in levels for word in ("--accuracy-level", one)]
    if tunings not in ([], ["{}"]):
        parts += [word for one in tunings for word in ("--tuning", one)]
    return parts
