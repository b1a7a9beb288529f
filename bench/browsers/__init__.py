"""Finds, starts and probes real browsers; one file a browser."""

from __future__ import annotations

from bench.browsers.base import Browser, BrowserMissing, Build
from bench.browsers.chrome import Chrome
from bench.browsers.edge import Edge
from bench.browsers.firefox import Firefox
from bench.browsers.process import SessionSpace
from bench.browsers.safari import Safari
from bench.browsers.webkitgtk import WebKitGtk
from bench.errors import InputError

BROWSERS: dict[str, Browser] = {
    browser.name: browser for browser in (Chrome(), Firefox(), WebKitGtk(), Edge(), Safari())
}

__all__ = ["BROWSERS", "Browser", "BrowserMissing", "Build", "SessionSpace", "parse_browser"]


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
