"""Clocks that move, samples in whose time the machine slept, and what is believed of a session's times."""

from __future__ import annotations

import pytest

from bench.errors import RunFailure
from bench.harness.clocks import Clocks
from bench.harness.outcome import Outcome, Stage
from bench.harness.truth import TimerGrid, believe, marked
from bench.record import Sample


class Fake(Clocks):
    """Clocks that stand where the test puts them."""

    now = (100.0, 500.0, 1_000_000.0)

    def read(self):
        return self.now

    def go(self, awake=0.0, asleep=0.0, step=0.0):
        a, t, w = self.now
        self.now = (a + awake, t if t is None else t + awake + asleep, w + awake + asleep + step)
        self.look()


def test_quiet_clocks_say_nothing():
    clocks = Fake()
    for _ in range(20):
        clocks.go(awake=0.25)
    assert clocks.evidence() == {} and not clocks.asleep(0, 2e9)


def test_sleep_is_noticed_and_is_no_step_of_the_wall_clock():
    clocks = Fake()
    clocks.go(awake=1)
    clocks.go(awake=0.25, asleep=3600)
    assert clocks.evidence() == {"suspended_seconds": 3600.2}
    assert clocks.asleep(1_000_000.9, 1_003_602)
    assert not clocks.asleep(1_000_000, 1_000_000.5) and not clocks.asleep(1_003_602, 1_003_603)


def test_a_clock_set_back_is_told_and_one_set_forward_is_not():
    clocks = Fake()
    clocks.go(awake=1, step=-30)
    clocks.go(awake=1, step=50)
    clocks.go(awake=1, step=-0.5)
    assert clocks.evidence() == {"wall_clock_back_seconds": 30.5}


def test_a_system_without_such_a_clock_knows_of_no_sleep():
    class Without(Fake):
        now = (100.0, None, 1_000_000.0)

    clocks = Without()
    clocks.go(awake=5)
    assert not clocks.knows_sleep and clocks.evidence() == {}


def test_this_system_has_its_clocks():
    clocks = Clocks()
    clocks.look()
    assert clocks.evidence() == {}


def take(walls, begin=1_000_000.0):
    """Samples one after the other, as the page reports them."""
    samples, ends, at = [], [], begin
    for wall in walls:
        at += wall
        samples.append(Sample(kind="measure", batch=2, value_ms=wall * 500))
        ends.append(at * 1000)
    return samples, ends


def test_only_the_sample_that_holds_the_sleep_is_marked():
    clocks = Fake()
    samples, ends = take([1.0] * 6)
    clocks.go(awake=3.4)
    clocks.go(awake=0.1, asleep=60)
    ends = [end if end < 1_000_003_500 else end + 60_000 for end in ends]
    phases = [sample.kind for sample in marked(samples, ends, clocks)]
    assert phases == ["measure"] * 3 + ["suspended"] + ["measure"] * 2
    assert [sample.value_ms for sample in marked(samples, ends, clocks)] == [500.0] * 6


def test_without_ends_nothing_is_guessed():
    clocks = Fake()
    clocks.go(asleep=60)
    samples, _ = take([1.0] * 3)
    assert marked(samples, [], clocks) == samples


def test_sleep_in_every_sample_leaves_no_latency():
    samples = [Sample(kind="suspended", batch=1, value_ms=5.0)] * 3
    with pytest.raises(RunFailure, match="slept in the time of every sample") as raised:
        believe(samples, {}, None)
    assert (raised.value.outcome, raised.value.stage) == (Outcome.ERROR, Stage.MEASURE)


def test_samples_on_a_timer_end_the_run():
    samples = [Sample(kind="measure", batch=4, value_ms=25.0)] * 5
    with pytest.raises(TimerGrid, match="multiples of 100 ms") as raised:
        believe(samples, {"gpu_ms": 4.4}, 100.0)
    assert (raised.value.outcome, raised.value.stage) == (Outcome.ERROR, Stage.MEASURE)
    assert raised.value.period_ms == 100.0
    believe(samples, {"gpu_ms": 24.0}, 100.0)  # by the GPU's clock the work takes that long
    believe(samples, {"gpu_ms": 4.4}, 0.3)
    believe(samples, {"gpu_ms": 4.4}, None)
