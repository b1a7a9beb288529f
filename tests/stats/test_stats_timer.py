"""Samples on a timer are found; samples of work are not, whatever they come to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats.timer import LEAST_MS, on_timer

SEEDS = st.integers(0, 2**32 - 1)


@given(
    seed=SEEDS,
    period=st.floats(10, 250),
    work=st.floats(0.01, 300),
    n=st.integers(1, 200),
)
def test_a_plain_wait_on_a_timer_is_found(seed, period, work, n):
    """Whatever the work takes, each wait ends at the next tick, a little late."""
    rng = np.random.default_rng(seed)
    took = work * np.exp(0.02 * rng.standard_normal(n))
    walls = np.ceil(took / period) * period + rng.uniform(0, 0.03 * period, n)
    if work <= 0.7 * min(walls):
        assert on_timer(list(walls), period, work)


def test_a_busy_machine_notices_its_ticks_late():
    """Seen in Firefox beside two test suites: a first wait of what was left of the tick, then late ones."""
    assert on_timer([95.2, 130.8, 121.1], 100.1, 4.0)
    assert not on_timer([95.2, 130.8, 121.1], 100.1, 110.0)
    assert not on_timer([45.2, 61.8, 55.1], 100.1, 4.0)


@given(seed=SEEDS, period=st.floats(10, 250), work=st.floats(0.01, 80), n=st.integers(3, 200))
def test_it_is_found_without_a_clock_of_the_gpu(seed, period, work, n):
    rng = np.random.default_rng(seed)
    took = work * np.exp(0.02 * rng.standard_normal(n))
    assert on_timer(list(np.ceil(took / period) * period + rng.uniform(0, 0.02 * period, n)), period, None)


@given(seed=SEEDS, period=st.floats(5, 250), work=st.floats(0.01, 2000), n=st.integers(1, 200))
def test_work_is_no_timer(seed, period, work, n):
    """An eager wait: the work, and a millisecond until it is known."""
    rng = np.random.default_rng(seed)
    walls = work * np.exp(0.05 * rng.standard_normal(n)) + rng.uniform(0, min(1, 0.1 * work), n)
    assert not on_timer(list(walls), period, work)


def test_false_alarms_without_a_clock_of_the_gpu_are_rare():
    """Work of any length on a browser whose timer is 100 ms, with the noise of a busy processor."""
    rng = np.random.default_rng(5)
    alarms = sum(
        on_timer(list(work * np.exp(0.05 * rng.standard_normal(8))), 100.0, None)
        for work in rng.uniform(1, 2000, 4000)
    )
    assert alarms <= 20  # in 4,000


@pytest.mark.parametrize("completion", [None, 0.2, 1.8, LEAST_MS - 0.01])
def test_a_browser_without_a_slow_timer_has_none(completion):
    assert not on_timer([100.0] * 10, completion, 0.1)


def test_published_rows():
    """A Whisper row on an H100 waited on the timer; its neighbours, and slower ones on lavapipe, did not."""
    assert on_timer([100.13, 100.2, 100.08], 100.0, 17.5)
    assert on_timer([100.13, 100.2, 100.08], 100.0, 36.8)
    assert not on_timer([17.5, 17.6, 17.4], 100.0, 15.6)
    assert not on_timer([629.3, 594.5, 690.8, 644.5], 100.0, 606.8)
