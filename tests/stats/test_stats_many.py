"""Many comparisons, and their mean with coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats.many import benjamini_hochberg, geometric_mean, holm

P = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, None, 0.9]) == [0.02, None, 0.9]
    assert holm([]) == [] and holm([None]) == [None] and holm([0.8, 0.9]) == [1.0, 1.0]


def test_benjamini_hochberg_by_hand():
    assert benjamini_hochberg([0.01, 0.04, 0.03, None]) == pytest.approx([0.03, 0.04, 0.04, None])
    assert benjamini_hochberg([None]) == [None] and benjamini_hochberg([]) == []


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@given(values=P)
def test_adjusting_only_raises_and_keeps_the_order(adjust, values):
    found = adjust(values)
    assert [p is None for p in found] == [p is None for p in values]
    pairs = sorted((p, q) for p, q in zip(values, found, strict=True) if p is not None)
    assert all(p <= q + 1e-12 and q <= 1 for p, q in pairs)
    assert all(one[1] <= two[1] + 1e-12 for one, two in itertools.pairwise(pairs) if one[0] < two[0])


def test_a_table_of_identical_arms_rarely_has_a_claim():
    rng = np.random.default_rng(3)
    tables = [min(holm(rng.random(20).tolist())) < 0.05 for _ in range(2000)]
    assert np.mean(tables) <= 0.06


def test_the_geometric_mean_speaks_for_those_that_ran():
    found = geometric_mean([0.5, 2.0, None, 0.5, None, None], ["timeout", "device_lost", "timeout"])
    assert found.ratio == pytest.approx(0.5 ** (1 / 3))
    assert found.coverage == "3/6 cells; missing: 2 timeout, 1 device_lost"
    assert geometric_mean([None], ["crashed"]).ratio is None
    assert geometric_mean([1.5]).coverage == "1/1 cells"
    assert geometric_mean([]).coverage == "0/0 cells"


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=40))
def test_the_geometric_mean_turns_with_the_sides(ratios):
    turned = geometric_mean([1 / ratio for ratio in ratios]).ratio
    assert geometric_mean(ratios).ratio == pytest.approx(1 / turned)


@pytest.mark.parametrize("ratios", [[0.0], [-1.0], [math.nan], [math.inf]])
def test_what_is_no_ratio_is_refused(ratios):
    with pytest.raises(ValueError, match="positive number"):
        geometric_mean(ratios)


def test_every_gap_has_a_reason():
    with pytest.raises(ValueError, match="1 reasons for 2"):
        geometric_mean([None, None], ["timeout"])
