"""Axes expanded into arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from bench.plan.request import Request


def expand(axes: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any] | None = None) -> list[Request]:
    """The product of the axes, each arm once, in the order of the axes.

    Args:
        axes: field of `Request` -> its values.
        fixed: fields that every arm shares.

    Raises:
        pydantic.ValidationError: a value that a request does not allow.
    """
    arms: dict[Request, None] = {}
    for values in product(*axes.values()):
        arms[Request(**dict(zip(axes, values, strict=True)), **(fixed or {}))] = None
    return list(arms)
