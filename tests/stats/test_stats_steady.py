"""The steady-state test: rarely wrong about a steady session, rarely blind to one that is not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bench.stats.steady import FEWEST, outlying, steadiness
from bench.stats.summary import median_interval

SESSIONS = 400


def share_steady(make, size, seed=3):
    rng = np.random.default_rng(seed)
    return sum(steadiness(make(rng, size)).steady for _ in range(SESSIONS)) / SESSIONS


def calm(rng, size):
    return 20 * np.exp(0.02 * rng.standard_normal(size))


@pytest.mark.parametrize("size", [10, 20, 50, 200])
@pytest.mark.parametrize("noise", [0.001, 0.02, 0.1, 0.3])
def test_a_steady_session_is_steady(size, noise):
    """Ten noisy samples are the hardest: one session in ten is called unsteady by chance."""
    least = 0.9 if size == 10 and noise >= 0.1 else 0.95
    assert share_steady(lambda rng, n: np.exp(noise * rng.standard_normal(n)), size) >= least


def test_outliers_and_a_coarse_clock_are_steady():
    assert share_steady(lambda rng, n: calm(rng, n) * np.where(rng.random(n) < 0.04, 1.5, 1), 40) >= 0.93
    assert share_steady(lambda rng, n: np.round(calm(rng, n)), 40) >= 0.94
    assert steadiness([5.0] * 20).steady


@pytest.mark.parametrize(
    "shape",
    [
        lambda place: 0.25 * (1 - place),  # a ramp: still getting faster
        lambda place: 0.2 * (place < 0.5),  # compiled anew half-way
        lambda place: 0.15 * (place >= 0.5),  # throttled half-way
        lambda place: 0.6 * np.exp(-6 * place),  # warming up
    ],
)
def test_a_session_that_moves_is_not_steady(shape):
    assert share_steady(lambda rng, n: calm(rng, n) * np.exp(shape(np.arange(n) / n)), 30) <= 0.1


def test_reasons_are_said():
    rng = np.random.default_rng(1)
    fine = calm(rng, 20)
    assert "only 3 samples" in steadiness([1.0, 2.0, 3.0]).why
    assert "first sample is 2 times" in steadiness([2 * float(np.median(fine)), *fine]).why
    assert "mean" in steadiness([*(1.5 * fine), *fine]).why
    assert "quartile" in steadiness([*(0.9 * fine), *fine]).why
    quiet = 20 * np.exp(0.001 * rng.standard_normal(20))
    assert "spread" in steadiness([*quiet, *fine]).why
    assert steadiness(fine).why == ""


@given(st.lists(st.floats(1e-3, 1e4), max_size=60), st.floats(0.01, 100))
def test_the_unit_does_not_matter_and_nothing_raises(values, unit):
    found = steadiness(values)
    assert found.steady or found.why
    assert len(values) >= FEWEST or not found.steady
    if len(set(values)) > 5:
        rounded = [round(value, 3) for value in values]
        doubled = [2 * value for value in rounded]  # exact in binary, so no limit is met by rounding
        assert steadiness(rounded).steady == steadiness(doubled).steady


def test_outliers_are_flagged_and_stay():
    values = [*np.random.default_rng(2).normal(20, 0.2, 50), 40.0, 20.1]
    assert np.flatnonzero(outlying(values)).tolist() == [50]
    assert outlying([]).tolist() == [] and outlying([3.0]).tolist() == [False]
    assert outlying([5.0] * 9).tolist() == [False] * 9
    coarse = [5.0] * 40 + [6.0, 90.0]  # more than half equal: the median deviation is zero
    assert np.flatnonzero(outlying(coarse)).tolist() == [41]


def test_a_normal_sample_has_no_outlier():
    values = np.random.default_rng(5).normal(100, 1, 100_000)
    assert not outlying(values).any()
    assert outlying(values, limit=2).mean() == pytest.approx(math.erfc(math.sqrt(2)), abs=0.003)


VECTORS = json.loads((Path(__file__).parents[1] / "data" / "steady.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_vectors_that_the_page_answers_too(vector):
    """`tests/pages/steady.test.js` puts the same to `bench/pages/runtime/steady.js`."""
    values = vector["values"]
    assert steadiness(values).steady is vector["steady"]
    found = median_interval(values)
    assert (list(found) if found else None) == vector["interval"]
    low = int(scipy.stats.binom.ppf(0.025, len(values), 0.5))
    ordered = sorted(values)
    assert vector["interval"] == ([ordered[low - 1], ordered[-low]] if low else None)


def test_the_vectors_tell_both_answers():
    assert sum(vector["steady"] for vector in VECTORS) >= 20
    assert sum(not vector["steady"] for vector in VECTORS) >= 20
