"""What a session found, as the metrics and the quality of its row."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.bundle import Bundle
from bench.errors import RunFailure
from bench.harness.outcome import Outcome
from bench.harness.session import Findings, verified_as
from bench.harness.truth import TimerGrid
from bench.models.program import Program
from bench.plan.request import Request
from bench.record import Metrics, PhaseMetrics, Quality, Sample
from bench.reference import compare
from bench.stats.summary import summarize

DECODE, PREFILL = "decode", "prefill"


def metrics_of(
    bundle: Bundle | None, request: Request, found: Findings, outcome: Outcome, failure: RunFailure | None
) -> Metrics:
    """The metrics of a run; of one that was not measured only what is no speed."""
    canary = found.canary.get("canary_ms")
    page, gpu = ((found.memory.get(role) or {}).get("peak_mb") for role in ("page", "gpu"))
    if not found.effective or bundle is None or outcome is Outcome.INCORRECT:
        return Metrics(canary_ms=canary, renderer_memory_mb=page, gpu_process_memory_mb=gpu)
    uploaded = int(found.effective["weight_bytes"])
    metrics = Metrics(
        canary_ms=canary,
        renderer_memory_mb=page,
        gpu_process_memory_mb=gpu,
        load_ms=found.cold.get("load_ms"),
        build_ms=found.cold.get("build_ms"),
        compile_ms=found.cold.get("compile_ms"),
        weight_bytes=uploaded,
        weight_bytes_fp16=bundle.weight_bytes_fp16,
        memory_reduction=1 - uploaded / bundle.weight_bytes_fp16,
    )
    taken = [sample for sample in found.samples() if sample.kind == "measure"]
    tick = (found.probe.get("timer_resolution_us") or 0.0) / 1000
    if taken and tick:
        metrics.sample_ticks = min(sample.batch * sample.value_ms for sample in taken) / tick
    if isinstance(failure, TimerGrid):
        metrics.timer_ms = failure.period_ms
    if outcome.measured and taken:
        _add_speeds(metrics, bundle.program, request.batch_size, found, taken)
    return metrics


def _add_speeds(metrics: Metrics, program: Program, batch: int, found: Findings, taken: list[Sample]) -> None:
    for phase in program.phases:
        values = [sample.value_ms for sample in taken if sample.phase == phase.name]
        timing = found.timings.get(phase.name, {})
        if values:
            metrics.phases[phase.name] = PhaseMetrics(
                unit=phase.unit,
                latency_ms=summarize(values),
                gpu_ms=timing.get("gpu_ms"),
                dispatches=timing.get("dispatches"),
            )
    main = metrics.phases.get(program.phases[0].name)
    if main is None:
        return
    metrics.latency_ms, metrics.gpu_ms = main.latency_ms, main.gpu_ms
    metrics.throughput_per_s = 1000 * batch / main.latency_ms.median
    metrics.first_inference_ms = found.cold.get("first_inference_ms")
    if PREFILL in metrics.phases:
        tokens = _tokens(program, PREFILL)
        metrics.prefill_tokens_per_s = 1000 * tokens / metrics.phases[PREFILL].latency_ms.median
    if DECODE in metrics.phases:
        metrics.decode_ms = metrics.phases[DECODE].latency_ms
        metrics.decode_tokens_per_s = 1000 * batch / metrics.decode_ms.median


def _tokens(program: Program, name: str) -> int:
    """Tokens that one call of a phase takes in: the elements of its first input of whole numbers."""
    entry = next(phase.entry for phase in program.phases if phase.name == name)
    shape = next(item.shape for item in program.entries[entry].inputs if item.dtype == "int32")
    return int(np.prod(shape))


def quality_of(bundle: Bundle | None, found: Findings) -> Quality:
    """Over every call that was verified; the kernel's also over those repeated after the measurement."""
    if bundle is None or not found.outputs:
        return Quality()
    calls = {name: outputs for name, outputs in found.outputs.items() if not name.startswith("last")}
    # Once more after the timing: each call counts once in what the precision costs.
    again = {name: outputs for name, outputs in found.outputs.items() if name.startswith("last")}
    reference, fp32 = bundle.reference(), bundle.fp32()
    quality = compare.quality(
        bundle.program,
        list(calls.values()),
        [reference[name] for name in calls],
        [fp32[name] for name in calls],
        [(outputs, reference[verified_as(name)]) for name, outputs in again.items()],
    )
    if found.generated.get("compared"):
        quality.greedy_agreement = found.generated["agrees_fp32"] / found.generated["compared"]
    return finite(quality)


def finite(quality: Quality) -> Quality:
    """JSON and SQL have no infinity: what is not a number was not measured."""
    values: dict[str, Any] = quality.model_dump()
    return Quality(**{key: v if v is not None and np.isfinite(v) else None for key, v in values.items()})
