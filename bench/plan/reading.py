"""A campaign file from its text; what is wrong with it in one line that names the place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.errors import InputError
from bench.plan.campaign import MAX_CELLS, CampaignFile, DuplicateArm, arms_of
from bench.plan.request import Request

Place = Sequence[str | int]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([\w.\"' -]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*[\"']?([\w-]+)[\"']?\s*=")
_SHOWN = 80


def read_campaign(text: str, where: str) -> tuple[CampaignFile, list[Request]]:
    """The file and its arms.

    Args:
        text: TOML.
        where: the file's name, for messages.

    Raises:
        InputError: it is not TOML, has an unknown key, an empty axis, a value of a wrong kind, a cell that is
            named twice, no cells, or too many of them; one line with the place in the file.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"campaign file {where} is not valid TOML: {error}") from None
    try:
        file = CampaignFile.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise _refused(text, where, first["loc"], _words(first) + more) from None
    try:
        _check_size(file, text, where)
        arms = arms_of(file)
    except DuplicateArm as error:
        raise _refused(text, where, error.place, str(error)) from None
    if not arms:
        raise _refused(text, where, ("exclude",), "every cell is excluded: nothing to run")
    return file, arms


def _check_size(file: CampaignFile, text: str, where: str) -> None:
    """Count before anything is expanded: a typing error must not fill the memory."""
    total = 0
    for axes in [file.matrix.given(), *({**file.matrix.given(), **rule.given()} for rule in file.include)]:
        cells = file.blocks
        for values in axes.values():
            cells *= len(values)
        total += cells
    if total > MAX_CELLS:
        raise _refused(text, where, ("matrix",), f"{total:,} cells; allowed: at most {MAX_CELLS:,}")


def _refused(text: str, where: str, place: Place, words: str) -> InputError:
    line = line_of(text, place)
    at = f", line {line}" if line else ""
    named = _name(place)
    return InputError(f"campaign file {where}{at}{f', {named}' if named else ''}: {words}")


def _name(place: Place) -> str:
    """`include[1].bits[0]`, as a reader would write it."""
    shown = ""
    for part in place:
        shown += f"[{part}]" if isinstance(part, int) else f"{'.' if shown else ''}{part}"
    return shown


def _words(problem: Any) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; allowed: {', '.join(_allowed(problem['loc']))}"
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(context.get("error", problem["msg"]))
    if kind == "too_short":
        return "is empty: give at least one value, or leave the key out"
    value = repr(problem["input"])
    value = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    if kind == "literal_error":
        return f"{value} is not allowed; allowed: {context['expected']}"
    words = problem["msg"].removeprefix("Input should ")
    return f"{value} is not allowed; it should {words}"


def _allowed(place: Place) -> list[str]:
    """The keys that a table may have."""
    model: Any = CampaignFile
    for part in place[:-1]:
        if isinstance(part, str):
            model = _table(model.model_fields[part].annotation)
    return list(model.model_fields)


def _table(annotation: Any) -> type[BaseModel]:
    """The model inside `Stopping | None` or `list[Rule]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [one for one in getattr(annotation, "__args__", ()) if one is not type(None)]
    return _table(inner[0])


def line_of(text: str, place: Place) -> int | None:
    """The line, from 1, of a key or of the table that it is missing from; None where it is not found.

    Reads headers and keys as people write them; what is inside inline tables or behind dotted keys is given
    the nearest line above.
    """
    tables = [part for part in place if isinstance(part, str)]
    index = next((part for part in place[1:2] if isinstance(part, int)), 0)
    table: str | None = None
    seen = -1
    header = None
    for number, line in enumerate(text.splitlines(), 1):
        if match := _HEADER.match(line):
            table = match[2].strip("\"' ")
            if tables and table == tables[0]:
                seen = seen + 1 if match[1] == "[[" else 0
                if seen == index:
                    header = number
            continue
        match = _KEY.match(line)
        if not match or not tables:
            continue
        top = table is None and match[1] == tables[0]
        inside = table == tables[0] and seen == index and len(tables) > 1 and match[1] == tables[1]
        if top or inside:
            return number
    return header
