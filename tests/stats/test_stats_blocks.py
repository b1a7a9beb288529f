"""Ratios and their intervals, held to SciPy's own tests and to what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from bench.stats import blocks
from bench.stats.blocks import (
    compare_blocks,
    compare_separate,
    log_ratios,
    median_interval_of_blocks,
    sign_flip_p,
    t_interval,
)

BASE = [20.0, 21.0, 19.5, 20.4, 22.0, 20.1, 19.9, 20.8]
OTHER = [18.1, 19.5, 17.0, 18.8, 20.4, 17.9, 18.5, 18.2]
MEDIANS = st.lists(st.floats(0.01, 1e5), min_size=2, max_size=14)


def test_the_t_interval_is_scipys():
    ratios = log_ratios(BASE, OTHER)
    wanted = stats.ttest_rel(np.log(OTHER), np.log(BASE))
    shown = compare_blocks(BASE, OTHER)
    low, high = wanted.confidence_interval(0.95)
    assert (shown.low, shown.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert shown.p == pytest.approx(wanted.pvalue)
    assert shown.ratio == pytest.approx(stats.gmean(np.exp(ratios)))
    assert shown.design == "blocks" and shown.blocks == 8


def test_the_order_is_a_line_s_intercept():
    order = np.array([1, -1, 3, -3, -2, 2, 1, -2.0])
    ratios = log_ratios(BASE, OTHER) + 0.01 * order
    line = stats.linregress(order, ratios)
    found = t_interval(ratios, order)
    assert float(found.centre) == pytest.approx(line.intercept)
    assert float(found.error) == pytest.approx(line.intercept_stderr)
    assert float(found.df) == 6


def test_the_order_is_left_alone_where_it_cannot_be_told():
    ratios = log_ratios(BASE, OTHER)
    plain = t_interval(ratios)
    always_later = t_interval(ratios, np.ones(8))
    assert always_later.half_width == plain.half_width and always_later.df == 7
    few = t_interval(ratios[:5], np.array([1, -1, 1, -1, 1]))
    assert few.df == 4


def test_drift_is_taken_out_whole():
    order = np.array([1, -1, -1, 1, 1, -1, 1, -1, -1, 1.0])
    noise = np.random.default_rng(1).normal(0, 0.01, 10)
    calm, steep = t_interval(noise, order), t_interval(noise + 0.2 * order, order)
    assert steep.centre == pytest.approx(calm.centre) and steep.error == pytest.approx(calm.error)


def test_many_trials_at_once_are_each_alone():
    rng = np.random.default_rng(2)
    ratios, order = rng.normal(size=(4, 3, 9)), rng.integers(-3, 4, (4, 3, 9))
    order[1, 1] = 2
    whole = t_interval(ratios, order)
    assert whole.centre.shape == (4, 3)
    for place in np.ndindex(4, 3):
        one = t_interval(ratios[place], order[place])
        assert whole.centre[place] == pytest.approx(float(one.centre))
        assert whole.half_width[place] == pytest.approx(float(one.half_width))


def test_the_bootstrap_is_scipys():
    ratios = log_ratios(BASE, OTHER)
    low, high = median_interval_of_blocks(ratios)
    wanted = stats.bootstrap((ratios,), np.median, method="percentile", rng=np.random.default_rng(1))
    assert (low, high) == pytest.approx(tuple(wanted.confidence_interval), abs=0.004)
    assert median_interval_of_blocks(ratios) == (low, high), "the same seed draws the same blocks"
    few = [median_interval_of_blocks(ratios, resamples=20, seed=seed) for seed in range(9)]
    assert len(set(few)) > 1, "another draws others"


@given(hnp.arrays(np.int64, st.integers(2, 9), elements=st.integers(-100, 100)))
def test_the_exact_permutation_is_scipys(hundredths):
    ratios = hundredths / 128  # sums of these are exact, so that no pattern is extreme by rounding alone
    wanted = stats.permutation_test(
        (ratios,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert sign_flip_p(ratios) == pytest.approx(wanted.pvalue)


def test_the_drawn_permutation_is_near_the_exact(monkeypatch):
    ratios = np.random.default_rng(4).normal(0.5, 1.0, 12)
    exact = sign_flip_p(ratios)
    monkeypatch.setattr(blocks, "EXACT_BLOCKS", 4)
    blocks._signs.cache_clear()
    drawn = sign_flip_p(ratios)
    blocks._signs.cache_clear()
    assert exact != drawn == pytest.approx(exact, abs=4 * math.sqrt(exact / 10_000))


def test_a_permutation_of_few_blocks_is_never_small():
    assert sign_flip_p(np.full(5, 0.3)) == 2 / 32
    assert sign_flip_p(np.linspace(0.3, 0.4, 30)) == pytest.approx(1 / 10_001)


@given(MEDIANS, st.floats(0.1, 10), st.data())
def test_units_cancel_and_sides_mirror(base, unit, data):
    other = data.draw(st.lists(st.floats(0.01, 1e5), min_size=len(base), max_size=len(base)))
    shown = compare_blocks(base, other)
    scaled = compare_blocks([unit * x for x in base], [unit * x for x in other])
    swapped = compare_blocks(other, base)
    assert scaled.ratio == pytest.approx(shown.ratio) == pytest.approx(1 / swapped.ratio)
    if shown.low is not None and shown.deviation > 1e-6:
        assert shown.low <= shown.ratio <= shown.high
        assert (swapped.low, swapped.high) == pytest.approx((1 / shown.high, 1 / shown.low), rel=1e-6)
        assert swapped.p == pytest.approx(shown.p, abs=1e-9)
        assert swapped.p_permutation == pytest.approx(shown.p_permutation)


def test_one_block_has_no_interval():
    shown = compare_blocks([20.0], [10.0])
    assert shown.ratio == 0.5 and shown.low is shown.high is shown.p is shown.half_width is None
    assert "one block" in shown.note
    assert "one session" in compare_separate([20.0], [10.0, 11.0]).note


def test_blocks_that_do_not_differ_have_no_interval():
    """Readings that stick to one tick of the clock would claim to be certain."""
    for shown in (compare_blocks([20.0] * 6, [20.0] * 6), compare_separate([20.0] * 3, [22.0] * 4)):
        assert shown.low is None and shown.p is None and "clock" in shown.note


def test_separate_arms_are_welchs():
    shown = compare_separate(BASE, OTHER[:5])
    wanted = stats.ttest_ind(np.log(OTHER[:5]), np.log(BASE), equal_var=False)
    low, high = wanted.confidence_interval(0.95)
    assert (shown.low, shown.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert shown.p == pytest.approx(wanted.pvalue)
    assert shown.design == "separate" and shown.blocks == 5 and shown.p_permutation is None


def test_separate_arms_cover_the_truth():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(2000):
        shown = compare_separate(
            np.exp(rng.normal(0, 0.02, 10)).tolist(), np.exp(rng.normal(0.1, 0.04, 6)).tolist()
        )
        hits += shown.low <= math.exp(0.1) <= shown.high
    assert 0.935 <= hits / 2000 <= 0.965


@pytest.mark.parametrize(
    ("base", "other"),
    [
        ([], []),
        ([1.0], [1.0, 2.0]),
        ([1.0], [0.0]),
        ([1.0], [-1.0]),
        ([1.0], [math.nan]),
        ([math.inf], [1.0]),
    ],
)
def test_what_is_no_time_is_refused(base, other):
    with pytest.raises(ValueError, match=r"no block|sessions of one arm|positive number"):
        compare_blocks(base, other)
    if base and len(base) == len(other):
        with pytest.raises(ValueError, match="positive number"):
            compare_separate(base, other)


def test_an_arm_without_sessions_is_refused():
    with pytest.raises(ValueError, match="no sessions"):
        compare_separate([], [1.0])
