"""Finds, starts and probes real browsers; one file a browser."""

from __future__ import annotations

import os
from pathlib import Path

from bench.browsers import grid
from bench.browsers.base import Browser, BrowserMissing, Build
from bench.browsers.chrome import Chrome
from bench.browsers.edge import Edge
from bench.browsers.firefox import Firefox
from bench.browsers.process import SessionSpace
from bench.browsers.safari import Safari
from bench.browsers.webkitgtk import WebKitGtk
from bench.errors import InputError
from bench.plan.request import STOCK, GpuFeatures
from bench.settings import BROWSER_VARIABLES, Settings

BROWSERS: dict[str, Browser] = {
    browser.name: browser for browser in (Chrome(), Firefox(), WebKitGtk(), Edge(), Safari())
}

__all__ = [
    "BROWSERS",
    "Browser",
    "BrowserMissing",
    "Build",
    "SessionSpace",
    "check_browser",
    "locate",
    "parse_browser",
]


def parse_browser(spec: str) -> tuple[Browser, str | None]:
    """Read `NAME` or `NAME:/path/to/binary`.

    Raises:
        InputError: no such browser.
    """
    name, _, binary = spec.partition(":")
    if name not in BROWSERS:
        raise InputError(
            f"unknown browser {name!r}; allowed: {', '.join(BROWSERS)} (or NAME:/path/to/binary)"
        )
    return BROWSERS[name], binary or None


def locate(
    browser: Browser, binary: str | None, settings: Settings, features: GpuFeatures | None = None
) -> Build:
    """The build that a run is to use: of this machine, or of a Grid, showing a feature set (`stock`).

    Raises:
        BrowserMissing: there is none here.
    """
    known = grid.build_of(browser, binary) if settings.harness.grid else browser.find(binary, settings)
    return browser.with_features(known, features or STOCK, settings)


def check_browser(spec: str, settings: Settings) -> None:
    """Hold what the user named against the machine: a browser that is merely absent is no bad input.

    Raises:
        InputError: no such browser, or an executable named in the spec or the settings that is none.
    """
    browser, binary = parse_browser(spec)
    if settings.harness.grid:
        return  # executables are those of the Grid's machines
    own = settings.browser(browser.name)
    variables = BROWSER_VARIABLES.get(browser.name, {})
    named = [(f"--browser {spec}", binary)]
    if not binary:
        named.append((variables.get("binary", f"{browser.name}.binary"), own.binary))
    named.append((variables.get("driver", f"{browser.name}.driver"), own.driver))
    for origin, value in named:
        if value and not _executable(Path(value).expanduser()):
            raise InputError(
                f"{origin}: {value} is not an executable file; name one, or leave it out to use what is found"
            )


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
