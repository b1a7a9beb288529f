"""Folders that are written whole or not at all, and removed when they were not used for long."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.settings import cache_root

MAX_BYTES = 8 << 30
_FRESH_SECONDS = 3600.0  # a folder used so recently may be another process's


def bundles_root(cache: Path | None) -> Path:
    """Where bundles lie under a cache; under `cache_root()` by default."""
    return (cache if cache is not None else cache_root()) / "bundles"


def cached(folder: Path, write: Callable[[Path], None]) -> Path:
    """`folder`, written by `write` unless it is there; its time of change says when it was last used."""
    try:
        os.utime(folder)
        return folder
    except FileNotFoundError:
        pass
    with _temporary(folder) as work:
        write(work)
        try:
            work.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same bytes
                raise
    return folder


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def prune(
    max_bytes: int = MAX_BYTES, cache: Path | None = None, fresh_seconds: float = _FRESH_SECONDS
) -> int:
    """Remove the least recently used bundles until `max_bytes` are left; how many bytes were removed.

    What was used within `fresh_seconds` stays, whatever its size: a page may be loading it.
    """
    root = bundles_root(cache)
    if not root.is_dir():
        return 0
    found = []
    for folder in root.iterdir():
        try:
            size = sum(file.stat().st_size for file in folder.iterdir())
            found.append((folder.stat().st_mtime, size, folder))
        except OSError:  # another process removes it just now
            continue
    total, removed = sum(size for _, size, _ in found), 0
    for used, size, folder in sorted(found):
        abandoned = folder.name.startswith(".")
        if time.time() - used < fresh_seconds or (total <= max_bytes and not abandoned):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        total, removed = total - size, removed + size
    return removed
