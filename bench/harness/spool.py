"""A finished run that its database would not take is kept in the cache until it does."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from bench.record import RunRecord, Sample
from bench.settings import cache_root
from bench.store import Campaign, Store


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
