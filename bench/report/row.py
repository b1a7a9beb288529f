"""The rows that reports read, with a type for each column that code names: mypy finds a name that is none.

A column that no code names is not here. A test holds the names and types to the view `run_summary`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, cast


class Row(TypedDict):
    """A row of `run_summary`, or of a planned cell that never ran; as far as its columns were asked for."""

    id: int
    campaign: str
    campaign_id: int
    cell_id: int
    block: int
    position: int
    attempt: int
    role: str
    outcome: str
    fallback_reason: str | None
    requested_platform: str
    requested_browser: str
    requested_model: str
    requested_bits: int
    requested_mixed_precision: bool
    requested_experimental_precision: bool
    requested_batch_size: int
    requested_sequence_length: int
    requested_generate: int | None
    requested_weights: str | None
    effective_platform: str | None
    effective_bits: int | None
    effective_bits_mean: float | None
    effective_device: str | None
    effective_engine: str | None
    effective_engine_version: str | None
    effective_kernels: str | None
    effective_activations: str | None
    effective_wait: str | None
    browser: str
    browser_version: str | None
    browser_binary: str | None
    driver_version: str | None
    harness_version: str | None
    adapter: str | None
    adapter_is_fallback: bool | None
    os: str | None
    cpu: str | None
    host_gpus: str | None
    cross_origin_isolated: bool | None
    timer_resolution_us: float | None
    model: str
    model_family: str | None
    model_weights: str | None
    model_sha256: str | None
    latency_ms_median: float | None
    latency_ms_ci95_low: float | None
    latency_ms_ci95_high: float | None
    latency_ms_n: int | None
    decode_ms_median: float | None
    decode_ms_ci95_low: float | None
    decode_ms_ci95_high: float | None
    decode_ms_n: int | None
    decode_tokens_per_s: float | None
    prefill_tokens_per_s: float | None
    gpu_ms: float | None
    weight_bytes: int | None
    weight_bytes_fp16: int | None
    memory_reduction: float | None
    sample_ticks: float | None
    timer_ms: float | None
    renderer_memory_mb: float | None
    gpu_process_memory_mb: float | None
    greedy_agreement: float | None
    kernel_rel_l2: float | None
    cosine_fp32: float | None
    rel_l2_fp32: float | None
    error_stage: str | None
    error_name: str | None
    error_message: str | None
    error_operator: str | None
    started_at: str


class Arm(Row):
    """An arm of a board: it reads like a row of its sessions' middle, and says how far they spread.

    `runs`, `cells` and `campaigns` name what it is made of; `sessions` counts it; `timed` counts the sessions
    whose samples sit on a browser's timer.
    """

    runs: list[int]
    cells: list[int]
    campaigns: list[str]
    sessions: int
    timed: int
    kernels: str | None
    n_low: int | None
    n_high: int | None
    cosine_fp32_low: float | None
    cosine_fp32_high: float | None
    rel_l2_fp32_low: float | None
    rel_l2_fp32_high: float | None


def rows_of(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows as the store gives them, by their type."""
    return cast(list[Row], list(rows))


def value_at(row: Mapping[str, object], column: str) -> Any:
    """The value of a column that is named by a variable, of which types know nothing."""
    return row[column]


def median_ms(row: Row) -> float:
    """The latency of what has one: an arm that was `measured`."""
    return _there(row, "latency_ms_median", row["latency_ms_median"])


def decode_ms(row: Row) -> float:
    """Milliseconds of one token after the prompt, of what has them."""
    return _there(row, "decode_ms_median", row["decode_ms_median"])


def tokens_per_s(row: Row) -> float:
    """Tokens per second after the prompt, of what has them."""
    return _there(row, "decode_tokens_per_s", row["decode_tokens_per_s"])


def writes(row: Row) -> bool:
    """Whether it asks a language model for text: tokens per second count then, latency is the prompt's."""
    return row["requested_generate"] is not None


def time_ms(row: Row) -> float:
    """What an arm is ranked by: of a language model the time of a token, of all else that of an inference."""
    return decode_ms(row) if writes(row) and row["decode_ms_median"] is not None else median_ms(row)


def weight_bytes(row: Row) -> float:
    """The bytes of weights of what got so far as to load them."""
    return _there(row, "weight_bytes", row["weight_bytes"])


def cosine(row: Row) -> float:
    """The cosine to the unquantized model of what has one."""
    return _there(row, "cosine_fp32", row["cosine_fp32"])


def _there(row: Row, column: str, value: float | None) -> float:
    """A value that whoever chose the row has seen to; a blank one would be drawn as nothing."""
    if value is None:
        raise ValueError(f"run {row['id']} has no {column}")
    return value
