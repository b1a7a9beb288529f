"""What is found out about a large file by reading all of it, kept for the next process.

A digest of 16 GB takes half a minute, and every `bench` would take it again. What was found is true for as
long as path, size and time of change are the same; it lies under the cache's `files/`, and may be removed at
any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.settings import cache_root

LEAST = 64 << 20  # bytes of a file that is worth it; smaller ones are read again in no time

_here: dict[tuple[str, str, int, int], Any] = {}


def remembered(path: Path, what: str, find: Callable[[], Any]) -> Any:
    """What `find` gave for a file as it is now, of JSON types; asked again where the file has changed.

    Args:
        path: the file.
        what: a name for what is found.
        find: reads the file.

    Raises:
        OSError: there is no such file.
    """
    stat = path.stat()
    key = (what, str(path.resolve()), stat.st_mtime_ns, stat.st_size)
    if key not in _here:
        _here[key] = find() if stat.st_size < LEAST else _on_disk(key, find)
    return _here[key]


def _on_disk(key: tuple[str, str, int, int], find: Callable[[], Any]) -> Any:
    what, path, mtime_ns, size = key
    told = {"path": path, "mtime_ns": mtime_ns, "size": size}
    place = cache_root() / "files" / f"{hashlib.sha256(path.encode()).hexdigest()[:32]}-{what}.json"
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
        if {name: kept[name] for name in told} == told:
            return kept["found"]
    except (OSError, ValueError, LookupError, TypeError):
        pass  # never found out, or not in a form that is known
    found = find()
    _keep(place, {**told, "found": found})
    return found


def _keep(place: Path, told: dict[str, Any]) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", dir=place.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(told, stream)
        Path(name).replace(place)
    except OSError:
        return  # a cache that cannot be written costs the time once more, and nothing else
