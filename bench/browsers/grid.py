"""Browsers elsewhere, through a Selenium Grid: what it has, and a session on it.

A slot of a Grid is no proof of a browser: what really ran is read from the session's own capabilities.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from bench.browsers.base import Browser, BrowserMissing, Build
from bench.errors import InputError
from bench.settings import Settings

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

SOURCE = "grid"
_STATUS_SECONDS = 10.0
# As sessions call themselves -> as we do.
_NAMES = {
    "chrome": "chrome",
    "chromium": "chrome",
    "chrome-headless-shell": "chrome",
    "msedge": "edge",
    "microsoftedge": "edge",
    "firefox": "firefox",
    "safari": "safari",
}


def shown(url: str) -> str:
    """The Grid's address without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def check(url: str) -> None:
    """Make sure that a Grid answers there.

    Raises:
        InputError: it is not an address, nothing answers, or what answers is not a Grid.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise InputError(f"--grid {shown(url)}: not allowed; allowed: an address like http://127.0.0.1:4444")
    try:
        _status(url)
    except BrowserMissing as error:
        raise InputError(f"--grid {error}") from None


def build_of(browser: Browser, binary: str | None) -> Build:
    """The build to ask a Grid for; a named executable is one of the node's machine."""
    return Build(browser.name, Path(binary) if binary else None, None, SOURCE)


def start(browser: Browser, build: Build, settings: Settings) -> WebDriver:
    """A session on the Grid; a WebDriverException where it gives none.

    Raises:
        BrowserMissing: no Grid answers, it has no slot for this browser, or it cannot be driven remotely.
    """
    from selenium import webdriver

    url = settings.harness.grid or ""
    options = browser.options(build, settings)
    if options is None:
        raise BrowserMissing(f"{browser.name} cannot be driven through a Grid", "leave --grid out for it")
    wanted = str(options.capabilities["browserName"])
    slots = _slots(_status(url))
    # A Grid would queue what it has no slot for until it gives up, minutes later.
    if wanted.lower() not in {name.lower() for name in slots}:
        there = ", ".join(sorted(slots)) or "none at all"
        raise BrowserMissing(
            f"the Grid at {shown(url)} has no slot for {wanted}; it has {there}", "start a node that has one"
        )
    return webdriver.Remote(command_executor=url, options=options)


def browser_of(capabilities: Mapping[str, Any]) -> str:
    """Which browser a session really is, by what it says of itself."""
    name = str(capabilities.get("browserName", "")).lower()
    return _NAMES.get(name, name or "unknown")


def evidence(url: str, capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of the Grid with a run."""
    own = {key: value for key, value in capabilities.items() if key.startswith("se:")}
    return {"url": shown(url), "platform": capabilities.get("platformName"), "session": own}


def _status(url: str) -> Mapping[str, Any]:
    try:
        with urllib.request.urlopen(  # noqa: S310 - `check` has held the scheme to http and https
            f"{url.rstrip('/')}/status", timeout=_STATUS_SECONDS
        ) as answer:
            value = json.load(answer)["value"]
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        raise BrowserMissing(
            f"{shown(url)}: no Grid answers ({reason})", "start it, or leave --grid out"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise BrowserMissing(f"{shown(url)}: what answers is no Selenium Grid", "check the address") from None
    if not isinstance(value, dict):
        raise BrowserMissing(f"{shown(url)}: what answers is no Selenium Grid", "check the address")
    return value


def _slots(status: Mapping[str, Any]) -> set[str]:
    """The browserName of every slot of every node that is up."""
    return {
        str(slot.get("stereotype", {}).get("browserName"))
        for node in status.get("nodes", ())
        if node.get("availability", "UP") == "UP"
        for slot in node.get("slots", ())
    }
