"""The one registry of what is measured: it feeds the database, the printers, the charts and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
        of: the JSON object that holds it within its section, or "".
        speed: whether only a run that was measured has it.
    """

    name: str
    section: Section
    unit: str
    direction: Direction
    meaning: str
    integer: bool = False
    of: str = ""
    speed: bool = False

    @property
    def key(self) -> str:
        """Its name within the JSON object that holds it."""
        return self.name.removeprefix(f"{self.of}_") if self.of else self.name


def _latency(of: str, what: str) -> tuple[Metric, ...]:
    """The nine numbers of a time."""

    def one(stat: str, meaning: str, direction: Direction = "lower", unit: str = "ms") -> Metric:
        name, whole = f"{of}_{stat}", stat == "n"
        return Metric(name, "metrics", unit, direction, meaning, integer=whole, of=of, speed=True)

    return (
        one("median", f"Median wall time of {what}, from submit to done"),
        one("mean", f"Mean wall time of {what}"),
        one("p50", f"50th percentile of the wall time of {what}"),
        one("p90", f"90th percentile of the wall time of {what}"),
        one("p99", f"99th percentile of the wall time of {what}"),
        one("std", "Standard deviation of the samples", "none"),
        one("ci95_low", "Lower end of the 95 % interval of the median within this session", "none"),
        one("ci95_high", "Upper end of the 95 % interval of the median within this session", "none"),
        one("n", "Number of measured samples", "none", ""),
    )


METRICS: tuple[Metric, ...] = (
    *_latency("latency_ms", "one inference"),
    Metric(
        "throughput_per_s",
        "metrics",
        "1/s",
        "higher",
        "Sequences per second: batch over median latency",
        speed=True,
    ),
    Metric(
        "first_inference_ms",
        "metrics",
        "ms",
        "lower",
        "The first inference after building, cold",
        speed=True,
    ),
    Metric(
        "load_ms",
        "metrics",
        "ms",
        "lower",
        "Fetching graph and weights (the first 64 MiB of them) from the loopback server",
    ),
    Metric(
        "build_ms",
        "metrics",
        "ms",
        "lower",
        "Making buffers and uploads (WebGPU) or the graph (WebNN), with the rest of large weights",
    ),
    Metric(
        "compile_ms",
        "metrics",
        "ms",
        "lower",
        "Creating the pipelines (WebGPU) or MLGraphBuilder.build (WebNN)",
    ),
    Metric(
        "gpu_ms",
        "metrics",
        "ms",
        "lower",
        "Median GPU time of one inference by timestamp queries",
        speed=True,
    ),
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
    *_latency("decode_ms", "one token after the prompt"),
    Metric(
        "decode_tokens_per_s",
        "metrics",
        "1/s",
        "higher",
        "Tokens per second after the prompt, of all sequences of the batch",
        speed=True,
    ),
    Metric(
        "prefill_tokens_per_s",
        "metrics",
        "1/s",
        "higher",
        "Tokens of the prompt per second, of all sequences of the batch",
        speed=True,
    ),
    Metric(
        "renderer_memory_mb",
        "metrics",
        "MB",
        "lower",
        "Peak memory of the page's process over the session: resident, the browser's code in it; what a "
        "graphics card holds is not",
    ),
    Metric(
        "gpu_process_memory_mb",
        "metrics",
        "MB",
        "lower",
        "Peak memory of the browser's GPU process over the session: resident; what a graphics card holds is "
        "not in it; blank where the browser has no such process",
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
    Metric(
        "greedy_agreement",
        "quality",
        "",
        "higher",
        "Share of the tokens that the model writes by itself which the unquantized model writes too",
    ),
)

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
LATENCY, DECODE = "latency_ms_median", "decode_ms_median"
# What two sides may be compared by, and an arm followed by: times, rates, and the share of equal tokens.
COMPARED: tuple[str, ...] = tuple(
    metric.name
    for metric in METRICS
    if (metric.unit == "ms" and metric.direction == "lower")
    or metric.unit == "1/s"
    or metric.name == "greedy_agreement"
)


def cost(name: str, value: float) -> float:
    """A value so that less is better: a rate or a share by its reciprocal, which is a time for a rate.

    It is its own inverse: the cost of a cost is the value.
    """
    return value if BY_NAME[name].direction == "lower" else 1 / value


def flattened(metrics: Mapping[str, Any], quality: Mapping[str, Any]) -> dict[str, Any]:
    """The registry's columns from the JSON of a record; None where it has no such number."""
    sections = {"metrics": metrics, "quality": quality}
    flat = {}
    for metric in METRICS:
        held = sections[metric.section]
        flat[metric.name] = ((held.get(metric.of) or {}) if metric.of else held).get(metric.key)
    return flat


def nested(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON of `metrics` and `quality` from the registry's columns; a time without a median is None."""
    sections: dict[str, dict[str, Any]] = {"metrics": {}, "quality": {}}
    for metric in METRICS:
        held = sections[metric.section]
        if metric.of:
            held = held.setdefault(metric.of, {})
        held[metric.key] = row[metric.name]
    for name in {metric.of for metric in METRICS if metric.of}:
        if sections["metrics"][name]["median"] is None:
            sections["metrics"][name] = None
    return sections["metrics"], sections["quality"]
