"""Where a history changes its level: exact segmentation with a price for every step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from bench.stats.blocks import CONFIDENCE

Floats = npt.NDArray[np.float64]

SHORTEST = 4  # points between two steps, and before the first and after the last
LEAST = 0.02  # a step that is smaller is not worth a name
# Price of a step, in long-run variances times ln n. 2 is the Bayesian information criterion's; at 3 a history
# without any step shows one in 2 of 100 at most.
PRICE = 3.0
_PULL = 3.0  # standard deviations beyond which a point is pulled in
_MOST_CARRIED = 0.8
_TO_SD, _MEAN_TO_SD = 1.4826, 1.2533  # absolute deviations of a normal -> its standard deviation


@dataclass(frozen=True)
class Step:
    """The level from `index` on against the level before it.

    `ratio` 1.1 says 10 % more from there on, `low` and `high` bound it with 95 % if the place is right. The
    place was looked for in the same data, which makes a size look surer than it is.
    """

    index: int
    ratio: float
    low: float
    high: float
    before: int
    after: int


@dataclass(frozen=True)
class _Noise:
    """Standard deviation of a point, and how many times its variance a level's price has to count."""

    deviation: float
    inflation: float


def find_steps(values: Sequence[float], shortest: int = SHORTEST, least: float = LEAST) -> list[Step]:
    """Steps in the level of a history, in order; empty where there are fewer than two segments' points.

    Optimal partitioning of the logarithms under squared error, with 3 ln n long-run variances for each step.
    The noise comes from differences of neighbours, so that steps do not count as noise; what a point carries
    over from the one before (a first-order autoregression) makes steps dearer. Points beyond 3 standard
    deviations from the median of their seven neighbours are pulled in to there, so that one bad session is no
    step; `shortest` in a row are.

    Args:
        values: positive, in order of time, like session medians; a thousand take some 10 ms.
        shortest: least number of points on either side of a step.
        least: smaller steps are left out.

    Raises:
        ValueError: a value that is not a positive number, or a segment of less than 2 points.

    Source: Jackson et al. (2005), An algorithm for optimal partitioning of data on an interval, the exact
    recursion that PELT (Killick, Fearnhead and Eckley 2012) prunes; price as in Yao (1988), raised; robust
    autoregression as in Chakar et al. (2017), A robust approach for estimating change-points in the mean of
    an AR(1) process.
    """
    sample = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(sample) & (sample > 0)).all():
        raise ValueError("a value is not a positive number")
    if shortest < 2:
        raise ValueError(f"segments of {shortest} have no spread: use 2 or more")
    if sample.size < 2 * shortest:
        return []
    logs = np.log(sample)
    noise = _noise(logs)
    if noise.deviation == 0:
        return []
    calm = _pulled_in(logs, noise.deviation, shortest)
    price = PRICE * noise.inflation * noise.deviation**2 * math.log(calm.size)
    edges = [0, *_partition(calm, price, shortest), calm.size]
    found = [_step(calm, edges[at : at + 3], noise) for at in range(len(edges) - 2)]
    return [step for step in found if abs(math.log(step.ratio)) >= math.log1p(least)]


def _noise(logs: Floats) -> _Noise:
    near, far = _square(logs[1:] - logs[:-1]), _square(logs[2:] - logs[:-2])
    if near == 0:
        return _Noise(0.0, 1.0)
    carried = min(max(far / near - 1, 0.0), _MOST_CARRIED)
    return _Noise(math.sqrt(near / (2 * (1 - carried))), (1 + carried) / (1 - carried))


def _square(differences: Floats) -> float:
    """Mean square, with what lies far out (a step, a bad session) pulled in: it would count as noise."""
    away = np.abs(differences)
    # With a coarse clock most neighbours are equal and their median difference is zero.
    scale = _TO_SD * float(np.median(away)) or _MEAN_TO_SD * float(away.mean())
    return float((np.minimum(away, _PULL * scale) ** 2).mean())


def _pulled_in(logs: Floats, deviation: float, shortest: int) -> Floats:
    """Lonely points nearer to their neighbours; a segment of `shortest` points is a majority and stays."""
    reach = shortest - 1
    middle = np.median(np.lib.stride_tricks.sliding_window_view(logs, 2 * reach + 1), axis=1)
    middle = np.pad(middle, reach, mode="edge")  # at the ends: of the first and the last whole window
    return np.clip(logs, middle - _PULL * deviation, middle + _PULL * deviation)


def _partition(values: Floats, price: float, shortest: int) -> list[int]:
    """Where segments begin, the first left out: least squared error plus `price` for each."""
    size = values.size
    total = np.concatenate([[0.0], np.cumsum(values - values.mean())])
    square = np.concatenate([[0.0], np.cumsum((values - values.mean()) ** 2)])
    best = np.full(size + 1, np.inf)
    best[0] = -price
    begins = np.zeros(size + 1, dtype=np.int64)
    starts = np.arange(size + 1)
    for end in range(shortest, size + 1):
        start = starts[: end - shortest + 1]
        sums = total[end] - total[start]
        cost = best[start] + price + square[end] - square[start] - sums**2 / (end - start)
        begins[end] = int(np.argmin(cost))
        best[end] = cost[begins[end]]
    edges = []
    at = int(begins[size])
    while at > 0:
        edges.append(at)
        at = int(begins[at])
    return edges[::-1]


def _step(values: Floats, edges: Sequence[int], noise: _Noise) -> Step:
    begin, index, end = edges
    before, after = values[begin:index], values[index:end]
    size = float(after.mean() - before.mean())
    parts = before.var(ddof=1) / before.size, after.var(ddof=1) / after.size
    df = before.size + after.size - 2.0
    if sum(parts) > 0:
        df = sum(parts) ** 2 / (parts[0] ** 2 / (before.size - 1) + parts[1] ** 2 / (after.size - 1))
    half = float(stdtrit(df, (1 + CONFIDENCE) / 2)) * math.sqrt(sum(parts) * noise.inflation)
    return Step(index, math.exp(size), math.exp(size - half), math.exp(size + half), before.size, after.size)
