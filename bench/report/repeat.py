"""Command lines that ask for the same again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from bench.plan.fields import RecordField
from bench.plan.request import ASKED, FIELDS
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
