"""Progress on stderr: a live line in a terminal, a plain line a run elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bench.plan.request import Request
from bench.record import RunRecord
from bench.report import words

_TONES = {"ok": "green", "fallback": "yellow", "unsupported": "dim", "unavailable": "dim"}


class Progress:
    """Says what runs now, and each finished run with its outcome. stdout stays free for results."""

    def __init__(self, total: int) -> None:
        self._total = total
        # Not wrapped where nobody looks at it: a log gets each run on one line.
        width = None if sys.stderr.isatty() else 10_000
        self._console = Console(stderr=True, highlight=False, width=width)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._started = time.monotonic()
        self._finished = 0

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def note(self, text: str) -> None:
        """A line that stays."""
        self._console.print(Text(text), soft_wrap=not self._console.is_terminal)

    def begin(self, campaign: str, url: str) -> None:
        """The plan is written; the first run comes next."""
        self.note(f"campaign {campaign}: {self._total} cells, kept in {url}")

    def say(self, request: Request, position: int, text: str) -> None:
        """What the current run does."""
        if self._console.is_terminal:
            elapsed = time.monotonic() - self._started
            line = Text(f"[{self._finished + 1}/{self._total}] {request.model} {request.label}: {text}")
            line.append(f"   {elapsed:.0f} s{self._left(elapsed)}", style="dim")
            self._live.update(line)

    def done(self, record: RunRecord, position: int) -> None:
        """A run has ended; its line stays."""
        self._finished += 1
        request, outcome = record.requested, record.outcome.value
        line = Text(f"[{self._finished}/{self._total}] {request.model} {request.label}: ")
        line.append(outcome, style=_TONES.get(outcome, "red"))
        line.append(_result(record))
        # One line a run where nobody looks at it: a log is searched by line.
        self._console.print(line, soft_wrap=not self._console.is_terminal)

    def _left(self, elapsed: float) -> str:
        if not self._finished:
            return ""
        return f", about {elapsed / self._finished * (self._total - self._finished):.0f} s left"


def _result(record: RunRecord) -> str:
    """The number, or the words that came instead of one."""
    parts = []
    latency = record.metrics.latency_ms
    if latency:
        parts.append(f"{latency.median:.3g} ms")
    if record.fallback_reason and record.outcome.measured:
        parts.append(record.fallback_reason)
    if record.error:
        parts.append(f"{record.error.name}: {record.error.message}")
    return "  " + "; ".join(words.visible(part) for part in parts) if parts else ""
