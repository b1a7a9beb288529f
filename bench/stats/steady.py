"""Is a session's run of samples steady, and which of its samples stand apart? Nothing is ever removed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FEWEST = 8  # two halves of four: a quartile of fewer says nothing
OUTLYING = 10.0  # standard deviations; hyperfine's 14.826 MAD are as many of a normal

# pyperf's limits on how far the first half may lie from the second, as parts of the second.
_MEAN = (-0.50, 0.10)
_QUARTILE = 0.05
_SPREAD = 0.10
_FEWEST_SPREAD = 10  # in each half: the spread of fewer is too uncertain to compare
_WIDER = 3.0  # standard errors by which noise alone may pass them
# Standard errors of a normal sample's statistics as multiples of sd / sqrt(n), the MAD's relative to itself.
_OF_QUARTILE, _OF_MAD = 1.3626, 1.1664
# Of a normal: from median and from mean absolute deviation to the standard deviation.
_TO_SD, _MEAN_TO_SD = 1.4826, 1.2533


@dataclass(frozen=True)
class Steadiness:
    """Whether a session had settled when it was measured, and in a few words why not."""

    steady: bool
    why: str = ""


def steadiness(values: Sequence[float]) -> Steadiness:
    """Whether samples in the order they were taken show no warm-up, drift or change of spread.

    Four tests, the first that fails names itself: the first value is no outlier above (beyond the third
    quartile by 1.5 interquartile ranges, and above every other value); the mean of the first half lies -50 to
    +10 % from the second's; both quartiles agree within 5 %; the spread (MAD) within 10 %. Where the samples
    are noisier than that, each limit is three standard errors instead: with pyperf's own, ten samples a half
    of a steady session would fail the last test more often than not. A session that is not steady is flagged
    and kept.

    Args:
        values: positive, any unit, in order; warm-up left out.

    Source: pyperf, `_worker.py`, `test_calibrate_warmups`; standard errors of quartiles and of the MAD from
    their asymptotic normal distributions (e.g. Serfling 1980, sections 2.3.3 and 2.4).
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size < FEWEST:
        return Steadiness(False, f"only {sample.size} samples: {FEWEST} are the fewest that can tell")
    first, second = np.array_split(sample, 2)
    rest = sample[1:]
    low, high = np.percentile(rest, [25, 75])
    if sample[0] > high + 1.5 * (high - low) and sample[0] > rest.max():
        return Steadiness(
            False, f"the first sample is {_times(sample[0], float(np.median(rest)))} the others"
        )
    noise = max(_spread(first), _spread(second)) / float(np.median(second)) * math.sqrt(2 / second.size)
    return (
        _mean_moved(first, second)
        or _quartiles_moved(first, second, max(_QUARTILE, _WIDER * _OF_QUARTILE * noise))
        or _spread_moved(first, second)
        or Steadiness(True)
    )


def outlying(values: Sequence[float] | Floats, limit: float = OUTLYING) -> npt.NDArray[np.bool_]:
    """Which values stand apart by more than `limit` robust standard deviations; flagged, never removed.

    Returns:
        flags in the shape [n] of the values.

    Source: modified z-score, Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), with their mean
    absolute deviation where more than half of the values are equal.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return np.zeros(0, dtype=np.bool_)
    away = np.abs(sample - np.median(sample))
    scale = _TO_SD * float(np.median(away)) or _MEAN_TO_SD * float(away.mean())
    return away > limit * scale


def _mean_moved(first: Floats, second: Floats) -> Steadiness | None:
    apart = float(first.mean() / second.mean() - 1)
    error = math.sqrt(first.var(ddof=1) / first.size + second.var(ddof=1) / second.size) / second.mean()
    if _MEAN[0] <= apart <= max(_MEAN[1], _WIDER * error):
        return None
    return Steadiness(False, f"the mean of the first half is {_percent(apart)} of the second's")


def _quartiles_moved(first: Floats, second: Floats, limit: float) -> Steadiness | None:
    for name, place in (("first", 25), ("third", 75)):
        apart = float(np.percentile(first, place) / np.percentile(second, place) - 1)
        if abs(apart) > limit:
            return Steadiness(False, f"the {name} quartile moved: in the first half {_percent(apart)}")
    return None


def _spread_moved(first: Floats, second: Floats) -> Steadiness | None:
    before, after = _spread(first), _spread(second)
    # A coarse clock gives halves of equal samples: no spread, and nothing to compare.
    if min(before, after) == 0 or second.size < _FEWEST_SPREAD:
        return None
    limit = max(math.log1p(_SPREAD), _WIDER * _OF_MAD * math.sqrt(2 / second.size))
    if abs(math.log(before / after)) <= limit:
        return None
    return Steadiness(False, f"the spread of the first half is {_times(before, after)} the second's")


def _spread(values: Floats) -> float:
    """Standard deviation by the median absolute deviation."""
    return _TO_SD * float(np.median(np.abs(values - np.median(values))))


def _percent(part: float) -> str:
    return f"{100 * part:+.1f} %"


def _times(value: float, other: float) -> str:
    return f"{value / other:.2g} times"
