"""Axes expanded into arms, and arms into an order that a seed repeats."""

from __future__ import annotations

import random
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


def in_order(arms: Sequence[Request], seed: int) -> list[Request]:
    """The arms shuffled by a seed, so that drift of the machine does not side with one arm.

    The same arms and seed give the same order on every machine and Python version.
    """
    ordered = list(arms)
    random.Random(seed).shuffle(ordered)  # noqa: S311 - an order, not a secret
    return ordered
