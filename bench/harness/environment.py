"""Where a run ran: the host's facts, and a name for whatever adapter the browser gave."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bench import __version__

# Names by which software adapters go, in any field that a browser shows.
_SOFTWARE = ("swiftshader", "llvmpipe", "lavapipe", "softpipe", "microsoft basic render", "warp")


@cache
def harness_version() -> str:
    """This program's version, in a checkout with its commit: `0.1.0+g17f77ccab1`, `.dirty` where changed.

    A history names what changed where a level did, and that may be this program.
    """
    return f"{__version__}{commit_of(Path(__file__).resolve().parents[2])}"


def commit_of(root: Path) -> str:
    """`+g<commit>` of a checkout, `.dirty` where what runs there was changed; empty where there is none.

    Args:
        root: the folder above `bench`. That it lies in somebody else's checkout makes it none.
    """
    if not (root / ".git").exists():
        return ""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        changed = git("status", "--porcelain", "--", "bench", "migrations")
    except (OSError, subprocess.SubprocessError):  # no git here, or it does not trust this folder
        return ""
    return f"+g{commit}{'.dirty' if changed else ''}"


@cache
def host_os() -> str:
    """The operating system in a few words."""
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        name = f"{platform.system()} {platform.release()}"
    return f"{name} ({platform.machine()})"


@cache
def host_cpu() -> str:
    """The processor's name and how many of its threads this process may use."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name or 'unknown processor'} x {count}"


def describe_adapter(found: Mapping[str, Any], browser: str) -> dict[str, Any] | None:
    """The adapter as the record keeps it, or None where there was none.

    Args:
        found: the page's `webgpu` probe.
        browser: whose adapter it is, for one without a name.

    Returns:
        the probe with `name` and `is_fallback_adapter`; software is said in the name.
    """
    if not found.get("supported"):
        return None
    fields = ("description", "device", "vendor", "architecture")
    words = [str(found[key]) for key in fields if found.get(key)]
    text = " ".join(words).lower()
    renderer = str(found.get("webgl_renderer") or "")
    software = bool(found.get("is_fallback_adapter")) or any(name in text for name in _SOFTWARE)
    if "swiftshader" in text:
        name = "SwiftShader (software)"
    elif found.get("description"):
        name = str(found["description"])
    elif words:
        name = " ".join(words)
    elif software:
        name = f"software adapter that {browser} does not name"
    else:
        name = f"adapter that {browser} does not name" + (f" (WebGL: {renderer})" if renderer else "")
    if software and "software" not in name:
        name += " (software)"
    return {**found, "name": name, "is_fallback_adapter": software}


def driver_version(capabilities: Mapping[str, Any]) -> str | None:
    """The WebDriver's own version, where the session's capabilities name it."""
    found = (
        (capabilities.get("chrome") or {}).get("chromedriverVersion")
        or (capabilities.get("msedge") or {}).get("msedgedriverVersion")
        or capabilities.get("moz:geckodriverVersion")
    )
    return str(found).split(" ")[0] if found else None
