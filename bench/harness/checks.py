"""What is looked at before a campaign begins: whatever would spoil its numbers or stop it half-way."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil

from bench.browsers.process import MARK as SESSION_MARK
from bench.errors import InputError
from bench.plan.campaign import Checks

_GIB = 2**30
_LOAD = 0.5
_BROWSERS = (
    "chrome",
    "chromium",
    "headless_shell",
    "firefox",
    "firefox-esr",
    "msedge",
    "safari",
    "minibrowser",
)


def look(checks: Checks, database: Path | None) -> list[str]:
    """Look at the machine; the warnings.

    Args:
        checks: what to do about each finding.
        database: the SQLite file that will be written; None for a server.

    Raises:
        InputError: a finding that the campaign refuses to run with.
    """
    warnings = []
    for name, words in _findings(checks, database):
        level = getattr(checks, name)
        if level == "refuse":
            raise InputError(
                f'{words}; checks.{name} = "refuse" in the campaign file forbids to run with that'
            )
        if level == "warn":
            warnings.append(f"warning: {words}")
    return warnings


def _findings(checks: Checks, database: Path | None) -> Iterable[tuple[str, str]]:
    """Name of the check -> what was found; nothing for what is ignored."""
    places = [Path(tempfile.gettempdir())]
    if database is not None:
        places.append(next(path for path in database.absolute().parents if path.exists()))
    for place in places:
        free = shutil.disk_usage(place).free
        if free < _GIB:
            yield "disk", f"{free / _GIB:.2f} GiB are free at {place}, less than 1"
    available = psutil.virtual_memory().available
    if available < _GIB:
        yield "memory", f"{available / _GIB:.2f} GiB of memory are available, less than 1"
    load, processors = psutil.getloadavg()[0], os.cpu_count() or 1
    if load > _LOAD * processors:
        yield "load", f"the load of this machine is {load:.1f} on {processors} processors: others are at work"
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is not None and not battery.power_plugged:
        yield "battery", "the machine runs on its battery, which lets processors run slower"
    if checks.browsers != "ignore" and (found := _browsers()):
        yield "browsers", f"other browsers run: {', '.join(found[:5])}"


def _browsers() -> list[str]:
    """Browsers of others, `name (pid)`, one for each family of processes."""
    found = []
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            name = (process.info["name"] or "").lower().removesuffix(".exe")
            parent = process.parent()
            first = parent is None or parent.name() != process.name()
            if name in _BROWSERS and first and SESSION_MARK not in process.environ():
                found.append(f"{name} ({process.pid})")
    return found
