"""What an export is: a folder with a manifest and one file a table.

A row names others by what they mean everywhere: a campaign and a run by UUID, a cell by its campaign and
position, an environment and a model by hash. Local numbers stay at home.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import InputError, StoreError
from bench.metrics import METRICS
from bench.store import revision
from bench.store.address import one_line
from bench.store.schema import (
    CampaignRow,
    CellRow,
    EnvironmentRow,
    ForeignRow,
    ModelRow,
    RunRow,
    TuningRow,
)
from bench.store.writing import NO_LEASE

FORMAT: Final = "webquant-bench export"
VERSION = 1
MANIFEST = "manifest.json"
Kind = Literal["text", "whole", "real", "flag", "object", "list", "texts", "wholes", "reals"]


class Encoding(StrEnum):
    """How the rows are written; also the ending of the files."""

    JSONL = "jsonl"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Column:
    """One column of a file.

    Attributes:
        name: as in the database, but for keys.
        kind: of its values; `texts`, `wholes` and `reals` are lists.
        optional: whether it may be blank.
        bits: of a whole number.
    """

    name: str
    kind: Kind
    optional: bool = False
    bits: int = 64


@dataclass(frozen=True)
class Layout:
    """One file of an export: its name without the ending, and its columns in order."""

    name: str
    columns: tuple[Column, ...]


def _column(item: sa.Column[Any]) -> Column:
    kinds: tuple[tuple[type, Kind], ...] = (
        (sa.Boolean, "flag"),
        (sa.Integer, "whole"),
        (sa.Double, "real"),
        (sa.Text, "text"),
    )
    kind = next((kind for one, kind in kinds if isinstance(item.type, one)), None)
    if kind is None:
        kind = "list" if item.name == "samples" else "object"
    narrow = isinstance(item.type, sa.Integer) and not isinstance(item.type, sa.BigInteger)
    return Column(item.name, kind, bool(item.nullable), 32 if narrow else 64)


def _layout(table: Any, keys: Iterable[Column], without: Iterable[str]) -> Layout:
    left = {"id", *without}
    columns = [_column(item) for item in table.__table__.c if item.name not in left]
    return Layout(table.__tablename__, (*keys, *columns))


_CAMPAIGN, _POSITION = Column("campaign", "text"), Column("position", "whole", bits=32)
CAMPAIGNS = _layout(CampaignRow, (), ())
CELLS = _layout(CellRow, (_CAMPAIGN,), ("campaign_id", *NO_LEASE))
ENVIRONMENTS = _layout(EnvironmentRow, (), ())
MODELS = _layout(ModelRow, (), ())
RUNS = _layout(
    RunRow,
    (_CAMPAIGN, _POSITION, Column("environment", "text"), Column("model", "text")),
    ("cell_id", "environment_id", "model_id"),
)
# A line a run: ten million lines of one number each would be mostly names.
SAMPLES = Layout(
    "samples",
    (
        Column("run", "text"),
        Column("phase", "texts"),
        Column("kind", "texts"),
        Column("position", "wholes", bits=32),
        Column("batch", "wholes", bits=32),
        Column("value_ms", "reals"),
    ),
)
FOREIGN = _layout(ForeignRow, (_CAMPAIGN,), ("campaign_id",))
TUNINGS = _layout(TuningRow, (), ())
# Each after those that it names.
LAYOUTS = (ENVIRONMENTS, MODELS, CAMPAIGNS, CELLS, RUNS, SAMPLES, FOREIGN, TUNINGS)


# What each revision added to the files: an export of an older one lacks that, and it comes in blank.
_ADDED: dict[str, dict[str, frozenset[str]]] = {
    "0004": {
        "runs": frozenset(
            (
                *("effective_engine_version", "effective_features", "effective_kernels", "effective_wait"),
                *("effective_completion_ms", "sample_ticks", "timer_ms"),
            )
        ),
        "environments": frozenset(("host_gpus",)),
    },
    "0005": {
        "runs": frozenset(
            (
                *(metric.name for metric in METRICS if metric.of == "decode_ms"),
                *("decode_tokens_per_s", "prefill_tokens_per_s", "greedy_agreement", "phase_metrics"),
            )
        ),
        "samples": frozenset(("kind",)),
    },
    "0006": {
        "cells": frozenset(("requested_generate",)),
        "runs": frozenset(("renderer_memory_mb", "gpu_process_memory_mb")),
    },
    "0007": {"cells": frozenset(("requested_gpu_features",))},
    "0008": {"cells": frozenset(("requested_webnn_plan",))},
}
_OLDEST = "0003"  # the first that exports were made of
_NEW_FILES = {TUNINGS.name: "0009"}  # what came with a revision, and is in no export of before


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Part):
    """One file of an export."""

    rows: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(_Part):
    """`manifest.json`: what the folder holds, and how to know that it still does."""

    format: Literal["webquant-bench export"]
    version: int
    schema_revision: str
    tool_version: str
    encoding: Encoding
    campaign: str | None
    where: str | None
    samples: Annotated[int, Field(ge=0)]
    files: dict[str, Entry]

    def text(self) -> str:
        """As it stands in the file."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Export:
    """A folder whose files were found to be those of its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def older(self) -> bool:
        """Whether it lacks columns that this program has."""
        return self.manifest.schema_revision != revision.head()

    def lacks(self, layout: Layout) -> frozenset[str]:
        """The columns of one table that came after its schema."""
        later = (more for number, more in _ADDED.items() if number > self.manifest.schema_revision)
        return frozenset().union(*(more.get(layout.name, frozenset()) for more in later))

    def has(self, layout: Layout) -> bool:
        """Whether its schema has that table."""
        return self.manifest.schema_revision >= _NEW_FILES.get(layout.name, _OLDEST)

    def path(self, layout: Layout) -> Path:
        """Where the rows of one table are."""
        return self.folder / file_name(layout, self.manifest.encoding)


def file_name(layout: Layout, encoding: Encoding) -> str:
    """The name of a table's file."""
    return f"{layout.name}.{encoding.value}"


def refused(place: str, why: str) -> StoreError:
    """What to say of a row or file that cannot be taken in; the database is as it was."""
    return StoreError(f"{place}: {one_line(why)}; nothing was imported")


def open_export(folder: Path) -> Export:
    """Read the manifest and hold every file to it.

    Raises:
        InputError: it is not an export, of another version, or a file is missing, torn or changed.
    """
    path = folder / MANIFEST
    try:
        manifest = _manifest(path, json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise refused(str(path), f"this is no manifest of an export ({error}): export again") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    export = Export(folder, manifest)
    for layout in filter(export.has, LAYOUTS):
        path = export.path(layout)
        entry = manifest.files.get(path.name)
        if entry is None:
            raise refused(str(folder / MANIFEST), f"it does not name {path.name}: export again")
        _hold(path, entry, manifest.encoding)
    return export


def _manifest(path: Path, data: Any) -> Manifest:
    """The version is looked at before the rest: another version may have other fields."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise refused(
            str(path), "this is no manifest of an export: name a folder that `bench db export` made"
        )
    if data.get("version") != VERSION:
        raise refused(
            str(path),
            f"format version {data.get('version')!r}, this program reads {VERSION}: update webquant-bench",
        )
    made = data.get("schema_revision")
    if not isinstance(made, str) or not _OLDEST <= made <= revision.head():
        raise refused(
            str(path),
            f"schema {made!r}, this program has {revision.head()!r} and reads from {_OLDEST!r} on: update "
            "the older of the two programs, then export again",
        )
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise refused(str(path), f"{where}: {first['msg']}; export again") from None


def _hold(path: Path, entry: Entry, encoding: Encoding) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise refused(
            str(path), f"cannot be read ({error.strerror or error}): copy the whole folder"
        ) from None
    if found != entry.sha256:
        raise refused(_damage(path, entry, encoding), "it is not the file that was exported: copy it again")


def _damage(path: Path, entry: Entry, encoding: Encoding) -> str:
    """The place of the damage, as near as it can be told."""
    if encoding is not Encoding.JSONL:
        return str(path)
    number = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                if not line.endswith(b"\n"):
                    raise ValueError
                json.loads(line)
            except (ValueError, RecursionError):
                return f"{path}, line {number}"
    return f"{path}, line {number + 1} of {entry.rows}" if number < entry.rows else str(path)
