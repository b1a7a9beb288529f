"""Whether the times of a session may be believed; where not, the run has failed and has no speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.errors import RunFailure
from bench.harness.clocks import Clocks
from bench.harness.outcome import Outcome, Stage
from bench.record import Sample
from bench.stats.timer import on_timer


class TimerGrid(RunFailure):
    """The samples are multiples of the browser's timer."""

    def __init__(self, period_ms: float, gpu_ms: float | None) -> None:
        work = "" if gpu_ms is None else f", the GPU works {gpu_ms:.3g} ms on one inference"
        super().__init__(
            Outcome.ERROR,
            Stage.MEASURE,
            f"the samples sit on the browser's timer, not on the work: they are multiples of {period_ms:.4g} "
            f"ms, which any plain wait takes here{work}",
            name="SamplesOnTimer",
        )
        self.period_ms = period_ms


def marked(samples: Sequence[Sample], ends: Sequence[float], clocks: Clocks) -> list[Sample]:
    """The samples, those in whose time the machine slept as such.

    Args:
        samples: in order.
        ends: when each ended by the page's wall clock, ms since 1970.
        clocks: what was noticed of sleep.
    """
    if not clocks.suspensions or len(ends) != len(samples):
        return list(samples)
    found = []
    before: float | None = None
    for sample, end_ms in zip(samples, ends, strict=True):
        end = end_ms / 1000
        begin = end - sample.batch * sample.value_ms / 1000 if before is None else before
        slept = clocks.asleep(begin, end)
        found.append(sample.model_copy(update={"kind": "suspended"}) if slept else sample)
        before = end
    return found


def believe(samples: Sequence[Sample], timing: dict[str, Any], completion_ms: float | None) -> None:
    """Raise where the measured samples are no latency.

    Args:
        samples: as `marked`.
        timing: what the page reported with them.
        completion_ms: of this session.

    Raises:
        RunFailure: they sit on a timer, or the machine slept in each of them.
    """
    measured = [sample for sample in samples if sample.kind == "measure"]
    if samples and not measured:
        raise RunFailure(
            Outcome.ERROR, Stage.MEASURE, "the machine slept in the time of every sample", name="Suspended"
        )
    gpu_ms = timing.get("gpu_ms")
    walls = [sample.batch * sample.value_ms for sample in measured]
    if measured and completion_ms is not None:
        inference = None if gpu_ms is None else float(gpu_ms)
        batch = None if inference is None else inference * measured[0].batch
        if on_timer(walls, completion_ms, batch):
            raise TimerGrid(completion_ms, inference)
