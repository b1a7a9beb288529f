"""Verdicts, and the blocks it would take."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats.blocks import Comparison, compare_blocks
from bench.stats.verdict import (
    FLOOR_BLOCKS,
    MOST_BLOCKS,
    Verdict,
    blocks_needed,
    judge,
    precise_enough,
)


def compared(ratio, half, blocks=10, **changes):
    centre = math.log(ratio)
    fields = {
        "low": math.exp(centre - half),
        "high": math.exp(centre + half),
        "half_width": half,
        "deviation": half * math.sqrt(blocks) / 2.3,
        "p": 0.01,
        **changes,
    }
    return Comparison("blocks", blocks, ratio, **fields)


@pytest.mark.parametrize(
    ("ratio", "half", "blocks", "says"),
    [
        (0.90, 0.03, 10, "faster"),
        (1.10, 0.03, 10, "slower"),
        (1.00, 0.015, 10, "equivalent within 2 %"),
        (1.01, 0.005, 10, "equivalent within 2 %"),  # there, but too small to matter
        (1.015, 0.01, 10, "slower"),
        (1.01, 0.03, 10, "inconclusive"),
        (1.03, 0.01, 9, "inconclusive"),  # less than 5 % needs ten blocks
        (1.03, 0.01, 10, "slower"),
        (1.05, 0.01, 4, "slower"),
        (0.50, 0.10, 3, "faster"),
        (1.00, 0.01, 4, "inconclusive"),
    ],
)
def test_the_words(ratio, half, blocks, says):
    found = judge(compared(ratio, half, blocks))
    assert found.words == says
    assert (found.verdict is Verdict.INCONCLUSIVE) == (found.more_blocks is not None) == bool(found.why)


def test_the_margin_and_the_table_s_p():
    assert judge(compared(1.06, 0.03), margin=0.1).words == "equivalent within 10 %"
    assert judge(compared(1.01, 0.005), margin=0.005).words == "slower"
    assert judge(compared(1.10, 0.03), p=0.04).verdict is Verdict.SLOWER
    many = judge(compared(1.10, 0.03), p=0.2)
    assert many.verdict is Verdict.INCONCLUSIVE and "many comparisons" in many.why


def test_one_block_and_a_stuck_clock_are_inconclusive():
    one = judge(compare_blocks([20.0], [10.0]))
    assert one.verdict is Verdict.INCONCLUSIVE and one.more_blocks == 9 and "one block" in one.why
    stuck = judge(compare_blocks([20.0] * 12, [10.0] * 12))
    assert stuck.verdict is Verdict.INCONCLUSIVE and stuck.more_blocks is None and "clock" in stuck.why


@given(st.floats(0.5, 2), st.floats(1e-4, 0.5), st.integers(2, 60), st.floats(0.001, 0.2))
def test_a_verdict_never_contradicts_its_interval(ratio, half, blocks, margin):
    shown = compared(ratio, half, blocks)
    found = judge(shown, margin)
    if found.verdict is Verdict.FASTER:
        assert shown.high < 1
    elif found.verdict is Verdict.SLOWER:
        assert shown.low > 1
    elif found.verdict is Verdict.EQUIVALENT:
        assert shown.low >= 1 / (1 + margin) - 1e-9 and shown.high <= 1 + margin + 1e-9
    else:
        assert found.more_blocks >= 1
    turned = judge(compared(1 / ratio, half, blocks), margin)
    mirror = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    assert turned.verdict is mirror.get(found.verdict, found.verdict)


@given(st.floats(0.001, 0.5), st.floats(0.003, 0.2))
def test_the_blocks_needed_are_enough_and_hardly_more(deviation, aim):
    from scipy import stats

    def half(blocks):
        df = blocks - (2 if blocks >= 6 else 1)
        return stats.t.ppf(0.975, df) * deviation / math.sqrt(blocks)

    blocks = blocks_needed(deviation, aim)
    assert blocks == MOST_BLOCKS or half(blocks) <= aim
    if 7 < blocks < MOST_BLOCKS:
        assert half(blocks - 1) > aim


def test_the_blocks_asked_for_bring_the_precision():
    """What `judge` asks of an inconclusive campaign suffices in most repetitions of it."""
    rng = np.random.default_rng(3)
    first = compare_blocks(*np.exp(0.03 * rng.standard_normal((2, 10))))
    asked = judge(first)
    assert asked.verdict is Verdict.INCONCLUSIVE
    blocks = 10 + asked.more_blocks
    widths = [compare_blocks(*np.exp(0.03 * rng.standard_normal((2, blocks)))).half_width for _ in range(60)]
    assert blocks % 2 == 0 and np.median(widths) <= 0.025


def test_stopping_looks_at_precision_alone():
    for ratio in (0.5, 0.99, 1.0, 1.2):
        assert precise_enough(compared(ratio, 0.02, 10), 0.03)
        assert not precise_enough(compared(ratio, 0.05, 10), 0.03)
        assert not precise_enough(compared(ratio, 0.02, FLOOR_BLOCKS - 1), 0.03)
    assert not precise_enough(compare_blocks([1.0] * 12, [1.0] * 12), 0.03)


def test_no_width_takes_no_number_of_blocks():
    with pytest.raises(ValueError, match="half-width"):
        blocks_needed(0.04, 0.0)
