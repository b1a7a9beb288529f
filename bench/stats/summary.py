"""Samples of one session, summarized."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.record import Latency


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Distribution-free interval of the median from order statistics.

    Args:
        values: samples, any order.
        confidence: least coverage wanted.

    Returns:
        (low, high), or None where so few samples cannot cover that much (fewer than 6 for 95 %).

    Source: exact binomial interval, e.g. Conover, Practical Nonparametric Statistics, section 3.2.
    """
    ordered = sorted(values)
    n = len(ordered)
    tail = (1 - confidence) / 2
    below, rank = 0.0, 0
    while rank < n // 2:
        below += math.comb(n, rank) / 2**n if n <= 1000 else _binomial(n, rank)
        if below > tail:
            break
        rank += 1
    if rank == 0:
        return None
    return ordered[rank - 1], ordered[n - rank]


def _binomial(n: int, k: int) -> float:
    # comb(n, k) no longer fits a float beyond a thousand samples
    return math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))


def summarize(values: Sequence[float]) -> Latency:
    """Summary of the measured samples, in their own unit (ms).

    Raises:
        ValueError: no samples.
    """
    if not values:
        raise ValueError("no samples to summarize")
    array = np.asarray(values, dtype=np.float64)
    p50, p90, p99 = (float(x) for x in np.percentile(array, [50, 90, 99]))
    interval = median_interval(values)
    return Latency(
        median=float(np.median(array)),
        mean=float(array.mean()),
        p50=p50,
        p90=p90,
        p99=p99,
        std=float(array.std(ddof=1)) if len(values) > 1 else None,
        ci95_low=interval[0] if interval else None,
        ci95_high=interval[1] if interval else None,
        n=len(values),
    )
