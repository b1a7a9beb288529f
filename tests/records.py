"""Made-up rows for tests of store, report and command line. No number here was measured."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from bench.harness.outcome import Category, Outcome, Stage
from bench.plan.request import Request
from bench.plan.tuned import TunedKernel
from bench.record import (
    Effective,
    Environment,
    ErrorInfo,
    Latency,
    Metrics,
    ModelInfo,
    PhaseMetrics,
    Quality,
    RunRecord,
    Sample,
)
from bench.store import Campaign, Store

WORDS = (
    "Failed to execute 'input' on 'MLGraphBuilder': Failed to read the 'dataType' property: The provided "
    "value 'int2' is not a valid enum value of type MLOperandDataType."
)
VERSIONS = {"chrome": "153.0.8010.0", "firefox": "153.3.0", "webkitgtk": "2.50.2"}
ADAPTERS = {"chrome": "SwiftShader Device (Subzero)", "firefox": "llvmpipe (LLVM 15.0.6)"}


def request(**changes: Any) -> Request:
    return Request.model_validate(
        {
            "platform": "webgpu",
            "browser": "chrome",
            "model": "all-MiniLM-L6-v2",
            "bits": 4,
            "sequence_length": 16,
            **changes,
        }
    )


def environment(browser: str = "chrome", **changes: Any) -> Environment:
    adapter = ADAPTERS.get(browser)
    return Environment(
        **{
            "browser": browser,
            "browser_version": VERSIONS.get(browser),
            "browser_binary": f"/opt/{browser}/{browser}",
            "driver_version": "1.0",
            "user_agent": f"Mozilla/5.0 (X11; Linux x86_64) {browser}/{VERSIONS.get(browser)}",
            "adapter": {"name": adapter, "is_fallback_adapter": True, "features": ["shader-f16"]}
            if adapter
            else None,
            "os": "Linux 6.1 (Debian 12)",
            "cpu": "Test CPU, 2 cores",
            "cross_origin_isolated": True,
            "timer_resolution_us": 5.0,
            "harness_version": "0.1.0",
            **changes,
        }
    )


def latency(median: float = 20.0, n: int = 40) -> Latency:
    return Latency(
        median=median,
        mean=median * 1.01,
        p50=median,
        p90=median * 1.1,
        p99=median * 1.3,
        std=median * 0.05,
        ci95_low=median * 0.96,
        ci95_high=median * 1.05,
        n=n,
    )


def record(
    requested: Request | None = None, outcome: Outcome = Outcome.OK, median: float = 20.0, **changes: Any
) -> RunRecord:
    """A run with this outcome: with numbers where it ran, with the browser's words where it did not."""
    asked = requested or request()
    ran = outcome.measured or outcome is Outcome.INCORRECT
    bits = 8 if outcome is Outcome.FALLBACK else asked.bits
    data: dict[str, Any] = {
        "uuid": str(uuid.uuid4()),
        "outcome": outcome,
        "requested": asked,
        "environment": environment(asked.browser_name),
        "model": ModelInfo(
            name=asked.model, family="bert", parameters=22_713_216, weights="local", sha256="ab" * 32
        ),
        "started_at": "2026-11-23T03:15:00+00:00",
        "finished_at": "2026-11-23T03:15:09+00:00",
        "phases_ms": {"launch": 812.5, "measure": 5000.0},
        "evidence": {"probe": {"gpu": ran}},
    }
    if ran:
        data |= {
            "effective": Effective(
                platform=asked.platform,
                bits=bits,
                bits_mean=float(bits),
                device="cpu",
                engine="native",
                activations="f32",
                group_size=32,
                scheme="symmetric",
            ),
            "metrics": Metrics(
                latency_ms=latency(median) if outcome.measured else None,
                throughput_per_s=1000 / median if outcome.measured else None,
                first_inference_ms=median * 3 if outcome.measured else None,
                load_ms=40.0,
                weight_bytes=bits * 2_900_000,
                weight_bytes_fp16=45_426_432,
                memory_reduction=1 - bits * 2_900_000 / 45_426_432,
            ),
            "quality": Quality(
                kernel_rel_l2=3.2e-7 if outcome.measured else 0.7, cosine_fp32=0.9871, rel_l2_fp32=0.16
            ),
            "samples": [Sample(kind="warmup", batch=2, value_ms=median * 2)]
            + [Sample(kind="measure", batch=2, value_ms=median + step / 10) for step in range(3)],
        }
    else:
        data["error"] = ErrorInfo(
            stage=Stage.BUILD,
            category=Category.UNSUPPORTED_TYPE,
            name="TypeError",
            message=WORDS,
            operator="dequantizeLinear",
        )
    if outcome is Outcome.FALLBACK:
        data["fallback_reason"] = f"standard mode runs {asked.bits} bits as 8"
    return RunRecord.model_validate({**data, **changes})


def written(
    requested: Request,
    outcome: Outcome = Outcome.OK,
    *,
    decode: float = 12.5,
    prefill: float = 90.0,
    **changes: Any,
) -> RunRecord:
    """A run of a language model: milliseconds of one token after the prompt, and of the whole prompt."""
    one = record(requested, outcome, prefill)
    one.model.family, one.model.parameters = "llama", 134_515_008
    if one.effective.platform is not None:
        one.quality.greedy_agreement = 0.9375
        one.metrics.renderer_memory_mb, one.metrics.gpu_process_memory_mb = 212.5, 340.25
    if outcome.measured:
        first, each = latency(prefill), latency(decode, 12)
        one.metrics.decode_ms = each
        one.metrics.decode_tokens_per_s = 1000 / decode
        one.metrics.prefill_tokens_per_s = 1000 * requested.sequence_length / prefill
        one.metrics.phases = {
            "prefill": PhaseMetrics(unit="inference", latency_ms=first, dispatches=180),
            "decode": PhaseMetrics(unit="token", latency_ms=each, dispatches=152),
        }
        one.samples = [
            Sample(phase=phase, kind="measure", batch=1, value_ms=value + step / 10)
            for phase, value in (("prefill", prefill), ("decode", decode))
            for step in range(3)
        ]
    return RunRecord.model_validate({**one.model_dump(), "samples": one.samples, **changes})


def operator(
    engine: str,
    wall: list[float],
    gpu: list[float],
    *,
    level: int = 0,
    tuning: dict[str, int] | None = None,
    outcome: Outcome = Outcome.OK,
    **asked: Any,
) -> RunRecord:
    """A run of an operator, with the times of its rounds."""
    middle = sorted(wall)[len(wall) // 2]
    made = record(
        request(**{"model": "matmul 1x8x32", "sequence_length": 1, "engine": engine, **asked}),
        outcome,
        evidence={
            "operator": {"kind": "matmul"},
            "variant": {"engine": engine, "level": level, "tuning": tuning or {}},
            "rounds": {"wall_ms": wall, "gpu_ms": gpu},
            "shares": {"bandwidth": 0.5, "arithmetic": 0.25},
        },
    )
    if outcome.measured:
        made.metrics.latency_ms = latency(middle, len(wall)).model_copy(update={"median": middle})
        made.metrics.gpu_ms = sorted(gpu)[len(gpu) // 2] if gpu else None
    return made


def tuned_kernel(**changes: Any) -> TunedKernel:
    """What tuning found for one kernel."""
    found: dict[str, Any] = {
        "adapter": "google swiftshader 0xc0de SwiftShader Device (Subzero)",
        "browser": "chrome",
        "browser_version": "153.0.8010.0",
        "features": "stock",
        "kernels": "0123456789abcdef",
        "key": "matmul 64x384x1536 4-bit groups of 32 symmetric",
        "constants": {"BM": 16, "BN": 32},
        "default_ms": 1.5,
        "tuned_ms": 1.2,
        "tried": 7,
        "refused": 0,
        "wrong": 1,
        "tuned_at": "2026-11-30T18:00:00.000+00:00",
    }
    return TunedKernel(**{**found, **changes})


def arms() -> list[tuple[Request, Outcome, float]]:
    """Three browsers, two platforms, four precisions: every kind of outcome among 24 cells."""
    found: list[tuple[Request, Outcome, float]] = []
    for browser, platform, bits in itertools.product(
        ("chrome", "firefox", "webkitgtk"), ("webgpu", "webnn"), (16, 8, 4, 2)
    ):
        outcome = Outcome.OK
        if browser == "webkitgtk" or (browser == "firefox" and platform == "webnn"):
            outcome = Outcome.UNSUPPORTED
        elif platform == "webnn" and bits in (4, 2):
            outcome = Outcome.FALLBACK
        outcome = {
            ("firefox", "webgpu", 4): Outcome.INCORRECT,
            ("firefox", "webgpu", 2): Outcome.TIMEOUT,
            ("webkitgtk", "webgpu", 16): Outcome.CRASHED,
            ("webkitgtk", "webgpu", 8): Outcome.DEVICE_LOST,
            ("webkitgtk", "webgpu", 4): Outcome.ERROR,
            ("webkitgtk", "webgpu", 2): Outcome.UNAVAILABLE,
            ("webkitgtk", "webnn", 2): Outcome.INTERRUPTED,
        }.get((browser, platform, bits), outcome)
        median = {"webgpu": 180.0, "webnn": 22.0}[platform] * (1.0 + bits / 40)
        if browser == "firefox":
            median *= 1.7
        found.append((request(browser=browser, platform=platform, bits=bits), outcome, median))
    return found


def fill(store: Store, name: str = "nightly", *, leave: int = 0) -> Campaign:
    """Write `arms()` as a campaign; the last `leave` cells stay without a run."""
    rows = arms()
    campaign = store.create_campaign(name, [row[0] for row in rows], seed=7, settings={"blocks": 1})
    for cell, (asked, outcome, median) in list(zip(campaign.cells, rows, strict=True))[: len(rows) - leave]:
        store.record(cell.id, record(asked, outcome, median))
    return campaign
