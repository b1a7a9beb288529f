"""The one registry of what is measured: it feeds the database, the printers, the charts and the docs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["lower", "higher", "none"]
Section = Literal["metrics", "quality"]


@dataclass(frozen=True)
class Metric:
    """One number of a run.

    Attributes:
        name: its column in `run_summary`; nested JSON names are joined by `_`.
        section: the JSON object that holds it.
        unit: SI-style unit, empty for a ratio.
        direction: which way is better.
        meaning: one sentence for docs and tooltips.
        integer: whether it is stored as an integer.
    """

    name: str
    section: Section
    unit: str
    direction: Direction
    meaning: str
    integer: bool = False


def _latency(stat: str, meaning: str, direction: Direction = "lower", unit: str = "ms") -> Metric:
    return Metric(f"latency_ms_{stat}", "metrics", unit, direction, meaning, integer=stat == "n")


METRICS: tuple[Metric, ...] = (
    _latency("median", "Median wall time of one inference, from submit to done"),
    _latency("mean", "Mean wall time of one inference"),
    _latency("p50", "50th percentile of the wall time of one inference"),
    _latency("p90", "90th percentile of the wall time of one inference"),
    _latency("p99", "99th percentile of the wall time of one inference"),
    _latency("std", "Standard deviation of the samples", "none"),
    _latency("ci95_low", "Lower end of the 95 % interval of the median within this session", "none"),
    _latency("ci95_high", "Upper end of the 95 % interval of the median within this session", "none"),
    _latency("n", "Number of measured samples", "none", ""),
    Metric("throughput_per_s", "metrics", "1/s", "higher", "Sequences per second: batch over median latency"),
    Metric("first_inference_ms", "metrics", "ms", "lower", "The first inference after building, cold"),
    Metric("load_ms", "metrics", "ms", "lower", "Fetching graph and weights from the loopback server"),
    Metric("build_ms", "metrics", "ms", "lower", "Making buffers and uploads (WebGPU) or the graph (WebNN)"),
    Metric(
        "compile_ms",
        "metrics",
        "ms",
        "lower",
        "Creating the pipelines (WebGPU) or MLGraphBuilder.build (WebNN)",
    ),
    Metric("gpu_ms", "metrics", "ms", "lower", "Median GPU time of one inference by timestamp queries"),
    Metric(
        "canary_ms",
        "metrics",
        "ms",
        "none",
        "A fixed kernel (WGSL; for WebNN, JavaScript) timed in the same session: the machine's thermometer",
    ),
    Metric(
        "weight_bytes",
        "metrics",
        "B",
        "lower",
        "Bytes of weights the page uploads: codes, scales, zero points, vectors",
        True,
    ),
    Metric("weight_bytes_fp16", "metrics", "B", "none", "The same parameters at two bytes each", True),
    Metric("memory_reduction", "metrics", "", "higher", "1 - weight_bytes / weight_bytes_fp16"),
    Metric("sample_ticks", "metrics", "", "none", "Steps of the page's clock that the shortest sample spans"),
    Metric(
        "timer_ms",
        "metrics",
        "ms",
        "none",
        "Period of the browser's timer that the samples sit on: such a latency is the timer's, and nothing compares it",
    ),
    Metric(
        "kernel_rel_l2",
        "quality",
        "",
        "lower",
        "Relative L2 distance to the NumPy reference on the same quantized weights",
    ),
    Metric(
        "cosine_fp32", "quality", "", "higher", "Mean cosine of each output row to the unquantized model's"
    ),
    Metric("rel_l2_fp32", "quality", "", "lower", "Relative L2 distance to the unquantized model"),
    Metric("max_abs_fp32", "quality", "", "lower", "Largest absolute difference to the unquantized model"),
    Metric(
        "top1_agreement",
        "quality",
        "",
        "higher",
        "Share of rows whose largest output is the unquantized model's; classifiers only",
    ),
)

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
