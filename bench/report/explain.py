"""What is behind a number: the runs of its arm, their samples, order, adapter and browser build."""

from __future__ import annotations

from collections.abc import Mapping

from bench.errors import InputError
from bench.plan.request import ASKED
from bench.report import tables, words
from bench.report.board import Board, as_rows, right
from bench.report.choice import name
from bench.report.row import Arm, Row, value_at
from bench.store.store import Store

MOST = 20


def arm_of(store: Store, run: int) -> tuple[Board, Arm]:
    """The arm that a run's number is part of, among all that asked for the same.

    Raises:
        InputError: there is no such run, or a later attempt at its cell took its place.
    """
    asked = store.run(run).requested
    # What a filter can say without quotes narrows it; the rest is compared below.
    board = Board.load(store, f"requested_bits = {asked.bits} and requested_platform = {asked.platform}")
    wanted = next((arm for arm in board.arms if run in arm["runs"]), None)
    if wanted is None:
        cells = board.runs.loc[board.runs["id"] == run, "cell_id"]
        if not len(cells):
            raise InputError(f"run {run} is a hidden A/A twin, and in no arm: bench show {run}")
        later = board.cells.loc[board.cells["cell_id"] == int(cells.iloc[0]), "id"]
        raise InputError(
            f"run {run} is in no number: run {int(later.iloc[0])} was a later attempt at its cell"
        )
    return board, wanted


def explain(board: Board, arm: Arm, seeds: Mapping[str, int]) -> list[str]:
    """The arm in lines: what was asked, what came of it, and the runs behind it.

    Args:
        board: where the arm's runs are.
        arm: one of the board's.
        seeds: campaign -> what its order was drawn with.
    """
    total = arm["sessions"]
    lines = [
        f"{name(arm)}; {arm['requested_model']}, {words.shape(arm)}",
        f"outcome {arm['outcome']} of {total} session{'' if total == 1 else 's'}"
        + (f": {reason}" if (reason := words.reason(arm)) else ""),
    ]
    if right(arm):
        lines += _numbers(arm)
    lines += [
        "",
        f"ran on      {words.device(arm) or 'nothing: it did not get so far'}",
        f"host        {words.visible(', '.join(words.distinct((arm['os'], arm['cpu']))))}",
        f"browser     {words.browser(arm)}, {words.visible(arm['browser_binary'] or 'path not known')}",
        f"weights     {arm['model_weights'] or 'none'} {str(arm['model_sha256'] or '')[:12]}".rstrip(),
        "",
        *_runs(board, arm, seeds),
    ]
    others = [
        one
        for one in board.arms
        if one is not arm and all(value_at(one, key) == value_at(arm, key) for key in ASKED)
    ]
    if others:
        lines += ["", "the same request elsewhere or with another outcome:"]
        lines += [f"  {_other(one)}" for one in others[:MOST]]
    return lines


def _numbers(arm: Arm) -> list[str]:
    lines = []
    if arm["latency_ms_median"] is not None:
        several = arm["sessions"] > 1
        low, high = arm["n_low"], arm["n_high"]
        lines += [
            f"latency     {words.latency(arm)} ms: "
            + ("median of the session medians, and its interval" if several else "median, 95 % interval"),
            f"samples     {arm['latency_ms_n']}: {low if low == high else f'{low} to {high}'} a session",
        ]
    if text := words.tokens(arm):
        lines.append(f"tokens/s    {text} after the prompt; latency is the time to the first of them")
    if arm["greedy_agreement"] is not None:
        lines.append(f"same tokens {words.percent(arm['greedy_agreement'])} as the unquantized model writes")
    if arm["weight_bytes"] is not None:
        saved = words.percent(arm["memory_reduction"])
        lines.append(f"memory      {words.thousands(arm['weight_bytes'])} bytes, {saved} less than FP16")
    if arm["cosine_fp32"] is not None:
        lines.append(f"cosine      {arm['cosine_fp32']:.6f} to the unquantized model")
    return lines


def _runs(board: Board, arm: Arm, seeds: Mapping[str, int]) -> list[str]:
    rows = as_rows(board.runs[board.runs["id"].isin(arm["runs"][-MOST:])])
    found = []
    for row in rows:
        seed = seeds.get(row["campaign"])
        tick = row["timer_resolution_us"]
        parts = [
            f"run {row['id']}",
            f"{words.visible(row['campaign'])}" + (f" (order of seed {seed})" if seed is not None else ""),
            f"block {row['block']}, position {row['position']}, attempt {row['attempt']}",
            str(row["started_at"])[:19],
            *_speed(row),
            f"clock tick {words.number(tick)} µs" if tick is not None else "",
        ]
        found.append("  " + "; ".join(part for part in parts if part))
    left = len(arm["runs"]) - len(rows)
    return ["runs", *found, *([f"  and {left:,} earlier ones"] if left else [])]


def _speed(row: Row) -> list[str]:
    if row["latency_ms_median"] is None:
        return []
    low, high = words.interval(row)
    spread = f" [{words.number(low)}, {words.number(high)}]" if low < high else ""
    tokens = [f"{text} tokens/s"] if (text := words.tokens(row)) else []
    return [f"{words.number(row['latency_ms_median'])} ms{spread}", f"n = {row['latency_ms_n']}", *tokens]


def campaigns_of(board: Board, arm: Arm) -> list[str]:
    """The campaigns of the runs that `explain` names."""
    kept = board.runs[board.runs["id"].isin(arm["runs"][-MOST:])]
    return words.distinct(kept["campaign"])


def _other(arm: Arm) -> str:
    runs = ", ".join(str(run) for run in arm["runs"][: tables.MOST_IDS]) or "none"
    return f"{arm['outcome']} ×{arm['sessions']}, {words.device(arm) or words.browser(arm)}: runs {runs}"
