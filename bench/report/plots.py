"""A chart by its kind, for the command line and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from bench.record import Sample
from bench.report import charts, charts_roofline, charts_states, charts_times, charts_tokens
from bench.report.board import Board
from bench.report.kinds import Kind
from bench.store.store import Store

DECODE = "decode"  # the phase of a language model after its prompt
_DRAWN: dict[Kind, Callable[[Board], Figure]] = {
    Kind.SUPPORT: charts_states.support,
    Kind.LATENCY: charts.latency_by_bits,
    Kind.TOKENS: charts_tokens.tokens,
    Kind.DEPTH: charts_tokens.depth,
    Kind.MEMORY: charts.memory,
    Kind.ACCURACY: charts.accuracy,
    Kind.PARETO: charts.pareto,
    Kind.EXPERIMENTAL: charts_states.experimental,
    Kind.AUDIO: charts_times.audio,
}


def draw(kind: Kind, board: Board, store: Store, metric: str | None = None) -> Figure:
    """One chart. Samples and ceilings are read from the store for the newest runs of the board.

    `metric` is what a history follows, a column of the board's runs; what is usual where it is None.

    Raises:
        InputError: there is nothing of that kind to draw; the message says what would make some.
    """
    if kind is Kind.ROOFLINE:
        found = store.evidence("roofline", charts_roofline.newest_ran(board))
        return charts_roofline.roofline(board, found)
    if kind is Kind.HISTORY:
        return charts_times.over_time(board, metric)
    if kind is not Kind.SAMPLES:
        return _DRAWN[kind](board)
    values = {run: _of_one_phase(store.samples(run)) for run in charts_times.newest_measured(board)}
    return charts_times.samples(board, values)


def _of_one_phase(samples: Sequence[Sample]) -> list[float]:
    """The times of what a model is ranked by: a token of a language model, else its main phase."""
    measured = [one for one in samples if one.kind == "measure"]
    phases = list(dict.fromkeys(one.phase for one in measured))
    chosen = DECODE if DECODE in phases else phases[0] if phases else ""
    return [one.value_ms for one in measured if one.phase == chosen]
