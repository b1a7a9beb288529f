"""One run as data: the JSON that `bench run --json` prints and the database keeps.

A value that was not measured is None, never a guess.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.harness.outcome import Category, Outcome, Stage
from bench.models.program import FORWARD, Unit
from bench.plan.request import Request

WeightSource = Literal["hub", "local", "synthetic"]


# Largest distance to the NumPy reference that is rounding and not a wrong kernel, by type of activation.
# int8 is only ever asked for.
TOLERANCE = {"f32": 1e-3, "f16": 5e-3, "int8-static": 1e-2}


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Effective(_Record):
    """What really ran, as the page says it; a field is None where nothing ran or the page cannot know."""

    platform: str | None = Field(default=None, description="Platform that ran; blank where nothing ran")
    bits: int | None = Field(default=None, description="Bits that ran")
    bits_mean: float | None = Field(
        default=None, description="Mean bits over the quantized matrices, by parameters"
    )
    device: str | None = Field(default=None, description="`gpu`, `cpu` (software adapters too) or `npu`")
    engine: str | None = Field(default=None, description="Engine that ran")
    engine_version: str | None = Field(default=None, description="Version of the engine")
    features: str | None = Field(
        default=None,
        description="Largest feature set of the device: `stock`, `f16` or `all` ([sets](feature-sets.md))",
    )
    kernels: str | None = Field(
        default=None, description="Hash of the shaders, page modules and tuning that ran; part of the arm"
    )
    activations: str | None = Field(default=None, description="`f16` or `f32`")
    group_size: int | None = Field(default=None, description="Weights that share a scale")
    scheme: str | None = Field(default=None, description="`symmetric` or `asymmetric`")
    weight_path: str | None = Field(
        default=None, description="How packed weights meet the arithmetic, in a few words"
    )
    wait: str | None = Field(
        default=None,
        description="How the page waited: `eager` submits nothing now and then, so that the browser looks; "
        "`plain` does not",
    )
    completion_ms: float | None = Field(
        default=None,
        description="What a plain wait for next to nothing costs in this session: what a page sees that does "
        "not look",
    )


class Environment(_Record):
    """Where it ran, read from the browser and the host in this very session."""

    browser: str = Field(description="Browser by name")
    browser_version: str | None = Field(default=None, description="As the browser says it")
    browser_binary: str | None = Field(default=None, description="The executable")
    driver_version: str | None = Field(default=None, description="Of the WebDriver")
    user_agent: str | None = Field(default=None, description="As the page reads it")
    flags: list[str] = Field(default_factory=list, description="Command line or preferences")
    adapter: dict[str, Any] | None = Field(
        default=None, description="WebGPU adapter: name, info, features, limits"
    )
    webnn: dict[str, Any] | None = Field(
        default=None, description="WebNN devices and data types, or the refusal verbatim"
    )
    os: str | None = Field(default=None, description="System of the host")
    cpu: str | None = Field(default=None, description="Processor of the host and its threads")
    host_gpus: str | None = Field(
        default=None,
        description="Hardware GPUs of the host by its own system, joined by `; `; empty: none, blank where "
        "nothing is known",
    )
    cross_origin_isolated: bool | None = Field(
        default=None, description="Whether the page had the finest clock"
    )
    timer_resolution_us: float | None = Field(
        default=None, description="Smallest step of the page's clock, measured, in microseconds"
    )
    harness_version: str | None = Field(
        default=None, description="Of this program, with its commit where it runs from a checkout"
    )


class ModelInfo(_Record):
    """Which model, and whose weights. `sha256` is that of all that decides its answers."""

    name: str = Field(description="Model by name")
    family: str | None = Field(default=None, description="`bert`, `whisper`, ...")
    parameters: int | None = Field(default=None, description="How many it has")
    weights: WeightSource | None = Field(
        default=None, description="`hub` (published ones), `local` or `synthetic`"
    )
    sha256: str | None = Field(
        default=None,
        description="SHA-256 over all that decides its answers: weights, config, tokenizer, pooling, graph",
    )


class Latency(_Record):
    """Milliseconds for one call, within one browser session."""

    median: float
    mean: float
    p50: float
    p90: float
    p99: float
    std: float | None  # None for a single sample
    ci95_low: float | None  # None where the samples are too few for 95 %
    ci95_high: float | None
    n: int


class PhaseMetrics(_Record):
    """What was measured of one phase; None where the engine does not show it.

    `latency_ms` is one call of it, `gpu_ms` its median GPU time, `dispatches` what it gives the device to do.
    """

    unit: Unit
    latency_ms: Latency
    gpu_ms: float | None = None
    dispatches: int | None = None


class Metrics(_Record):
    """What was measured; see `bench.metrics` for each name's unit and meaning.

    `latency_ms` and `gpu_ms` are the main phase's; `phases` has every phase by name.
    """

    latency_ms: Latency | None = None
    decode_ms: Latency | None = None
    decode_tokens_per_s: float | None = None
    prefill_tokens_per_s: float | None = None
    throughput_per_s: float | None = None
    first_inference_ms: float | None = None
    load_ms: float | None = None
    build_ms: float | None = None
    compile_ms: float | None = None
    gpu_ms: float | None = None
    canary_ms: float | None = None
    weight_bytes: int | None = None
    weight_bytes_fp16: int | None = None
    memory_reduction: float | None = None
    sample_ticks: float | None = None
    timer_ms: float | None = None
    renderer_memory_mb: float | None = None
    gpu_process_memory_mb: float | None = None
    phases: dict[str, PhaseMetrics] = Field(default_factory=dict)


class Quality(_Record):
    """Is the kernel right (`kernel_*`), and what did the precision cost (`*_fp32`)?"""

    kernel_rel_l2: float | None = None
    cosine_fp32: float | None = None
    rel_l2_fp32: float | None = None
    max_abs_fp32: float | None = None
    top1_agreement: float | None = None
    greedy_agreement: float | None = None


class ErrorInfo(_Record):
    """Why it ended early. `name` and `message` are the browser's own, verbatim."""

    stage: Stage = Field(description="Stage that raised or passed its deadline")
    category: Category = Field(description="Sorts the words without replacing them")
    name: str = Field(description="Type of the error, the browser's own")
    message: str = Field(description="The browser's words, verbatim")
    operator: str | None = Field(default=None, description="Operator at which it was raised")


class Sample(_Record):
    """One timed batch of a phase. `value_ms` is per call: the batch's wall time over its size.

    A batch in whose time the machine slept is of the kind `suspended`, and in no summary.
    """

    phase: str = FORWARD
    kind: Literal["warmup", "measure", "gpu", "suspended"]
    batch: int
    value_ms: float


class RunRecord(_Record):
    """One attempt at one cell. `evidence` keeps what the page said, stage by stage."""

    id: int | None = None
    uuid: str
    outcome: Outcome
    fallback_reason: str | None = None
    requested: Request
    effective: Effective = Field(default_factory=Effective)
    environment: Environment
    model: ModelInfo
    metrics: Metrics = Field(default_factory=Metrics)
    quality: Quality = Field(default_factory=Quality)
    error: ErrorInfo | None = None
    started_at: str  # UTC, ISO 8601
    finished_at: str
    phases_ms: dict[str, float] = Field(default_factory=dict)  # wall time of each stage, harness side
    evidence: dict[str, Any] = Field(default_factory=dict)
    samples: list[Sample] = Field(default_factory=list, exclude=True)
