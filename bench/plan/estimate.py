"""How long cells will take, from how long others took. Nothing is said where nothing is known."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from bench.plan.request import Request

# From the same arm to the same browser: the first of these under which anything is known counts.
_KEYS: tuple[Callable[[Request], Hashable], ...] = (
    lambda one: one,
    lambda one: (one.browser, one.platform, one.model, one.shape),
    lambda one: (one.browser, one.platform, one.model),
    lambda one: (one.browser, one.platform),
    lambda one: one.browser,
)


@dataclass(frozen=True)
class Estimate:
    """Time for some cells.

    Attributes:
        seconds: wall time; None where nothing is known of any of them.
        exact: cells whose own arm has run before.
        similar: cells that are judged by others of their browser.
        unknown: cells that are given the mean of the others.
    """

    seconds: float | None
    exact: int
    similar: int
    unknown: int


class Forecast:
    """Durations, in two layers: those of this campaign count before those of the past."""

    def __init__(self, history: Iterable[tuple[Request, float]] = ()) -> None:
        self._past = _index(history)
        self._own = _index(())

    def note(self, request: Request, seconds: float) -> None:
        """A cell of this campaign took so long."""
        for level, key in enumerate(_KEYS):
            self._own[level][key(request)].append(seconds)

    def cell(self, request: Request) -> tuple[float, int] | None:
        """Seconds for one cell, and how near what it is judged by is (0: its own arm)."""
        for level, key in enumerate(_KEYS):
            for layer in (self._own, self._past):
                if known := layer[level].get(key(request)):
                    return statistics.median(known), level
        return None

    def of(self, cells: Iterable[Request]) -> Estimate:
        """Seconds for these cells, one after the other."""
        found = [self.cell(request) for request in cells]
        known = [one for one in found if one is not None]
        exact = sum(level == 0 for _, level in known)
        if not known:
            return Estimate(0.0 if not found else None, 0, 0, len(found))
        mean = sum(seconds for seconds, _ in known) / len(known)
        return Estimate(mean * len(found), exact, len(known) - exact, len(found) - len(known))


def _index(history: Iterable[tuple[Request, float]]) -> list[defaultdict[Hashable, list[float]]]:
    levels: list[defaultdict[Hashable, list[float]]] = [defaultdict(list) for _ in _KEYS]
    for request, seconds in history:
        for level, key in enumerate(_KEYS):
            levels[level][key(request)].append(seconds)
    return levels


def in_words(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
