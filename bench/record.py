"""One run as data: the JSON that `bench run --json` prints and the database keeps.

A value that was not measured is None, never a guess.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.harness.outcome import Category, Outcome, Stage
from bench.plan.request import Request

WeightSource = Literal["hub", "local", "synthetic"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Effective(_Record):
    """What really ran; every field is None where nothing ran."""

    platform: str | None = None
    bits: int | None = None
    bits_mean: float | None = None  # parameter-weighted over the quantized matrices
    device: str | None = None  # "gpu", "cpu" (software adapters too), "npu"
    engine: str | None = None
    activations: str | None = None  # "f16" or "f32"
    group_size: int | None = None
    scheme: str | None = None
    weight_path: str | None = None  # how packed weights meet the arithmetic, in a few words


class Environment(_Record):
    """Where it ran, read from the browser and the host in this very session."""

    browser: str
    browser_version: str | None = None
    browser_binary: str | None = None
    driver_version: str | None = None
    user_agent: str | None = None
    flags: list[str] = Field(default_factory=list)
    adapter: dict[str, Any] | None = None  # info, features, limits; {"name": ..., "is_fallback_adapter": ...}
    webnn: dict[str, Any] | None = None  # devices and opSupportLimits data types, or the refusal verbatim
    os: str | None = None
    cpu: str | None = None
    cross_origin_isolated: bool | None = None
    timer_resolution_us: float | None = None
    harness_version: str | None = None


class ModelInfo(_Record):
    """Which model, and whose weights. `sha256` is that of the weights as loaded."""

    name: str
    family: str | None = None
    parameters: int | None = None
    weights: WeightSource | None = None
    sha256: str | None = None


class Latency(_Record):
    """Milliseconds for one inference, within one browser session."""

    median: float
    mean: float
    p50: float
    p90: float
    p99: float
    std: float | None  # None for a single sample
    ci95_low: float | None  # None where the samples are too few for 95 %
    ci95_high: float | None
    n: int


class Metrics(_Record):
    """What was measured; see `bench.metrics` for each name's unit and meaning."""

    latency_ms: Latency | None = None
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


class Quality(_Record):
    """Is the kernel right (`kernel_*`), and what did the precision cost (`*_fp32`)?"""

    kernel_rel_l2: float | None = None
    cosine_fp32: float | None = None
    rel_l2_fp32: float | None = None
    max_abs_fp32: float | None = None
    top1_agreement: float | None = None


class ErrorInfo(_Record):
    """Why it ended early. `name` and `message` are the browser's own, verbatim."""

    stage: Stage
    category: Category
    name: str
    message: str
    operator: str | None = None


class Sample(_Record):
    """One timed batch. `value_ms` is per inference: the batch's wall time over its size."""

    phase: Literal["warmup", "measure", "gpu"]
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
