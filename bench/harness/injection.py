"""Where a fault can get its hands on a run. The harness knows no fault: whoever starts it may bring one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web
    from selenium.webdriver.remote.webdriver import WebDriver
    from sqlalchemy import Engine

    from bench.browsers import Build, SessionSpace
    from bench.harness.clocks import Clocks
    from bench.harness.outcome import Stage


class Injection:
    """No fault at all. A fault overrides what it needs; each method stands at one place of a session."""

    def build(self, build: Build, folder: Path) -> Build:
        """The build to start, before it is started; `folder` is the session's own."""
        return build

    def task(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        """The task that the page is given."""
        return task

    def clocks(self) -> Clocks:
        """The clocks that the session looks at."""
        from bench.harness.clocks import Clocks

        return Clocks()

    def launched(self, driver: WebDriver, space: SessionSpace) -> None:
        """Called when the browser runs and has loaded nothing yet."""

    def stage(self, stage: Stage, driver: WebDriver, space: SessionSpace) -> None:
        """Called when the page reports a stage, the first time in each."""

    def recording(self, engine: Engine) -> AbstractContextManager[None]:
        """Entered by the worker while it writes the finished run into the database."""
        return nullcontext()

    async def answer(self, path: str, response: web.StreamResponse) -> web.StreamResponse:
        """The server's answer to a path of the run (`pages/main.js`), before it is sent."""
        return response


# Gives the injection of a name, None for none; a new one for each run.
Bring = Callable[[str | None], Injection]


def nothing(name: str | None) -> Injection:
    """What a harness has to which nobody brought faults.

    Raises:
        ValueError: a fault is asked for.
    """
    if name is not None:
        raise ValueError(f"the fault {name!r} is asked for, and nobody brought faults")
    return Injection()
