"""What `bench doctor` looks at beside the browsers: GPU nodes, tools, cache, database."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import StoreError
from bench.harness.environment import harness_version, host_cpu, host_os
from bench.settings import cache_root
from bench.store import check
from bench.store.address import parse_url, shown, sqlite_path


@dataclass
class Machine:
    """The host, and what is wrong with it.

    Attributes:
        harness: this program's version.
        os: in a few words.
        cpu: its name and the threads that may be used.
        gpu_nodes: device nodes that say a GPU is there, for example /dev/nvidia0.
        node: whether Node.js and npm are there; only `bench browsers install chrome` needs them.
        cache: where browsers, weights and bundles are kept.
        cache_writable: whether it can be written.
        cache_free_gib: space left there.
        database: its URL, without a password.
        database_state: one line: schema and rows, or what is wrong.
        remedies: what to do, one line each.
    """

    harness: str = field(default_factory=harness_version)
    os: str = ""
    cpu: str = ""
    gpu_nodes: list[str] = field(default_factory=list)
    node: bool = False
    cache: str = ""
    cache_writable: bool = False
    cache_free_gib: float | None = None
    database: str = ""
    database_state: str = ""
    remedies: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def look(db: str | None = None) -> Machine:
    """Look at the host; what is broken becomes a remedy, never an exception."""
    found = Machine(os=host_os(), cpu=host_cpu(), gpu_nodes=gpu_nodes())
    found.node = bool(shutil.which("node") and shutil.which("npm"))
    if not found.node:
        found.remedies.append(
            "Node.js and npm are not here: `bench browsers install chrome` needs them for the Chromium with "
            "WebNN; type `apt-get install nodejs npm`"
        )
    _look_at_cache(found)
    _look_at_database(found, db)
    return found


def gpu_nodes() -> list[str]:
    """Device nodes of GPUs; empty where there is none, or none is let in."""
    patterns = (("nvidia[0-9]*", "/dev"), ("renderD*", "/dev/dri"), ("kfd", "/dev"), ("dxg", "/dev"))
    return sorted(str(path) for pattern, folder in patterns for path in Path(folder).glob(pattern))


def _look_at_cache(found: Machine) -> None:
    root = cache_root()
    found.cache = str(root)
    nearest = next(path for path in (root, *root.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            found.cache_writable = True
        found.cache_free_gib = round(shutil.disk_usage(nearest).free / 2**30, 1)
    except OSError as error:
        found.remedies.append(
            f"the cache {root} cannot be written ({error.strerror or error}): "
            "set BENCH_CACHE to a folder that can"
        )
        return
    if found.cache_free_gib < 2:
        found.remedies.append(
            f"{found.cache_free_gib} GiB are free at {nearest}: browsers, weights and bundles want 2; "
            "set BENCH_CACHE to a larger disk"
        )


def _look_at_database(found: Machine, db: str | None) -> None:
    try:
        url = parse_url(db)
        found.database = shown(url)
        path = sqlite_path(url)
        if path is not None and not path.exists():
            nearest = next(p for p in path.absolute().parents if p.exists())
            if nearest.is_dir() and os.access(nearest, os.W_OK):
                found.database_state = "none yet: the first `bench run` makes it"
            else:
                found.database_state = f"cannot be made: {nearest} cannot be written"
                found.remedies.append(f"{found.database_state}; name another with --db or BENCH_DB")
            return
        report = check(db)
    except StoreError as error:
        found.database_state = str(error)
        found.remedies.append(str(error))
        return
    runs = report.counts.get("runs", 0)
    current = "current" if report.revision == report.head else f"this program's is {report.head}"
    found.database_state = f"schema {report.revision} ({current}), {runs:,} runs"
    found.remedies += [f"database: {problem}" for problem in report.problems]
