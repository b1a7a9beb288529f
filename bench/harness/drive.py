"""Starting a browser, opening a page in it and ending it, each under a deadline."""

from __future__ import annotations

import contextlib
import threading

from selenium.common.exceptions import NoSuchDriverException, TimeoutException, WebDriverException
from selenium.webdriver.remote.webdriver import WebDriver
from urllib3.exceptions import HTTPError, ReadTimeoutError

from bench.browsers import Browser, BrowserMissing, Build, SessionSpace, grid
from bench.browsers.process import spare_loopback
from bench.errors import RunFailure
from bench.harness.outcome import Outcome, Stage
from bench.harness.watch import Watch, first_line
from bench.settings import Settings

_LAUNCH_ATTEMPTS = 2
# What a driver says where the browser is gone, or is none that it drives: trying again changes nothing.
_NOT_HERE = ("no chrome binary", "cannot find chrome binary", "binary is not a firefox", "only supports")
# urllib3's, when the driver itself died; the last ones where it answers what Selenium cannot read.
_BROKEN = (WebDriverException, HTTPError, OSError, AttributeError, KeyError, TypeError, ValueError)
_STATUS = "return performance.getEntriesByType('navigation')[0]?.responseStatus ?? 200"
_ABANDON_ATTEMPTS = 20
_QUIT_SECONDS = 10.0
_ABANDON_SECONDS = 1.0


def launch(
    browser: Browser, build: Build, space: SessionSpace, settings: Settings, watch: Watch, notes: list[str]
) -> WebDriver:
    """Start it; once more if the driver could not make a session, which a loaded machine can cause.

    Args:
        browser: the browser.
        build: which of its builds.
        space: the session's own; whatever was started is ended when this fails.
        settings: binaries and flags.
        watch: holds the deadline.
        notes: gets a line for each attempt that failed.

    Raises:
        RunFailure: `unavailable`, `crashed` or `timeout`.
        KeyboardInterrupt: a stop was asked for.
    """
    spare_loopback()
    for attempt in range(1, _LAUNCH_ATTEMPTS + 1):
        try:
            if build.source == grid.SOURCE:
                return watch.call(lambda: grid.start(browser, build, settings))
            return watch.call(lambda: browser.start(build, space, settings))
        except (RunFailure, KeyboardInterrupt):
            _abandon(space, watch)
            raise
        except (BrowserMissing, NoSuchDriverException) as error:
            raise RunFailure(
                Outcome.UNAVAILABLE, Stage.LAUNCH, first_line(error), name=type(error).__name__
            ) from None
        except _BROKEN as error:
            space.end_processes()
            if any(word in str(error).lower() for word in _NOT_HERE):
                raise RunFailure(
                    Outcome.UNAVAILABLE, Stage.LAUNCH, first_line(error), name=type(error).__name__
                ) from None
            notes.append(f"attempt {attempt}: {first_line(error)}")
            notes.extend(f"driver: {line}" for line in space.last_words())
            if attempt == _LAUNCH_ATTEMPTS:
                raise RunFailure(
                    Outcome.CRASHED, Stage.LAUNCH, first_line(error), name=type(error).__name__
                ) from None
    raise AssertionError("unreachable")


def _abandon(space: SessionSpace, watch: Watch) -> None:
    """End what an abandoned launch has started, and what it still starts until it notices."""
    for _ in range(_ABANDON_ATTEMPTS):
        space.end_processes()
        if watch.idle(0.5):
            break
    space.end_processes()


def open_page(driver: WebDriver, url: str, watch: Watch) -> None:
    """Load a page; a RunFailure where the browser dies or hangs over it."""
    try:
        watch.enter(Stage.PROBE)
        # Later than the watch's own deadline, which is to be the one that passes.
        watch.call(lambda: driver.set_page_load_timeout(watch.timeout + 30))
        watch.call(lambda: driver.get(url))
        status = watch.call(lambda: driver.execute_script(_STATUS))
        if status >= 400:
            raise RunFailure(
                Outcome.ERROR, Stage.PROBE, f"the page answered with status {status}", name="PageNotLoaded"
            )
    except (TimeoutException, ReadTimeoutError):
        raise watch.late() from None
    except (WebDriverException, HTTPError, OSError) as error:
        raise RunFailure(Outcome.CRASHED, watch.stage, first_line(error), name=type(error).__name__) from None


def close(driver: WebDriver, space: SessionSpace, *, patient: bool) -> int:
    """Ask the browser to close and kill whatever is left after that; the number of processes killed.

    Args:
        driver: of the session.
        space: the session's own.
        patient: whether to wait for it. A browser here that hung or failed is killed anyway; one on a Grid
            has no other end than this.
    """
    space.remember()

    def target() -> None:
        with contextlib.suppress(Exception):
            driver.quit()

    thread = threading.Thread(target=target, daemon=True, name="quit")
    thread.start()
    thread.join(_QUIT_SECONDS if patient else _ABANDON_SECONDS)
    return space.end_processes()
