"""Operators on several engines as a table: times of one, ratios to the peer, shares of the ceilings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from bench.models.operators import of
from bench.record import RunRecord
from bench.report import words

HEADINGS = (
    *("operator", "bits", "engine", "GPU µs", "ratio", "wall µs", "wall ratio"),
    *("of reading", "of f32 arithmetic", "rel L2", "outcome"),
)
# What a narrow terminal does without, the first of them first.
SPARE = ("of f32 arithmetic", "wall ratio", "rel L2", "outcome", "of reading", "wall µs")
RIGHT = HEADINGS[3:10]
PEER = "ort-web"


def ratios(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """How many times as long the peer takes, as the median over rounds of the ratios within each.

    The peer is the fastest of its variants, by GPU time. None where one side was not measured.
    """
    groups: dict[tuple[Any, ...], list[RunRecord]] = {}
    for one in records:
        groups.setdefault(_operator(one), []).append(one)
    found = []
    for members in groups.values():
        peer = fastest_peer(members)
        for one in members:
            found.append(
                {
                    "operator": one.requested.model,
                    "bits": one.requested.bits,
                    "variant": variant_of(one),
                    "outcome": one.outcome.value,
                    "gpu_ms": one.metrics.gpu_ms,
                    "wall_ms": one.metrics.latency_ms.median if one.metrics.latency_ms else None,
                    "gpu_ratio": ratio(peer, one, "gpu_ms"),
                    "wall_ratio": ratio(peer, one, "wall_ms"),
                    **(one.evidence.get("shares") or {} if one.metrics.latency_ms else {}),
                    "rel_l2": one.quality.kernel_rel_l2,
                }
            )
    return found


def fastest_peer(records: Sequence[RunRecord]) -> RunRecord | None:
    """The fastest of the peer's variants of one operator, by GPU time; None where none was measured."""
    peers = [one for one in records if one.requested.engine == PEER and _middle(one) is not None]
    return min(peers, key=lambda one: _middle(one) or 0.0, default=None)


def ratio(base: RunRecord | None, one: RunRecord, key: str) -> float | None:
    """How many times as long `base` takes: the median over rounds of the ratios within each.

    Args:
        base: a variant of the same operator, timed in the same rounds.
        one: the variant that is above 1 where it is faster.
        key: `gpu_ms` or `wall_ms`.

    Returns:
        None where one side was not measured, or where both are the same.
    """
    if base is None or base is one or one.metrics.latency_ms is None:
        return None
    sides = [(each.evidence.get("rounds") or {}).get(key) or [] for each in (base, one)]
    found = [a / b for a, b in zip(*sides, strict=False) if a is not None and b]
    return median(found) if found else None


def rows(records: Sequence[RunRecord]) -> list[list[str]]:
    """The table's texts, under `HEADINGS`."""
    return [
        [
            one["operator"],
            str(one["bits"]) if _has_bits(one["operator"]) else "",
            one["variant"],
            micro(one["gpu_ms"]),
            times(one["gpu_ratio"]),
            micro(one["wall_ms"]),
            times(one["wall_ratio"]),
            words.percent(one.get("bandwidth")),
            words.percent(one.get("arithmetic")),
            words.number(one["rel_l2"], 2),
            one["outcome"],
        ]
        for one in ratios(records)
    ]


def variant_of(record: RunRecord) -> str:
    """`native {"ROWS": 4}`, `ort-web level 4`."""
    variant = record.evidence.get("variant") or {}
    more = [json.dumps(variant["tuning"])] if variant.get("tuning") else []
    more += [f"level {variant['level']}"] if variant.get("level") else []
    return " ".join([record.requested.engine, *more])


def reasons(records: Iterable[RunRecord]) -> list[str]:
    """Why something was not measured, or not as it was asked for; each once."""
    said = []
    for one in records:
        why = one.error.message if one.error else one.fallback_reason
        if why:
            said.append(f"{one.requested.model} {one.requested.bits}-bit {variant_of(one)}: {why}")
    return [words.visible(one) for one in dict.fromkeys(said)]


def _operator(record: RunRecord) -> tuple[Any, ...]:
    asked = record.requested
    return asked.model, asked.bits, asked.group_size, asked.scheme


def _has_bits(name: str) -> bool:
    return of(name).packed


def _middle(record: RunRecord) -> float | None:
    if record.metrics.gpu_ms is not None:
        return record.metrics.gpu_ms
    return record.metrics.latency_ms.median if record.metrics.latency_ms else None


def micro(milliseconds: float | None) -> str:
    """Milliseconds as microseconds: `8.22`."""
    return "" if milliseconds is None else words.number(1000 * milliseconds)


def times(factor: float | None) -> str:
    """A ratio as `2.14x`."""
    return "" if factor is None else f"{words.number(factor)}x"
