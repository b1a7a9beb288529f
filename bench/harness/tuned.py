"""A worker's part in tuning: it hands a run the constants that are known, and keeps those that it found."""

from __future__ import annotations

from typing import Any

from bench.harness.asked import RunSettings
from bench.plan.request import Request
from bench.plan.tuned import Tune, TunedKernel
from bench.record import RunRecord
from bench.store import Store

_HOW = {"auto": Tune(on="gpu"), "first": Tune(on="any"), "stored": None, "off": None}
_OF_FOUND = ("key", "constants", "default_ms", "tuned_ms", "tried", "refused", "wrong")


def with_constants(measure: RunSettings, store: Store, request: Request) -> RunSettings:
    """The settings of a run with what is known for its browser.

    Kernels of which nothing is known are tuned within the run, before its times are taken. Those for which
    there was no time are kept as such, and are not tuned again by a run: all blocks of a campaign have the
    same kernels, in whichever order its arms come.
    """
    if request.platform != "webgpu" or request.engine != "native" or measure.tune == "off":
        return measure
    known = tuple(store.tuned(request.browser_name))
    return measure.model_copy(update={"tuned": known, "how": measure.how or _HOW[measure.tune]})


def found_in(record: RunRecord) -> list[TunedKernel]:
    """What a run has found for its kernels, those for which there was no time among them.

    Nothing of a run whose answers were not right in the end.
    """
    said: dict[str, Any] = record.evidence.get("tuned") or {}
    version = record.environment.browser_version
    if not said or version is None or record.error is not None:
        return []
    return [
        TunedKernel(
            adapter=said["adapter"],
            browser=record.environment.browser,
            browser_version=version,
            features=said["features"],
            kernels=said["kernels"],
            tuned_at=record.finished_at,
            **{name: one[name] for name in _OF_FOUND},
        )
        for one in (*said["found"], *said["left"])
    ]
