"""What the worker and its runner both speak of: how a run is measured, and a run that was stopped.

Apart from `session` and `run`, which bring Selenium and the page server: a worker needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from bench.errors import RunFailure
from bench.harness.outcome import Outcome, Stage
from bench.plan.measuring import Measuring
from bench.plan.tuned import Tune, TunedKernel


class RunSettings(Measuring):
    """How one run is measured: what its campaign says, and what a benchmark or a test adds.

    Attributes:
        tuning: values forced on the kernels, by a benchmark.
        tuned: constants that are known for this browser, on whatever adapters and of whatever build.
        how: how further ones are found; None for not at all.
        least_limits: whether the device is asked for with no more than every device has, as a phone may be.
        fault: the name of what is broken on purpose (`bench.harness.injection`).
    """

    tuning: Mapping[str, int] = {}
    tuned: tuple[TunedKernel, ...] = ()
    how: Tune | None = None
    least_limits: bool = False
    fault: str | None = None


def now() -> str:
    """UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def interruption(stage: Stage) -> RunFailure:
    """What a wish to stop makes of a run."""
    return RunFailure(
        Outcome.INTERRUPTED,
        stage,
        "the harness was stopped while this run went on",
        name="KeyboardInterrupt",
    )
