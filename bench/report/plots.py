"""A chart by its kind, for the command line and the report."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from bench.report import charts, charts_roofline, charts_states, charts_times, charts_tokens
from bench.report.board import Board
from bench.report.kinds import Kind
from bench.store.store import Store

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
    values = {
        run: [one.value_ms for one in store.samples(run) if one.kind == "measure"]
        for run in charts_times.newest_measured(board)
    }
    return charts_times.samples(board, values)
