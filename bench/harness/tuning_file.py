"""Constants that were found for kernels, as a file that another machine of the same kind takes in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.errors import InputError
from bench.plan.tuned import TunedKernel

FORMAT = "webquant-bench tuning"
_VERSION = 1
_MOST_BYTES = 64 * 2**20


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["webquant-bench tuning"]
    version: Literal[1]
    tuned: tuple[TunedKernel, ...]


def as_text(found: Sequence[TunedKernel]) -> str:
    """The text of a file."""
    told = {"format": FORMAT, "version": _VERSION, "tuned": [one.model_dump() for one in found]}
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def read_tuning_file(path: Path) -> tuple[TunedKernel, ...]:
    """What a file holds.

    Raises:
        InputError: it cannot be read, or is no such file, or holds what cannot be.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(
                f"{path}: {path.stat().st_size} bytes are too many for a file of bench tune --export"
            )
        data: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"{path} cannot be read: {words}; name a file that bench tune --export wrote"
        ) from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path} holds no constants: name a file that bench tune --export wrote")
    if data.get("version") != _VERSION:
        raise InputError(
            f"{path}: format version {data.get('version')!r}, this program reads {_VERSION}: update "
            "webquant-bench"
        )
    try:
        found = _File.model_validate(data).tuned
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}; export it again") from None
    if not found:
        raise InputError(f"{path} holds no kernel: export it again")
    return found
