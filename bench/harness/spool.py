"""A finished run that its database would not take is kept in the cache until it does.

So is a copy of a whole database whose file somebody took away while it was written.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from pathlib import Path

from bench.errors import StoreGone
from bench.record import RunRecord, Sample
from bench.settings import cache_root
from bench.store import Campaign, Store
from bench.store.presence import copy


def _folder() -> Path:
    return cache_root() / "unsaved"


def keep(campaign: Campaign, cell_id: int, owner: str, record: RunRecord) -> Path | None:
    """Write a run into the cache; None where that cannot be done either."""
    message = {
        "campaign": campaign.uuid,
        "cell": cell_id,
        "owner": owner,
        "record": record.model_dump(mode="json"),
        "samples": [sample.model_dump() for sample in record.samples],
    }
    path = _folder() / f"{record.uuid}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(message, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        return None
    return path


def rescue(store: Store, campaign: Campaign, error: StoreGone) -> StoreGone:
    """Copy the open database, whose file is gone, into the cache; the error that says where it is."""
    path = _folder() / f"{campaign.uuid}.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        copy(store.engine, path)
    except OSError as problem:
        words = f"{error.then}; the campaign was stopped, and no copy could be kept: {problem}"
        return StoreGone(error.path, words)
    resume = f"bench campaign resume {shlex.quote(campaign.name)} --db {shlex.quote(f'sqlite:///{path}')}"
    words = f"{error.then}; the campaign was stopped, and all that it held is in {path}: {resume}"
    return StoreGone(error.path, words)


def bring_back(store: Store, campaign: Campaign) -> int:
    """Put the kept runs of this campaign into its database; how many there were.

    Raises:
        StoreError: it still takes none.
    """
    count = 0
    for path in sorted(_folder().glob("*.json")):
        try:
            message = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if message.get("campaign") != campaign.uuid:
            continue
        record = RunRecord.model_validate(message["record"])
        record.samples = [Sample(**sample) for sample in message["samples"]]
        store.record(message["cell"], record, owner=message["owner"])
        with contextlib.suppress(OSError):
            path.unlink()
        count += 1
    return count
