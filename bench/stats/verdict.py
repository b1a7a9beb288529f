"""What an interval allows to be said, in words, and how many blocks more it would take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from scipy.special import stdtrit

from bench.stats.blocks import CONFIDENCE, ORDERED_BLOCKS, Comparison

MARGIN = 0.02
# Ten blocks find a 5 % effect in at least 8 of 10 campaigns whose sessions differ by 3 %; fewer do not.
FLOOR_BLOCKS, FLOOR_EFFECT = 10, 0.05
MOST_BLOCKS = 10_000


class Verdict(StrEnum):
    """How the other arm's time relates to the base's."""

    FASTER = "faster"
    SLOWER = "slower"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Judgement:
    """A verdict, as words and with its reason.

    `more_blocks` is about how many blocks more would settle an inconclusive one; None where that is not the
    question, or cannot be known yet.
    """

    verdict: Verdict
    words: str
    why: str = ""
    more_blocks: int | None = None


def judge(
    comparison: Comparison, margin: float = MARGIN, p: float | None = None, confidence: float = CONFIDENCE
) -> Judgement:
    """The verdict that a comparison allows.

    `equivalent` where the whole interval lies within the margin, also where it excludes 1: a difference too
    small to matter. That is two one-sided tests at 2.5 % each. `faster` or `slower` where the interval
    excludes 1 and `p` does not object. What is said of less than 5 % needs ten blocks. Else `inconclusive`.

    Args:
        comparison: from `compare_blocks` or `compare_separate`.
        margin: what counts as no difference: ratios from 1 / (1 + margin) to 1 + margin.
        p: adjusted for the other comparisons of its table (`holm`); None where it stands alone.
        confidence: of the comparison's interval.

    Source: two one-sided tests, Schuirmann (1987).
    """
    if comparison.half_width is None:
        return _inconclusive(comparison, margin, comparison.note)
    centre, half = math.log(comparison.ratio), comparison.half_width
    within = abs(centre) + half <= math.log1p(margin)
    effect = margin if within else math.expm1(abs(centre))
    # To a millionth: 5 % exactly is not less than 5 %, however it was rounded.
    if comparison.blocks < FLOOR_BLOCKS and effect < FLOOR_EFFECT - 1e-6 and (within or abs(centre) > half):
        why = f"{comparison.blocks} blocks say nothing of less than {_percent(FLOOR_EFFECT)}"
        return _inconclusive(comparison, margin, why)
    if within:
        return Judgement(Verdict.EQUIVALENT, f"equivalent within {_percent(margin)}")
    if abs(centre) <= half:
        return _inconclusive(comparison, margin, "the interval includes 1")
    if p is not None and p > 1 - confidence:
        return _inconclusive(comparison, margin, "one of many comparisons: by chance some exclude 1")
    verdict = Verdict.FASTER if centre < 0 else Verdict.SLOWER
    return Judgement(verdict, verdict.value)


def _inconclusive(comparison: Comparison, margin: float, why: str) -> Judgement:
    return Judgement(Verdict.INCONCLUSIVE, "inconclusive", why, _more(comparison, margin))


def _more(comparison: Comparison, margin: float) -> int | None:
    """Blocks to the floor, and to the precision that the margin asks for; never to a significance.

    Where the interval is that narrow already, half of it is the aim: that always decides, since either the
    whole interval lies within the margin or it excludes 1.
    """
    floor = max(0, FLOOR_BLOCKS - comparison.blocks)
    if comparison.half_width is None or not comparison.deviation:
        return floor or None
    aim = math.log1p(margin)
    if comparison.half_width <= aim:
        aim /= 2
    more = blocks_needed(comparison.deviation, aim) - comparison.blocks
    more = max(more, floor, 1)
    return more + more % 2


def blocks_needed(deviation: float, half_width: float, confidence: float = CONFIDENCE) -> int:
    """Blocks for an interval of the log-ratio with this half-width; at most 10,000.

    An estimate: the deviation itself is one, from the blocks there are.

    Args:
        deviation: of a block's log-ratio from block to block.
        half_width: aimed at, in the log-ratio.
        confidence: of the interval.

    Raises:
        ValueError: a half-width that is not positive.
    """
    if not half_width > 0:
        raise ValueError(f"a half-width of {half_width} takes more blocks than there are")
    blocks = 2
    while blocks < MOST_BLOCKS:
        df = blocks - (2 if blocks >= ORDERED_BLOCKS else 1)
        wanted = (float(stdtrit(df, (1 + confidence) / 2)) * deviation / half_width) ** 2
        if blocks >= wanted:
            return blocks
        # The quantile falls as blocks grow, so half of the way never overshoots.
        blocks += max(1, int((wanted - blocks) / 2)) if df > 10 else 1
    return MOST_BLOCKS


def precise_enough(comparison: Comparison, target: float) -> bool:
    """Whether a campaign may stop: on precision alone, whatever the verdict would be.

    Stopping once an interval excludes 1 would find a difference between identical arms in about one campaign
    of three; this does not look at where the interval lies. Ask after every second block, so that pairs of
    mirrored blocks stay whole. What it stops on is an estimate too: stopped where that happens to be small,
    the interval covers 93.4 to 95 %.

    Args:
        comparison: of the blocks so far.
        target: half-width, as a part of the ratio: 0.03 for plus or minus 3 %.
    """
    enough = comparison.blocks >= FLOOR_BLOCKS
    return enough and comparison.half_width is not None and comparison.half_width <= math.log1p(target)


def _percent(part: float) -> str:
    return f"{100 * part:g} %"
