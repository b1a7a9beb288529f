"""What one browser build can do on this machine: started for real, asked, ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.browsers import BROWSERS, Build, SessionSpace
from bench.errors import RunFailure
from bench.harness import drive
from bench.harness.environment import describe_adapter, driver_version
from bench.harness.server import Job, PageServer
from bench.harness.stop import Stop
from bench.harness.watch import Watch
from bench.settings import Settings

PAGE = "probe.html"


@dataclass
class Examination:
    """One build's answers, or the words that came instead.

    Attributes:
        build: which build.
        version: as the browser says of itself in the session.
        driver_version: of the WebDriver.
        probe: the page's answers (`pages/runtime/probe.js`, and whether a device opens).
        adapter: as a run's record would have it; None where there is none.
        failure: why there are no answers.
        launches: attempts to start it that failed.
    """

    build: Build
    version: str | None = None
    driver_version: str | None = None
    probe: dict[str, Any] = field(default_factory=dict)
    adapter: dict[str, Any] | None = None
    failure: RunFailure | None = None
    launches: list[str] = field(default_factory=list)

    @property
    def webgpu(self) -> bool:
        """Whether WebGPU can run something: an adapter whose device opens."""
        return self.adapter is not None and bool(self.probe.get("device", {}).get("opens"))

    @property
    def webnn(self) -> bool:
        """Whether WebNN can run something: a device that built a graph."""
        return bool((self.probe.get("webnn") or {}).get("supported"))


def examine(
    build: Build, server: PageServer, settings: Settings, *, timeout: float, stop: Stop | None = None
) -> Examination:
    """Start a build, load the probe page, end it. A browser that hangs or dies is an answer, never raised.

    Args:
        build: which build.
        server: serves the page.
        settings: binaries and flags.
        timeout: seconds for the start and again for the answers.
        stop: ends it early.

    Raises:
        KeyboardInterrupt: a stop was asked for.
    """
    found = Examination(build)
    job = Job(task={}, files={}, verdict=lambda _name, _outputs: {})
    url = server.add(job, PAGE)
    watch = Watch(timeout, stop)
    try:
        with SessionSpace() as space:
            driver = drive.launch(BROWSERS[build.browser], build, space, settings, watch, found.launches)
            try:
                found.version = driver.capabilities.get("browserVersion")
                found.driver_version = driver_version(driver.capabilities)
                drive.open_page(driver, url, watch)
                for event in watch.events(job.events, driver, url):
                    if event.get("kind") == "error":
                        words = event.get("data") or {}
                        found.probe = {"error": f"{words.get('name')}: {words.get('message')}"}
                        break
                    if event.get("kind") == "probe":
                        found.probe = event.get("data") or {}
                        break
            finally:
                drive.close(driver, space, patient=True)
    except RunFailure as failure:
        found.failure = failure
    finally:
        server.remove(job)
    found.adapter = describe_adapter(found.probe.get("webgpu") or {}, build.browser)
    return found
