"""What a row of an export must be besides of the right kinds: what this program would write, and can read."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.harness.outcome import Category, Outcome, Stage
from bench.metrics import METRICS
from bench.plan.request import stored
from bench.plan.tuned import TunedKernel
from bench.record import TOLERANCE, Environment, ErrorInfo, Metrics, ModelInfo, Quality
from bench.store.exchange.encoding import Row, dumped
from bench.store.exchange.layout import Layout, refused
from bench.store.exchange.result import ForeignResult
from bench.store.reading import measured
from bench.store.schema import OWN, CampaignState, CellState
from bench.store.writing import storable

_STATES = frozenset(CampaignState) - {CampaignState.RUNNING}
_CELL_STATES = frozenset(CellState) - {CellState.LEASED}
_OUTCOMES, _STAGES, _CATEGORIES = frozenset(Outcome), frozenset(Stage), frozenset(Category)
_KINDS = frozenset(("warmup", "measure", "gpu", "suspended"))
_SPEEDS = [*(one.name for one in METRICS if one.speed), "phase_metrics"]


class _Parts(BaseModel):
    """What of a record stands in more than one column."""

    metrics: Metrics
    quality: Quality
    error: ErrorInfo | None
    phases_ms: dict[str, float]


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _moment(place: str, row: Row, name: str) -> None:
    try:
        if datetime.fromisoformat(row[name]).utcoffset() != timedelta(0):  # compared as text, by --since too
            raise ValueError
    except ValueError:
        raise refused(place, f"{name} {row[name]!r} is no time in UTC in ISO 8601") from None


def _one_of(place: str, row: Row, name: str, allowed: frozenset[Any]) -> None:
    if row[name] is not None and row[name] not in allowed:
        raise refused(place, f"{name} {row[name]!r} is not one of {', '.join(sorted(allowed))}")


def campaign(place: str, row: Row) -> None:
    """A name that can be, a state in which nobody works on it."""
    if not row["name"].strip() or storable(row["name"]) != row["name"]:
        raise refused(place, f"{row['name']!r} is not a name of a campaign")
    _moment(place, row, "created_at")
    _one_of(place, row, "state", _STATES)


def cell(place: str, row: Row) -> None:
    """An arm that this program can run, with the columns that say the same."""
    _one_of(place, row, "state", _CELL_STATES)
    try:
        arm = _arm(dumped(row["arm"]))
    except ValidationError as error:
        raise refused(place, f"arm {_first(error)}") from None
    for name, value in arm.items():
        if row[f"requested_{name}"] != value:
            raise refused(place, f"requested_{name} is {row[f'requested_{name}']!r}, its arm says {value!r}")


@lru_cache(maxsize=4096)
def _arm(text: str) -> dict[str, Any]:
    """Few arms, thousands of cells: each is validated once."""
    return stored(json.loads(text)).model_dump(mode="json")


def shared(place: str, layout: Layout, row: Row) -> None:
    """An environment or a model whose record is one."""
    try:
        (Environment if layout.name == "environments" else ModelInfo).model_validate(row["record"])
    except ValidationError as error:
        raise refused(place, f"record {_first(error)}") from None


def run(place: str, row: Row) -> None:
    """Words of the closed vocabularies, no speed for a wrong answer, and what `Store.run` can read back."""
    _moment(place, row, "started_at")
    _moment(place, row, "finished_at")
    _one_of(place, row, "outcome", _OUTCOMES)
    _one_of(place, row, "error_stage", _STAGES)
    _one_of(place, row, "error_category", _CATEGORIES)
    if not Outcome(row["outcome"]).measured:
        for name in _SPEEDS:
            if row[name] is not None:
                raise refused(
                    place, f"{name} is {row[name]!r}, but a run that is {row['outcome']!r} has no speed"
                )
    metrics, quality = measured(row)
    error = {name: row[f"error_{name}"] for name in ErrorInfo.model_fields}
    said = None if set(error.values()) == {None} else error
    try:
        _Parts.model_validate(
            {"metrics": metrics, "quality": quality, "error": said, "phases_ms": row["phases"]}
        )
    except ValidationError as found:
        raise refused(place, _first(found)) from None


def answer(place: str, row: Row, platform: str, bits: int) -> None:
    """Whether a run with a speed was held to the reference, and `ok` only where it ran as requested.

    Args:
        place: of the row.
        row: the run.
        platform, bits: what its cell asked for.
    """
    if not Outcome(row["outcome"]).measured:
        return
    variant = (row["evidence"] or {}).get("variant") or {}
    # Of an operator more rounding may have been asked for (`bench kernels --accuracy-level 4`).
    kind = "int8-static" if variant.get("level") else row["effective_activations"] or ""
    allowed = TOLERANCE.get(kind, max(TOLERANCE.values()))
    distance = row["kernel_rel_l2"]
    if distance is None or not 0 <= distance <= allowed:
        words = "was not held to the reference" if distance is None else f"is {distance:g} from the reference"
        raise refused(
            place, f"a run that is {row['outcome']!r} {words}; allowed: kernel_rel_l2 up to {allowed:g}"
        )
    # An operator without a matrix, such as attention, has nothing of which bits could be asked.
    blank = row["effective_bits"] is None and "operator" in (row["evidence"] or {})
    ran_bits = bits if blank else row["effective_bits"]
    if row["outcome"] == Outcome.OK and (row["effective_platform"], ran_bits) != (platform, bits):
        ran = f"{row['effective_platform']} at {row['effective_bits']} bits"
        raise refused(place, f"it is 'ok', but {platform} at {bits} bits was asked for and {ran} ran")


def samples(place: str, row: Row) -> None:
    """Lists of one length, of kinds that there are."""
    if len({len(row[name]) for name in ("phase", "kind", "position", "batch", "value_ms")}) != 1:
        raise refused(place, "its lists differ in length")
    if len(set(zip(row["kind"], row["position"], strict=True))) != len(row["position"]):
        raise refused(place, "a sample is there twice")
    if not _KINDS.issuperset(row["kind"]):
        raise refused(place, f"a kind of sample is not one of {', '.join(sorted(_KINDS))}")


def foreign(place: str, row: Row) -> None:
    """A result under the hash of what it says."""
    try:
        found = ForeignResult.model_validate({name: row[name] for name in ForeignResult.model_fields})
    except ValidationError as error:
        raise refused(place, _first(error)) from None
    if found.tool == OWN:
        raise refused(place, f"no other tool is named {OWN!r}")
    if found.row()["hash"] != row["hash"]:
        raise refused(place, f"hash {row['hash'][:16]} is not that of this result")


def tuning(place: str, row: Row) -> TunedKernel:
    """What was found for a kernel: constants that our kernels have, and times that can be."""
    _moment(place, row, "tuned_at")
    try:
        return TunedKernel.model_validate(row)
    except ValidationError as error:
        raise refused(place, _first(error)) from None
