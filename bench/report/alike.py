"""Whether two sides of a comparison ran under the same conditions: what forbids it, and what is only said.

Takes rows of `run_summary`, gives words; it opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.harness.outcome import Outcome
from bench.report import words
from bench.report.row import Row, value_at

# What must be the same on both sides, and how it is called.
_ALIKE = {"model": "models", "model_sha256": "weights", "cpu": "processors"}
_SAME_STEP = 0.1  # clock steps are measured, so they jitter
_SPANNED = 99.0  # steps in a sample from which on the clock's own step no longer matters: 1 %
# What says what ran a row.
CODE = (
    *("effective_platform", "effective_engine", "effective_engine_version", "effective_kernels"),
    "harness_version",
)
NEEDED = (
    *_ALIKE,
    *("adapter", "adapter_is_fallback", "host_gpus", "timer_resolution_us", "sample_ticks"),
    *(*CODE, "effective_bits", "effective_activations"),
    *("outcome", "timer_ms", "effective_wait"),
)


def code(row: Row) -> str | None:
    """What ran a row, as far as it says: its kernels and engine; for older rows the harness with its commit.

    None where nothing ran.
    """
    if row["effective_platform"] is None:
        return None
    engine = row["effective_engine"]
    version = row["effective_engine_version"] if engine != "native" else None
    found = " ".join(filter(None, [version, row["effective_kernels"]]))
    return found or f"harness {row['harness_version'] or 'unknown'}"


def differences(usable: Sequence[Sequence[Row]], varied: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is not one and the same in all runs of both sides.

    Args:
        usable: the runs of each side that would be compared.
        varied: requested columns that tell the sides apart.

    Returns:
        what forbids a comparison, and what is said beside its verdict; each in words with the values.
    """
    rows = [row for side in usable for row in side]
    forbids = [
        f"{title} {_both(values, 12 if column == 'model_sha256' else 60)}"
        for column, title in _ALIKE.items()
        if len(values := _values(rows, column)) > 1
    ]
    said: list[str] = []
    adapters = _values(rows, "adapter")
    if len(adapters) > 1:
        one = _only_gpu(rows)
        if one is None:
            forbids.append(f"adapters {_both(adapters, 60)}")
        else:
            said.append(
                f"adapters {_both(adapters, 60)}: one GPU, for this host has no other than {one} and neither "
                "is software"
            )
    forbids += _clock_steps(rows)
    activations = _activations(rows)
    if activations:
        (said if "requested_browser" in varied else forbids).append(activations)
    waits = _values([row for row in rows if row["effective_platform"] == "webgpu"], "effective_wait")
    if len(waits) > 1:
        said.append("waits eager and plain: what waited plainly holds the time until its browser noticed")
    ran = {
        (row["effective_platform"], row["effective_bits"])
        for row in rows
        if row["outcome"] == Outcome.FALLBACK
    }
    forbids += [f"fallbacks to {platform} {bits}-bit" for platform, bits in sorted(ran, key=str)]
    return forbids, said


def _values(rows: Sequence[Row], column: str) -> list[Any]:
    return list(dict.fromkeys(value_at(row, column) for row in rows if value_at(row, column) is not None))


def _both(values: Sequence[Any], most: int) -> str:
    return " and ".join(words.visible(value)[:most] for value in values[:3])


def _only_gpu(rows: Sequence[Row]) -> str | None:
    """The one hardware GPU on which all of these must have run; None where that cannot be told.

    Firefox names no adapter. Where the host's own system names exactly one GPU, and the adapter is no
    software, it can be nothing else.
    """
    gpus = {row["host_gpus"] for row in rows}
    if len(gpus) != 1 or any(row["adapter_is_fallback"] in (None, True, 1) for row in rows):
        return None
    (one,) = gpus
    return str(one) if one and ";" not in one else None


def _clock_steps(rows: Sequence[Row]) -> list[str]:
    """Steps that differ forbid nothing where every sample spans a hundred of its own."""
    known = [row["timer_resolution_us"] for row in rows if row["timer_resolution_us"] is not None]
    if not known or max(known) <= min(known) * (1 + _SAME_STEP):
        return []
    if all(row["sample_ticks"] is not None and row["sample_ticks"] >= _SPANNED for row in rows):
        return []
    few = min((row["sample_ticks"] for row in rows if row["sample_ticks"] is not None), default=None)
    span = "" if few is None else f", with samples of only {words.number(few)} steps"
    return [f"clock steps {words.number(min(known))} and {words.number(max(known))} µs{span}"]


def _activations(rows: Sequence[Row]) -> str:
    """Between platforms they are each one's own."""
    kinds = {(row["effective_platform"], row["effective_activations"]) for row in rows}
    if len({platform for platform, _ in kinds}) > 1 or len(kinds) == 1:
        return ""
    return f"activations {' and '.join(sorted(str(kind) for _, kind in kinds))}"


def adapters_differ(base: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> list[str]:
    """Features and limits in which two browsers' adapters are not the same, in words.

    Args:
        base, other: `environment.adapter` of a run of each side.
    """
    if not base or not other:
        return []
    first, second = set(base.get("features") or ()), set(other.get("features") or ())
    found = [
        f"features of {name} alone: {', '.join(sorted(own))}"
        for name, own in (("BASE", first - second), ("OTHER", second - first))
        if own
    ]
    limits = [one.get("limits") or {} for one in (base, other)]
    differ = [
        f"{name} {limits[0][name]:g} and {limits[1][name]:g}"
        for name in sorted(limits[0].keys() & limits[1].keys())
        if limits[0][name] != limits[1][name]
    ]
    if differ:
        more = f", and {len(differ) - 3} more" if len(differ) > 3 else ""
        found.append(f"limits: {', '.join(differ[:3])}{more}")
    return found
