"""Progress on stderr: a live view in a terminal, a plain line a run elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bench.cli.tables import OUTCOMES
from bench.plan.estimate import Forecast, in_words
from bench.plan.request import Request
from bench.record import RunRecord
from bench.report import words
from bench.store import Cell


class Progress:
    """Says what runs now, what came of the others, and when it will end. stdout stays free for results."""

    def __init__(self) -> None:
        # Not wrapped where nobody looks at it: a log gets each run on one line.
        width = None if sys.stderr.isatty() else 10_000
        self._console = Console(stderr=True, highlight=False, width=width)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._forecast = Forecast()
        self._open: dict[int, Cell] = {}
        self._total = self._finished = 0
        self._outcomes: Counter[str] = Counter()
        self._started = self._last = time.monotonic()

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            with _courtesy():
                self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            with _courtesy():
                self._live.stop()

    def note(self, text: str) -> None:
        """A line that stays."""
        with _courtesy():
            self._console.print(Text(text), soft_wrap=not self._console.is_terminal)

    def begin(
        self, campaign: str, url: str, total: int, cells: Sequence[Cell], forecast: Forecast | None = None
    ) -> None:
        """The plan is written; the first run comes next.

        Args:
            campaign: its name.
            url: where it is kept.
            total: cells in the plan.
            cells: those that are still open.
            forecast: what is known of their durations.
        """
        self._total, self._finished = total, total - len(cells)
        self._open = {cell.position: cell for cell in cells}
        self._forecast = forecast or Forecast()
        self._started = self._last = time.monotonic()
        done = f", {self._finished} of them done before" if self._finished else ""
        self.note(f"campaign {campaign}: {total} cells{done}, kept in {url}{self._left()}")

    def say(self, request: Request, position: int, text: str) -> None:
        """What the current run does."""
        if self._console.is_terminal:
            with _courtesy():
                self._live.update(self._view(request, text))

    def done(self, record: RunRecord, position: int) -> None:
        """A run has ended; its line stays."""
        now = time.monotonic()
        request, outcome = record.requested, record.outcome.value
        # A bundle is made once and cached: the next block does without.
        spent = now - self._last - record.phases_ms.get("prepare", 0.0) / 1000
        self._forecast.note(request, max(0.0, spent))
        self._last = now
        cell = self._open.pop(position, None)
        self._finished = self._total - len(self._open)
        self._outcomes[outcome] += 1
        line = Text(f"[{self._finished}/{self._total}] {request.model} {request.label}: ")
        line.append(outcome, style=OUTCOMES.get(outcome, "red"))
        line.append(_result(record))
        # One line a run where nobody looks at it: a log is searched by line.
        with _courtesy():
            self._console.print(line, soft_wrap=not self._console.is_terminal)
        if cell and self._open and all(other.block != cell.block for other in self._open.values()):
            self.note(f"block {cell.block + 1} is done{self._left()}")

    def _view(self, request: Request, text: str) -> Group:
        now = Text(f"[{self._finished + 1}/{self._total}] {request.model} {request.label}: {text}")
        elapsed = in_words(time.monotonic() - self._started)
        so_far = Text(f"    {elapsed}{self._left(request)}   ", style="dim")
        for outcome, count in self._outcomes.most_common():
            so_far.append(f"{outcome} {count}  ", style=OUTCOMES.get(outcome, "red"))
        return Group(now, so_far)

    def _left(self, current: Request | None = None) -> str:
        """What is left, less what the current run has had of its share."""
        seconds = self._forecast.of(cell.request for cell in self._open.values()).seconds
        if seconds and current and (share := self._forecast.cell(current)):
            seconds -= min(share[0], time.monotonic() - self._last)
        return f", about {in_words(seconds)} left" if seconds else ""


@contextmanager
def _courtesy() -> Iterator[None]:
    """Progress that nobody can take, as on a full disk or in a closed terminal, stops no run.

    The rest of it goes nowhere: what stays in the stream's buffer would fail again, at the program's end.
    """
    try:
        yield
        sys.stderr.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)


def _result(record: RunRecord) -> str:
    """The number, or the words that came instead of one."""
    parts = []
    latency = record.metrics.latency_ms
    if (rate := record.metrics.decode_tokens_per_s) is not None:
        parts.append(f"{rate:.3g} tokens/s")
    elif latency:
        parts.append(f"{latency.median:.3g} ms")
    if record.fallback_reason and record.outcome.measured:
        parts.append(record.fallback_reason)
    if record.error:
        parts.append(f"{record.error.name}: {record.error.message}")
    return "  " + "; ".join(words.visible(part) for part in parts) if parts else ""
