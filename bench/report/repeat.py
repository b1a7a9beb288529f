"""Command lines that ask for the same again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from bench.report import words

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
