"""What a session found of an operator, as the row of a run."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.errors import RunFailure
from bench.harness.asked import now
from bench.harness.kernel_cases import Case, Prepared
from bench.harness.kernel_session import Answer, KernelFindings, KernelSession, Variant
from bench.harness.outcome import Outcome, categorize
from bench.harness.run import Attempt, departures, environment_of
from bench.harness.session import Findings
from bench.models.program import FORWARD
from bench.plan.request import GpuFeatures, Request
from bench.record import (
    Effective,
    ErrorInfo,
    Metrics,
    ModelInfo,
    PhaseMetrics,
    Quality,
    RunRecord,
    Sample,
)
from bench.stats.summary import summarize

_MOST_TOKENS = 4096  # of a request


def request_of(case: Case, engine: Any, browser: str, features: GpuFeatures, device: Any) -> Request:
    """What is asked for with one operator on one engine; its rows stand where a model has tokens."""
    packed = {"group_size": case.group_size, "scheme": case.scheme} if case.operator.packed else {}
    return Request.model_validate(
        {
            "platform": "webgpu",
            "browser": browser,
            "model": case.operator.name,
            "bits": case.bits,
            "engine": engine,
            "device": device,
            "gpu_features": features,
            "sequence_length": min(case.operator.rows, _MOST_TOKENS),
            **packed,
        }
    )


@dataclass(frozen=True)
class Place:
    """A cell of the plan: which case on which variant, and what is asked for."""

    case: int
    variant: int
    request: Request


def record_of(session: KernelSession, place: Place, failure: RunFailure | None, started_at: str) -> RunRecord:
    """The run of one cell.

    Args:
        session: whose findings hold it.
        place: the cell.
        failure: how the session ended, for what it has not measured; None while it goes on.
        started_at: UTC, ISO 8601.
    """
    found, work = session.findings, session.work
    case, variant = work.cases[place.case], work.variants[place.variant]
    answer, prepared = found.answer(place.case, place.variant), found.prepared.get(place.case)
    ended = answer.failure or (None if answer.timed else failure)
    attempt = Attempt(place.request, None, started_at, build=session.build, flags=found.flags)
    known = Findings(found.capabilities, found.probe)
    known.effective = {"notes": {"adapter": found.opened.get("adapter") or {}}}
    environment = environment_of(attempt, known)
    effective = _effective(found, answer)
    reasons = departures(place.request, None, effective, environment) if answer.made else []
    outcome = Outcome.FALLBACK if reasons else Outcome.OK
    error = None
    if ended:
        outcome = ended.outcome
        category = categorize(ended.name, ended.message)
        error = ErrorInfo(
            stage=ended.stage, category=category, name=ended.name, message=ended.message,
            operator=ended.operator,
        )  # fmt: skip
    family = case.operator.kind
    sha256 = hashlib.sha256(case.operator.name.encode()).hexdigest()
    return RunRecord(
        uuid=str(uuid.uuid4()),
        outcome=outcome,
        fallback_reason="; ".join(reasons) or None,
        requested=place.request,
        effective=effective,
        environment=environment,
        model=ModelInfo(name=case.operator.name, family=family, weights="synthetic", sha256=sha256),
        metrics=_metrics(found, prepared, answer, outcome),
        quality=Quality(kernel_rel_l2=answer.distance),
        error=error,
        started_at=started_at,
        finished_at=now(),
        phases_ms=dict(session.watch.spent_ms),
        evidence=_evidence(found, prepared, case, variant, answer),
        samples=_samples(answer) if outcome.measured else [],
    )


def _effective(found: KernelFindings, answer: Answer) -> Effective:
    """What the page says of a variant, and of the device that all of them share."""
    if answer.made is None:
        return Effective()
    opened = found.opened
    shared = {
        "platform": "webgpu",
        "device": opened.get("device"),
        "features": opened.get("features"),
        "activations": opened.get("activations"),
        "wait": "eager",
        "completion_ms": opened.get("completion_ms"),
    }
    said = {name: value for name, value in answer.made.items() if name in Effective.model_fields}
    return Effective(**{**said, **shared})


def _metrics(found: KernelFindings, prepared: Prepared | None, answer: Answer, outcome: Outcome) -> Metrics:
    metrics = Metrics()
    if prepared and prepared.bytes and answer.made:
        metrics.weight_bytes, metrics.weight_bytes_fp16 = prepared.bytes, prepared.bytes_fp16
        metrics.memory_reduction = 1 - prepared.bytes / prepared.bytes_fp16
    if not (outcome.measured and answer.timed):
        return metrics
    latency = summarize(answer.timed["wall"])
    metrics.latency_ms, metrics.gpu_ms = latency, answer.timed["gpu_ms"]
    metrics.throughput_per_s = 1000 / latency.median
    made = answer.made or {}
    dispatches = made.get("dispatches")
    metrics.phases[FORWARD] = PhaseMetrics(
        unit="inference",
        latency_ms=latency,
        gpu_ms=metrics.gpu_ms,
        dispatches=dispatches // answer.copies if dispatches else None,
    )
    tick = found.opened.get("tick_ms")
    if tick:
        metrics.sample_ticks = min(one.batch * one.value_ms for one in _samples(answer)) / tick
    return metrics


def _samples(answer: Answer) -> list[Sample]:
    """A sample a round: wall milliseconds of one operator, over `batch` of them."""
    timed = answer.timed or {"wall": [], "count": 0}
    batch = timed["count"] * answer.copies
    return [Sample(phase=FORWARD, kind="measure", batch=batch, value_ms=value) for value in timed["wall"]]


def shares(found: KernelFindings, flops: int, moved: int, milliseconds: float) -> dict[str, float]:
    """Of what the adapter reached in the same session: of its reading, and of its float32 arithmetic."""
    seconds, roof = milliseconds / 1000, found.ceilings
    if not roof or not seconds:
        return {}
    return {
        "bandwidth": moved / seconds / 1e9 / roof["gbytes_per_s"],
        "arithmetic": flops / seconds / 1e9 / roof["gflops"],
    }


def _evidence(
    found: KernelFindings, prepared: Prepared | None, case: Case, variant: Variant, answer: Answer
) -> dict[str, Any]:
    timed = answer.timed or {}
    moved = case.operator.moved(
        prepared.bytes if prepared else 0, 2 if found.opened.get("activations") == "f16" else 4
    )
    evidence: dict[str, Any] = {
        "launches": found.launches,
        "notes": (answer.made or {}).get("notes"),
        "operator": {"kind": case.operator.kind, **case.operator.named},
        "variant": {"engine": variant.engine, "tuning": dict(variant.tuning), "level": variant.level},
        "copies": answer.copies,
        "rounds": {"wall_ms": timed.get("wall"), "gpu_ms": timed.get("gpu"), "calls": timed.get("count")},
        "subgroups": found.opened.get("subgroups"),
    }
    if timed and found.ceilings:
        spent = timed["gpu_ms"] or float(np.median(timed["wall"]))
        evidence["shares"] = shares(found, case.operator.flops, moved, spent)
        evidence["roofline"] = {**found.ceilings, "flop": case.operator.flops, "bytes": moved}
    return evidence
