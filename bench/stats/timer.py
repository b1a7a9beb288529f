"""Samples that are a browser's timer and no latency: they sit on its multiples, whatever the work took."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median_low

# Below this a wait is no timer's tick but a look now and then, as Chromium's GPU process has every 1 to 2 ms:
# it jitters by more than its own length, and so does what it delays.
LEAST_MS = 5.0
# A tick is noticed late, never early, by a few percent of itself. On a busy machine it is more, and a first
# wait lasts what is left of its tick: so much is granted where the GPU says that the work is a small part.
_LATE, _EARLY = 0.06, 0.015
_LATER, _EARLIER = 0.35, 0.1
_SMALL = 1 / 3
# Where the GPU's clock says that the work took less than this share of the wait, half of the samples on the
# multiples are enough; where it says nothing, nearly all must be.
_SHORT, _HALF, _NEARLY_ALL = 0.8, 0.5, 0.9
_FEW = 3


def on_timer(walls: Sequence[float], completion_ms: float | None, gpu_ms: float | None) -> bool:
    """Whether a session's samples are multiples of the time that a plain wait takes in it.

    Args:
        walls: wall times of the measured batches, submit to done, in ms.
        completion_ms: what a plain wait for next to nothing costs in this session; None where unknown.
        gpu_ms: GPU time of one of those batches, where the GPU's clock was read.

    Returns:
        True where the median and most samples lie on a multiple of `completion_ms`, and neither the GPU's
        clock nor the number of samples speaks for chance.
    """
    if not walls or completion_ms is None or completion_ms < LEAST_MS:
        return False
    middle = median_low(walls)  # two ticks have no tick between them
    if gpu_ms is not None and gpu_ms > _SHORT * middle:
        return False  # the work itself takes that long
    small = gpu_ms is not None and gpu_ms < _SMALL * middle
    within = (_EARLIER, _LATER) if small else (_EARLY, _LATE)
    if not _on(middle, completion_ms, within):
        return False
    share = sum(_on(wall, completion_ms, within) for wall in walls) / len(walls)
    if gpu_ms is not None:
        return share >= _HALF
    return len(walls) >= _FEW and share >= _NEARLY_ALL


def _on(wall: float, period: float, within: tuple[float, float]) -> bool:
    """Whether a wait ended at a tick: at most so much before or after it, in periods."""
    early, late = within
    ticks = round(wall / period - (late - early) / 2)
    return ticks >= 1 and -early <= wall / period - ticks <= late
