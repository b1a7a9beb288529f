"""Many comparisons at once: chance finds among them, and one number for all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values such that with all below 0.05 claimed, a table holds any false claim with at most 5 %.

    Args:
        values: two-sided p of each comparison of the table; None where there was nothing to test, which stays
            and does not count.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        adjusted[place] = largest
    return adjusted


def benjamini_hochberg(values: Sequence[float | None]) -> list[float | None]:
    """p values such that of all below 0.05 claimed in a campaign, about 5 % at most are false.

    Args:
        values: as in `holm`.

    Source: Benjamini and Hochberg (1995), by `scipy.stats.false_discovery_control`.
    """
    from scipy.stats import false_discovery_control  # half a second, and few commands need it

    known = [p for p in values if p is not None]
    found = iter(np.asarray(false_discovery_control(known)).tolist() if known else [])
    return [None if p is None else float(next(found)) for p in values]


@dataclass(frozen=True)
class Aggregate:
    """One ratio for many cells, never without how many of them it speaks for.

    `ratio` is None where no cell has both arms. `missing` counts outcomes of the cells left out.
    """

    ratio: float | None
    cells: int
    asked: int
    missing: Mapping[str, int] = field(default_factory=dict)

    @property
    def coverage(self) -> str:
        """`31/36 cells; missing: 3 timeout, 2 device_lost`."""
        text = f"{self.cells}/{self.asked} cells"
        ordered = sorted(self.missing.items(), key=lambda item: (-item[1], item[0]))
        return text + ("; missing: " + ", ".join(f"{n} {name}" for name, n in ordered) if ordered else "")


def geometric_mean(ratios: Sequence[float | None], missing: Sequence[str] = ()) -> Aggregate:
    """The geometric mean of the ratios that there are.

    Args:
        ratios: one a cell; None where an arm did not complete it.
        missing: why, a word for each None, in any order.

    Raises:
        ValueError: a ratio that is not a positive number, or another number of reasons than of gaps.

    Source: Fleming and Wallace (1986), How not to lie with statistics.
    """
    known = [ratio for ratio in ratios if ratio is not None]
    if not all(math.isfinite(ratio) and ratio > 0 for ratio in known):
        raise ValueError("a ratio is not a positive number")
    if len(missing) != len(ratios) - len(known):
        raise ValueError(f"{len(missing)} reasons for {len(ratios) - len(known)} missing ratios")
    mean = math.exp(math.fsum(map(math.log, known)) / len(known)) if known else None
    return Aggregate(mean, len(known), len(ratios), Counter(missing))
