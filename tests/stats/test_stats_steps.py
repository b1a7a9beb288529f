"""Steps over a history: found where they are, and seldom where they are not."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats.steps import SHORTEST, _partition, find_steps

NOISE = 0.03


def history(rng, size, *steps, noise=NOISE):
    """Made-up medians: `steps` are (index, log-size)."""
    level = sum((size_of * (np.arange(size) >= index) for index, size_of in steps), np.zeros(size))
    return 20 * np.exp(level + noise * rng.standard_normal(size))


@pytest.mark.parametrize("size", [8, 20, 60, 300])
@pytest.mark.parametrize("kind", ["normal", "t3", "outliers"])
def test_a_level_history_has_no_steps(size, kind):
    rng = np.random.default_rng(3)
    draw = {
        "normal": lambda: rng.standard_normal(size),
        "t3": lambda: rng.standard_t(3, size),
        "outliers": lambda: rng.standard_normal(size) + 15 * (rng.random(size) < 0.04),
    }[kind]
    false = sum(bool(find_steps(np.exp(NOISE * draw()))) for _ in range(300))
    assert false <= 0.03 * 300


@pytest.mark.parametrize("carried", [0.3, 0.6])
def test_what_carries_over_rarely_makes_steps(carried):
    """Sessions near in time are alike; at 0.6 hard to tell from steps: 1 history in 10 is misread."""
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(200):
        values = rng.standard_normal(60)
        for at in range(1, 60):
            values[at] = carried * values[at - 1] + math.sqrt(1 - carried**2) * values[at]
        false += bool(find_steps(np.exp(NOISE * values)))
    assert false / 200 <= {0.3: 0.06, 0.6: 0.15}[carried]


@pytest.mark.parametrize("ratio", [1.15, 1 / 1.15])
def test_a_step_is_found_where_it_begins(ratio):
    rng = np.random.default_rng(3)
    near, covered = 0, 0
    for _ in range(200):
        steps = find_steps(history(rng, 60, (37, math.log(ratio))))
        near += len(steps) == 1 and abs(steps[0].index - 37) <= 1
        covered += len(steps) == 1 and steps[0].low <= ratio <= steps[0].high
    assert near >= 0.95 * 200 and covered >= 0.90 * 200


def test_several_steps_and_their_neighbours():
    values = history(np.random.default_rng(1), 200, (50, 0.3), (120, -0.2), (160, 0.25))
    steps = find_steps(values)
    assert [abs(step.index - at) <= 1 for step, at in zip(steps, (50, 120, 160), strict=True)] == [True] * 3
    edges = [0, *(step.index for step in steps), 200]
    lengths = [b - a for a, b in itertools.pairwise(edges)]
    assert [(step.before, step.after) for step in steps] == list(itertools.pairwise(lengths))
    assert steps[1].ratio == pytest.approx(math.exp(-0.2), rel=0.03)


def test_one_bad_session_is_no_step_and_enough_in_a_row_are():
    rng = np.random.default_rng(6)
    values = history(rng, 40)
    values[20] *= 5
    assert find_steps(values) == []
    values = history(rng, 40, (36, 0.5))
    assert [step.index for step in find_steps(values)] == [36]


def test_small_steps_are_left_out_unless_wanted():
    values = history(np.random.default_rng(2), 400, (200, 0.01), noise=0.005)
    assert find_steps(values) == []
    assert [step.index for step in find_steps(values, least=0.0)] == [pytest.approx(200, abs=3)]


def test_histories_without_noise():
    assert find_steps([20.0] * 50) == []
    assert find_steps([]) == [] and find_steps([20.0] * 7) == []
    stuck = [20.0] * 25 + [24.0] * 25  # a coarse clock: most neighbours are equal
    (step,) = find_steps(stuck)
    assert step.index == 25 and step.ratio == pytest.approx(1.2) and step.low <= 1.2 <= step.high


@given(st.lists(st.floats(0.1, 10), min_size=4, max_size=9), st.floats(0.01, 3))
def test_the_partition_is_the_cheapest_of_all(values, price):
    sample = np.array(values)

    def cost(edges):
        whole = [0, *edges, len(values)]
        return price * len(edges) + sum(
            float(((part := sample[a:b]) - part.mean()) @ (part - part.mean()))
            for a, b in itertools.pairwise(whole)
        )

    allowed = [
        edges
        for count in range(len(values) // 2)
        for edges in itertools.combinations(range(1, len(values)), count)
        if all(b - a >= 2 for a, b in itertools.pairwise([0, *edges, len(values)]))
    ]
    assert cost(_partition(sample, price, 2)) == pytest.approx(min(map(cost, allowed)), abs=1e-8)


@given(st.lists(st.floats(0.1, 1000), max_size=60), st.sampled_from([0.5, 4.0]))
def test_the_unit_does_not_matter_and_nothing_raises(values, unit):
    steps = find_steps(values)
    assert [step.index for step in find_steps([unit * value for value in values])] == [s.index for s in steps]
    edges = [0, *(step.index for step in steps), len(values)]
    assert not steps or all(b - a >= SHORTEST for a, b in itertools.pairwise(edges))


def test_a_thousand_points_are_quick():
    values = history(np.random.default_rng(3), 1000, (300, 0.1), (700, -0.1))
    begin = time.perf_counter()
    assert len(find_steps(values)) == 2
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize(("values", "shortest"), [([1.0, 0.0], 4), ([math.nan], 4), ([1.0], 1)])
def test_what_is_no_history_is_refused(values, shortest):
    with pytest.raises(ValueError, match=r"positive number|have no spread"):
        find_steps(values, shortest)
