"""One number of another tool, in the words that tools share."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat

from bench.errors import InputError
from bench.store.address import one_line
from bench.store.writing import storable


class ForeignResult(BaseModel):
    """A measurement as its tool gave it; None where the tool does not say.

    `record` is the tool's own record. What `record` and the other fields say is what tells two results apart.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str
    tool_version: str | None = None
    host: str | None = None
    os: str | None = None
    cpu: str | None = None
    gpu: str | None = None
    browser: str | None = None
    browser_version: str | None = None
    backend: str | None = None
    model: str | None = None
    bits_mean: FiniteFloat | None = None  # bits of a weight, over all parameters of the model
    test: str
    metric: str
    unit: str | None = None
    direction: Literal["lower", "higher"] | None = None
    value: FiniteFloat | None
    n: int | None = None
    samples: list[FiniteFloat] | None = None
    record: dict[str, Any]
    started_at: str | None = None

    def row(self) -> dict[str, Any]:
        """As the database keeps it, with the SHA-256 of its canonical JSON."""
        values: dict[str, Any] = storable(self.model_dump(mode="json"))
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return {**values, "hash": hashlib.sha256(text.encode()).hexdigest()}


@dataclass(frozen=True)
class ForeignFile:
    """What was read of another tool's output.

    Attributes:
        tool: which.
        name: of the campaign it becomes, unless told otherwise.
        results: in the order of the file.
        left: what else was there and is not a number, each a sentence.
    """

    tool: str
    name: str
    results: list[ForeignResult]
    left: list[str] = field(default_factory=list)


def unreadable(place: object, why: object) -> InputError:
    """What to say of another tool's output that is not as that tool writes it."""
    return InputError(f"{place}: {one_line(why)}; nothing was imported")
