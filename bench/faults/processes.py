"""Faults that strike a process of the session, and nothing but the session's own, at a stage."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

import psutil
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.remote.webdriver import WebDriver

from bench.browsers import SessionSpace
from bench.harness.injection import Injection
from bench.harness.outcome import Stage

Which = Callable[[list[psutil.Process], WebDriver], list[psutil.Process]]


def driver(found: list[psutil.Process], session: WebDriver) -> list[psutil.Process]:
    """The WebDriver server."""
    process = getattr(getattr(session, "service", None), "process", None)
    return [one for one in found if process is not None and one.pid == process.pid]


def browser(found: list[psutil.Process], session: WebDriver) -> list[psutil.Process]:
    """The browser's main process: the driver's child."""
    above = {one.pid for one in driver(found, session)}
    return [one for one in found if one.ppid() in above and not _kind(one)]


def renderer(found: list[psutil.Process], session: WebDriver) -> list[psutil.Process]:
    """Chromium's renderers, or Firefox's content processes."""
    return [one for one in found if _kind(one) in ("renderer", "tab")]


def gpu(found: list[psutil.Process], session: WebDriver) -> list[psutil.Process]:
    """Chromium's GPU process."""
    return [one for one in found if _kind(one) == "gpu-process"]


class Strike(Injection):
    """Send a signal to some of the session's processes when the page enters a stage."""

    def __init__(self, which: Which, number: signal.Signals, stage: Stage) -> None:
        self._which, self._number, self._stage = which, number, stage

    def stage(self, stage: Stage, driver: WebDriver, space: SessionSpace) -> None:
        """Strike, once."""
        if stage is not self._stage:
            return
        targets = self._which(space.processes(), driver)
        if not targets:
            raise RuntimeError(f"no {self._which.__name__} process to strike")
        for one in targets:
            with contextlib.suppress(psutil.Error):
                one.send_signal(self._number)


class Command(Injection):
    """Do something to the session through its driver when the page enters a stage."""

    def __init__(self, do: Callable[[WebDriver], object], stage: Stage) -> None:
        self._do, self._stage = do, stage

    def stage(self, stage: Stage, driver: WebDriver, space: SessionSpace) -> None:
        """Do it, once; what the driver says to it is its own affair."""
        if stage is self._stage:
            with contextlib.suppress(WebDriverException):
                self._do(driver)


def _kind(process: psutil.Process) -> str:
    """`renderer`, `gpu-process`, ... of Chromium, `tab` of Firefox, or nothing for a main process."""
    with contextlib.suppress(psutil.Error):
        line = process.cmdline()
        if "-contentproc" in line:
            return line[-1]
        # A forked child's title is one string with everything in it.
        words = " ".join(line).split()
        return next((word.removeprefix("--type=") for word in words if word.startswith("--type=")), "")
    return "gone"
