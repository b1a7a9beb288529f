"""Deadlines over a browser that may hang, die or lie still.

Every call that could block goes through `Watch.call`, in a thread that is abandoned at the deadline: ending
the session's processes then unblocks it. While the page works, `Watch.events` waits for its reports and looks
now and then whether browser and driver still live.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from selenium.common.exceptions import UnexpectedAlertPresentException
from selenium.webdriver.remote.webdriver import WebDriver

from bench.errors import RunFailure
from bench.harness.clocks import Clocks
from bench.harness.outcome import Outcome, Stage
from bench.harness.stop import Stop

T = TypeVar("T")

_POLL_SECONDS = 0.25
_ANSWER_SECONDS = 1.0
_STANDSTILL_SECONDS = 2.0  # between two looks
_SILENCE_SECONDS = 5.0  # a page reports every second while it measures; silence is worth a look
_DEAD = (
    "disconnected",
    "crash",
    "not reachable",
    "no such window",
    "invalid session id",
    "refused",
    "decode response",
)


def first_line(error: BaseException) -> str:
    """An error's own words on one line: without the driver's stack trace and Selenium's advertisement."""
    text = str(getattr(error, "msg", None) or str(error) or type(error).__name__).strip()
    text = text.partition("Stacktrace:")[0].partition("; For documentation on this error")[0]
    return " ".join(text.split()) or type(error).__name__


class Watch:
    """Knows the current stage and its deadline."""

    def __init__(self, timeout: float, stop: Stop | None = None, clocks: Clocks | None = None) -> None:
        self.timeout = timeout
        self.clocks = clocks or Clocks()
        self._stop = stop or Stop()
        self._threads: list[threading.Thread] = []
        self.stage = Stage.LAUNCH
        self.entered = self._looked = time.monotonic()
        self.spent_ms: dict[str, float] = {}

    def enter(self, stage: Stage) -> None:
        """Begin a stage: its time counts from now."""
        now = time.monotonic()
        self.spent_ms[self.stage] = self.spent_ms.get(self.stage, 0.0) + (now - self.entered) * 1000
        self.stage = stage
        self.entered = now

    def close(self) -> dict[str, float]:
        """Wall milliseconds of each stage so far."""
        self.enter(self.stage)
        return dict(self.spent_ms)

    def late(self) -> RunFailure:
        """What a passed deadline becomes."""
        return RunFailure(
            Outcome.TIMEOUT,
            self.stage,
            f"stage {self.stage.value} passed its deadline of {self.timeout:g} s; the browser was ended",
            name="TimeoutError",
        )

    def call(self, work: Callable[[], T]) -> T:
        """Run blocking work in a thread.

        Raises:
            RunFailure: the stage's deadline passed first.
            KeyboardInterrupt: a stop was asked for.
        """
        answer: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

        def target() -> None:
            try:
                answer.put((True, work()))
            except BaseException as error:
                answer.put((False, error))

        self._stop.check()
        self._looked = time.monotonic()
        thread = threading.Thread(target=target, daemon=True, name=f"watch-{self.stage.value}")
        self._threads.append(thread)
        thread.start()
        while True:
            try:
                good, value = answer.get(timeout=_POLL_SECONDS)
                break
            except queue.Empty:
                self._stop.check()
                self._look()
                if time.monotonic() - self.entered > self.timeout:
                    raise self.late() from None
        if not good:
            raise value
        return value  # type: ignore[no-any-return]

    def idle(self, patience: float) -> bool:
        """Whether every call has come to its end, abandoned ones too; waits that many seconds for it."""
        for thread in self._threads:
            thread.join(patience)
        return not any(thread.is_alive() for thread in self._threads)

    def events(
        self, source: queue.SimpleQueue[dict[str, Any]], driver: WebDriver, url: str
    ) -> Iterator[dict[str, Any]]:
        """The page's reports as they come. Ends by the caller's choice, a RunFailure or a wish to stop.

        Args:
            source: the reports.
            driver: asked whether the page lives when it is silent.
            url: where the page must be.
        """
        heard = self._looked = time.monotonic()
        asked: queue.SimpleQueue[BaseException | str] | None = None
        while True:
            self._stop.check()
            heard += self._look()
            try:
                event = source.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                now = time.monotonic()
                if now - self.entered > self.timeout:
                    raise self.late() from None
                self._check_driver(driver)
                if asked is not None and not asked.empty():
                    self._judge(asked.get(), url)
                    asked, heard = None, now
                elif asked is None and now - heard > _SILENCE_SECONDS:
                    asked = self._ping(driver)
                continue
            heard = time.monotonic()
            if asked is not None:  # it went on while it was asked: what stopped it is in the answer
                with contextlib.suppress(queue.Empty):
                    self._judge(asked.get(timeout=_ANSWER_SECONDS), url)
                asked = None
            yield event

    def _look(self) -> float:
        """Look at the clocks; the seconds, if any, in which this process itself stood still.

        They are no silence of the browser's: its deadline is put off by them.
        """
        self.clocks.look()
        now = time.monotonic()
        gap, self._looked = now - self._looked, now
        if gap < _STANDSTILL_SECONDS:
            return 0.0
        self.entered += gap
        return gap

    def _check_driver(self, driver: WebDriver) -> None:
        process = getattr(getattr(driver, "service", None), "process", None)
        code = process.poll() if process is not None else None
        if code is not None:
            raise RunFailure(
                Outcome.CRASHED, self.stage, f"the driver process ended with code {code}", name="DriverDied"
            )

    def _ping(self, driver: WebDriver) -> queue.SimpleQueue[BaseException | str]:
        """Ask the driver where the page is, without waiting: a hung driver may never answer."""
        answer: queue.SimpleQueue[BaseException | str] = queue.SimpleQueue()

        def target() -> None:
            try:
                answer.put(driver.current_url)
            except Exception as error:  # also urllib3's own, when the driver's socket is gone
                answer.put(error)

        threading.Thread(target=target, daemon=True, name="watch-ping").start()
        return answer

    def _judge(self, found: BaseException | str, url: str) -> None:
        """What the answer to a ping says of the page; no answer at all is left to the deadline."""
        if isinstance(found, str):
            if found != url:
                words = f"the page left for {found}"
                raise RunFailure(Outcome.ERROR, self.stage, words, name="NavigatedAway")
        elif isinstance(found, UnexpectedAlertPresentException):
            words = f"a dialog stopped the page: {found.alert_text}"
            raise RunFailure(Outcome.ERROR, self.stage, words, name=type(found).__name__)
        elif any(word in str(found).lower() for word in _DEAD):
            raise RunFailure(Outcome.CRASHED, self.stage, first_line(found), name=type(found).__name__)
