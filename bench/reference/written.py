"""What a language model wrote, held against what another run of it wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Two logits count as tied where they differ by less than so many times the error that logits may have, which
# the tolerance gives as a share of their size. The error of the largest of many is a few times the mean one.
_TIES = 6.0


@dataclass(frozen=True)
class Difference:
    """Where two texts part.

    Attributes:
        step: 0 for the first token after the prompt.
        token: what was written.
        expected: what the reference wrote.
        gap: by how much the reference prefers its own, in logits; None where `token` is not among
            its best.
        allowed: the gap up to which the two count as tied.
    """

    step: int
    token: int
    expected: int
    gap: float | None
    allowed: float

    @property
    def tied(self) -> bool:
        """Whether rounding may have chosen."""
        return self.gap is not None and self.gap <= self.allowed


def agreement(tokens: Sequence[int], expected: Sequence[int]) -> int:
    """How many tokens agree before the first that differs."""
    for step, (one, other) in enumerate(zip(tokens, expected, strict=False)):
        if one != other:
            return step
    return min(len(tokens), len(expected))


def difference(
    tokens: Sequence[int], reference: Mapping[str, NDArray[Any]], tolerance: float
) -> Difference | None:
    """The first token that differs from the reference's, or None.

    Args:
        tokens: what was written.
        reference: `tokens`, `best`, `scores`, `rms` as `bench.bundle.calls.written` gives them.
        tolerance: relative L2 distance that logits may have.
    """
    expected = [int(token) for token in reference["tokens"]]
    step = agreement(tokens, expected)
    if step >= min(len(tokens), len(expected)):
        return None
    at = np.flatnonzero(reference["best"][step] == tokens[step])
    scores = reference["scores"][step]
    gap = float(scores[0] - scores[at[0]]) if at.size else None
    allowed = _TIES * tolerance * float(reference["rms"][step])
    return Difference(step, int(tokens[step]), expected[step], gap, allowed)
