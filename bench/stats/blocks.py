"""Two arms compared by blocks: the ratio of their times, with an interval that means what it says.

The session (one browser start) is the unit: its median is one number, and what varies from session to session
is what the interval has to cover. A block runs each arm once; its log-ratio is free of whatever slowed the
whole block. Samples of a session are never pooled with those of another.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

Floats = npt.NDArray[np.float64]

SAME_RATIO = "every block has the same ratio: the clock is too coarse to show what varies"
CONFIDENCE = 0.95
RESAMPLES = 10_000
EXACT_BLOCKS = 12  # up to here all 2^n patterns of signs are tried
ORDERED_BLOCKS = 6  # from here a degree of freedom may be spent on the order within blocks
SEED = 20_261_124
# Relative; log-ratios nearer to each other than this are equal but for rounding.
_SAME = 1e-9


@dataclass(frozen=True)
class Interval:
    """Mean log-ratio and half the width of its interval, each in the shape of the leading axes.

    `error` is the standard error and `df` its degrees of freedom. All but `centre` are NaN where there are
    too few blocks for any interval, and where the blocks do not differ at all.
    """

    centre: Floats
    half_width: Floats
    error: Floats
    df: Floats


@dataclass(frozen=True)
class Comparison:
    """How OTHER's time relates to BASE's: `ratio` 0.8 says that it takes 0.8 of the time.

    Attributes:
        design: "blocks" where each ratio is of two sessions of one block; "separate" where the arms ran in
            campaigns of their own, so that a change of the machine between these looks like a difference.
        blocks: pairs that went in; for "separate" the sessions of the arm that has fewer.
        ratio: geometric mean of the blocks' ratios (primary).
        low, high: its 95 % interval; None where one cannot be given.
        half_width: of the interval of the log-ratio.
        deviation: of a block's log-ratio from block to block, without what the order explains.
        p: two-sided, of the t test behind the interval.
        median_ratio: median of the blocks' ratios, with a bootstrap interval `median_low`, `median_high`.
        p_permutation: of the sign-flip permutation test; exact up to 12 blocks.
        note: why there is no interval, in words.
    """

    design: Literal["blocks", "separate"]
    blocks: int
    ratio: float
    low: float | None = None
    high: float | None = None
    half_width: float | None = None
    deviation: float | None = None
    p: float | None = None
    median_ratio: float | None = None
    median_low: float | None = None
    median_high: float | None = None
    p_permutation: float | None = None
    note: str = ""


def log_ratios(base: npt.ArrayLike, other: npt.ArrayLike) -> Floats:
    """ln(other / base) of session medians, block by block; shapes [..., blocks].

    Raises:
        ValueError: shapes differ, or a median is not a positive number.
    """
    first, second = np.asarray(base, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} sessions of one arm, {second.shape} of the other")
    if not (np.isfinite(first) & np.isfinite(second) & (first > 0) & (second > 0)).all():
        raise ValueError("a session median is not a positive number")
    return np.log(second / first)


def t_interval(
    ratios: Floats, order: npt.ArrayLike | None = None, confidence: float = CONFIDENCE
) -> Interval:
    """Student's interval of the mean log-ratio over the last axis.

    Where the order is known and there are at least 6 blocks, the part of each log-ratio that is linear in
    it is taken out at the price of one degree of freedom. Drift then neither shifts the mean nor widens the
    interval: mirrored blocks carry it with opposite signs, so that it would count as noise otherwise.

    Args:
        ratios: log-ratios [..., blocks].
        order: how much later than BASE the other arm ran in each block, in sessions, negative for earlier;
            the shape of `ratios` or one that broadcasts to it.
        confidence: coverage wanted.

    Calibration: tests/stats/worlds.py has twenty worlds in which it covers, and a few in which it does not.

    Source: Student (1908); with `order`, the intercept of a least-squares line (analysis of covariance, Cox,
    Planning of Experiments (1958), chapter 4).
    """
    blocks = ratios.shape[-1]
    mean = ratios.mean(axis=-1)
    if blocks < 2:
        nothing = np.full(mean.shape, np.nan)
        return Interval(mean, nothing, nothing, nothing)
    error = ratios.std(axis=-1, ddof=1) / math.sqrt(blocks)
    df = np.full(mean.shape, blocks - 1.0)
    if order is not None and blocks >= ORDERED_BLOCKS:
        mean, error, df = _without_order(ratios, np.asarray(order, dtype=np.float64), mean, error, df)
    error = np.where(error > _SAME, error, np.nan)
    return Interval(mean, error * stdtrit(df, (1 + confidence) / 2), error, df)


def _without_order(
    ratios: Floats, order: Floats, mean: Floats, error: Floats, df: Floats
) -> tuple[Floats, Floats, Floats]:
    """Mean, error and df with the order's part taken out, where the order varies at all."""
    blocks = ratios.shape[-1]
    order = np.broadcast_to(order, ratios.shape)
    middle = order.mean(axis=-1, keepdims=True)
    away = order - middle
    spread = (away**2).sum(axis=-1)
    varies = spread > 0
    safe = np.where(varies, spread, 1.0)
    slope = (away * ratios).sum(axis=-1) / safe
    at_zero = mean - slope * middle[..., 0]
    rest = ratios - mean[..., None] - slope[..., None] * away
    variance = (rest**2).sum(axis=-1) / (blocks - 2)
    adjusted = np.sqrt(variance * (1 / blocks + middle[..., 0] ** 2 / safe))
    return (
        np.where(varies, at_zero, mean),
        np.where(varies, adjusted, error),
        np.where(varies, df - 1, df),
    )


def median_interval_of_blocks(
    ratios: Floats, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float]:
    """Percentile bootstrap of the median log-ratio: blocks are drawn again, never samples.

    Args:
        ratios: log-ratios [blocks], at least one.
        confidence: coverage aimed at; with few blocks it covers less than the t interval does.
        resamples: how often all blocks are drawn.
        seed: the same seed draws the same blocks.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    ordered = np.sort(ratios)
    lower, upper = _middles(ratios.size, resamples, seed)
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile((ordered[lower] + ordered[upper]) / 2, [tail, 100 - tail])
    return float(low), float(high)


# A median depends on the ranks drawn alone, and most cells of a table have as many blocks: drawn once.
@functools.lru_cache(maxsize=4)
def _middles(blocks: int, resamples: int, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ranks of the two middle values of each resample; the same rank twice for odd numbers of blocks."""
    drawn = np.sort(np.random.default_rng(seed).integers(0, blocks, (resamples, blocks)), axis=1)
    return drawn[:, (blocks - 1) // 2], drawn[:, blocks // 2]


def sign_flip_p(ratios: Floats, resamples: int = RESAMPLES, seed: int = SEED) -> float:
    """Two-sided p of the mean log-ratio when each block's sign could as well be the other.

    Exact over all 2^n patterns up to 12 blocks, drawn beyond. With fewer than 6 blocks it cannot be below
    0.05.

    Args:
        ratios: log-ratios [blocks], at least one.
        resamples: patterns drawn beyond 12 blocks.
        seed: the same seed draws the same patterns.

    Source: Fisher, The Design of Experiments (1935), section 21; Monte Carlo p with one added, Phipson and
    Smyth (2010).
    """
    signs = _signs(ratios.size, resamples, seed)
    # Patterns that differ from the observed one by rounding alone are as extreme as it is.
    seen = abs(float(ratios.sum())) * (1 - 1e-12)
    extreme = int(np.count_nonzero(np.abs(signs @ ratios) >= seen))
    if ratios.size <= EXACT_BLOCKS:
        return extreme / len(signs)
    return (extreme + 1) / (resamples + 1)


@functools.lru_cache(maxsize=4)
def _signs(blocks: int, resamples: int, seed: int) -> Floats:
    if blocks <= EXACT_BLOCKS:
        return np.asarray(list(itertools.product((1.0, -1.0), repeat=blocks)))
    return np.random.default_rng(seed).choice(np.asarray([1.0, -1.0]), (resamples, blocks))


def compare_blocks(
    base: Sequence[float],
    other: Sequence[float],
    order: Sequence[float] | None = None,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Comparison:
    """Two arms that ran in the same blocks.

    Args:
        base: session medians, one a block, any unit.
        other: those of the other arm, of the same blocks in the same order.
        order: see `t_interval`.
        confidence: of both intervals.
        seed: of bootstrap and permutation.

    Raises:
        ValueError: no blocks, different numbers of them, or a median that is not a positive number.
    """
    ratios = log_ratios(base, other)
    if ratios.size == 0:
        raise ValueError("no block has both arms")
    found = t_interval(ratios, order, confidence)
    median = float(np.median(ratios))
    if ratios.size < 2:
        return Comparison(
            "blocks", 1, math.exp(median), median_ratio=math.exp(median), note="one block has no interval"
        )
    low, high = median_interval_of_blocks(ratios, confidence, seed=seed)
    return replace(
        _comparison("blocks", ratios.size, found),
        median_ratio=math.exp(median),
        median_low=math.exp(low),
        median_high=math.exp(high),
        p_permutation=sign_flip_p(ratios, seed=seed),
    )


def compare_separate(
    base: Sequence[float], other: Sequence[float], confidence: float = CONFIDENCE
) -> Comparison:
    """Two arms that share no block: sessions of one campaign against those of another.

    Pairing them by number would pair what never ran together, so the means of the log medians are compared.

    Args:
        base: session medians of one arm, any unit and order.
        other: those of the other.
        confidence: of the interval.

    Raises:
        ValueError: an arm without sessions, or a median that is not a positive number.

    Source: Welch (1947), with Satterthwaite's degrees of freedom.
    """
    if not base or not other:
        raise ValueError("an arm has no sessions")
    first, second = (log_ratios(np.ones(len(arm)), arm) for arm in (base, other))
    fewer = min(first.size, second.size)
    centre = second.mean() - first.mean()
    median = math.exp(np.median(second) - np.median(first))
    if fewer < 2:
        note = "one session of an arm has no interval"
        return Comparison("separate", fewer, math.exp(centre), median_ratio=median, note=note)
    parts = first.var(ddof=1) / first.size, second.var(ddof=1) / second.size
    error = math.sqrt(sum(parts))
    if error <= _SAME:
        error, df = math.nan, math.nan
    else:
        df = sum(parts) ** 2 / (parts[0] ** 2 / (first.size - 1) + parts[1] ** 2 / (second.size - 1))
    half = error * float(stdtrit(df, (1 + confidence) / 2))
    found = Interval(*(np.asarray(value) for value in (centre, half, error, df)))
    return replace(_comparison("separate", fewer, found), median_ratio=median)


def _comparison(design: Literal["blocks", "separate"], blocks: int, found: Interval) -> Comparison:
    centre, half, error = float(found.centre), float(found.half_width), float(found.error)
    if math.isnan(half):
        return Comparison(design, blocks, math.exp(centre), deviation=0.0, note=SAME_RATIO)
    return Comparison(
        design,
        blocks,
        ratio=math.exp(centre),
        low=math.exp(centre - half),
        high=math.exp(centre + half),
        half_width=half,
        deviation=error * math.sqrt(blocks),
        p=2 * float(stdtr(float(found.df), -abs(centre) / error)),
    )
