import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan.estimate import Forecast, in_words
from bench.plan.matrix import expand

ARMS = expand(
    {"browser": ["chrome", "firefox"], "platform": ["webgpu"], "bits": [16, 4]}, {"model": "bert-tiny"}
)


def test_nothing_is_said_where_nothing_is_known():
    found = Forecast().of(ARMS)
    assert (found.seconds, found.unknown) == (None, 4)
    assert Forecast().of([]).seconds == 0


def test_the_nearest_known_counts():
    forecast = Forecast([(ARMS[0], 10.0), (ARMS[0], 30.0), (ARMS[0], 12.0)])
    assert forecast.cell(ARMS[0]) == (12.0, 0)
    assert forecast.cell(ARMS[1]) == (12.0, 1)  # the same browser, platform, model and shape
    assert forecast.cell(ARMS[2]) is None  # another browser says nothing
    found = forecast.of(ARMS)
    assert found.seconds == pytest.approx(48) and (found.exact, found.similar, found.unknown) == (1, 1, 2)


def test_this_campaign_counts_before_the_past():
    forecast = Forecast([(ARMS[0], 100.0)])
    forecast.note(ARMS[0], 8.0)
    assert forecast.cell(ARMS[0]) == (8.0, 0)


@given(st.lists(st.floats(1, 100), min_size=4, max_size=4), st.integers(1, 20))
def test_after_one_block_of_steady_arms_it_is_exact(seconds, blocks):
    forecast = Forecast([(ARMS[0], 500.0)])
    for arm, spent in zip(ARMS, seconds, strict=True):
        forecast.note(arm, spent)
    assert forecast.of(ARMS * blocks).seconds == pytest.approx(sum(seconds) * blocks)


def test_in_words():
    assert [in_words(one) for one in (0, 89, 90, 600, 12_000)] == [
        "0 s", "89 s", "2 min", "10 min", "3 h 20 min",
    ]  # fmt: skip
