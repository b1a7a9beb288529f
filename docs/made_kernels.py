"""Tables of operators: our kernels beside the peer, and sweeps of our kernels' constants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from bench.report import words
from bench.report.kernels_table import PEER, fastest_peer, micro, ratio, reasons, times
from made_operators import NOT_RUN, OURS, Group, Operators, Side
from made_reference import code, table

MOST_ROWS = 12
_HEAD = (
    *("operator", "bits", "ours, GPU µs", "peer, GPU µs", "peer's level", "ratio", "ours, wall µs"),
    *("peer, wall µs", "wall ratio", "of reading", "of f32 arithmetic", "not ok"),
)
_HEAD_SWEEP = ("constants", "GPU µs", "to the default", "wall µs", "outcome")


def compared(one: Operators) -> Iterator[Any]:
    """A campaign's operators beside the peer, in one table, and the line that repeats it."""
    groups = one.groups()
    yield one.said
    rows = [_row(group) for group in groups]
    yield table(_HEAD, rows)
    yield from _in_short(groups)
    yield from _why([side for group in groups for side in group.sides if not _tuned(side)])
    yield one.command()


def swept(one: Operators) -> Iterator[Any]:
    """A campaign's constants: a table for each operator and precision, and the line that repeats it."""
    yield one.said
    for group in one.groups():
        bits = f", {group.bits_said} bits" if group.bits_said else ""
        yield f"**{group.operator}{bits}**"
        yield from _swept(group)
    yield from _why([side for group in one.groups() for side in group.sides])
    yield one.command()


def _tuned(side: Side) -> bool:
    return not side.is_peer and side.label != OURS


def _row(group: Group) -> list[str]:
    """Under `_HEAD`. The peer is the fastest of its accuracy levels, named where there are several."""
    figures = dict(zip((side.label for side in group.sides), group.figures(), strict=True))
    ours = figures.get(OURS, {})
    best = fastest_peer([side.record for side in group.sides])
    theirs = next((figures[side.label] for side in group.sides if side.record is best), {})
    return [
        group.operator,
        group.bits_said,
        micro(ours.get("gpu_ms")),
        micro(theirs.get("gpu_ms")),
        _level(group, theirs.get("variant")),
        times(ours.get("gpu_ratio")),
        micro(ours.get("wall_ms")),
        micro(theirs.get("wall_ms")),
        times(ours.get("wall_ratio")),
        words.percent(ours.get("bandwidth")),
        words.percent(ours.get("arithmetic")),
        "; ".join(_not_ok(group)),
    ]


def _level(group: Group, label: str | None) -> str:
    """The peer's accuracy level, where this operator was asked for at several, or at another than 0."""
    levels = {side.label for side in group.sides if side.is_peer}
    if label is None or levels <= {PEER}:
        return ""
    return label.partition(" level ")[2] or "0"


def _not_ok(group: Group) -> Iterator[str]:
    """`ours incorrect`, `peer level 4 interrupted`, `peer not run`."""
    for engine, name in ((OURS, "ours"), (PEER, "peer")):
        if engine not in group.missing:
            yield f"{name} not asked for"
        for side in group.sides:
            if side.record.requested.engine == engine and not _tuned(side) and side.outcome != "ok":
                yield f"{side.label.replace(engine, name)} {side.outcome}"
        if group.missing.get(engine):
            yield f"{name} {NOT_RUN}"


def _in_short(groups: Sequence[Group]) -> Iterator[str]:
    """How many were compared, and the middle and the ends of their ratios."""
    found = []
    for group in groups:
        for side, figure in zip(group.sides, group.figures(), strict=True):
            if side.label == OURS and figure["gpu_ratio"] is not None:
                name = f"{group.operator}{f' at {group.bits_said} bits' if group.bits_said else ''}"
                found.append((figure["gpu_ratio"], name))
    if found:
        faster = sum(each > 1 for each, _ in found)
        (least, worst), (most, best) = min(found), max(found)
        yield (
            f"Ours is faster in {faster} of the {len(found)} that were timed on both sides. The ratio of GPU "
            f"times is {times(median(each for each, _ in found))} in the middle, {times(least)} at the least "
            f"({worst}) and {times(most)} at the most ({best})."
        )


def _why(sides: Sequence[Side]) -> Iterator[list[str]]:
    """In the words of the browser or of the harness."""
    said = reasons(run for side in sides for run in side.runs)
    if said:
        yield ["```text", *(" ".join(one.split()) for one in said), "```"]


def _swept(group: Group) -> Iterator[Any]:
    """The fastest first; failures, the default and the peer stay where not all have room."""
    figures = group.figures()
    default = next((side.record for side in group.sides if side.label == OURS), None)
    ranked = sorted(zip(group.sides, figures, strict=True), key=lambda pair: _rank(pair[1]))
    kept = [side for side, figure in ranked if not _timed(figure) or not _tuned(side)]
    room = MOST_ROWS - len(kept)
    kept += [side for side, figure in ranked if _timed(figure) and _tuned(side)][: max(room, 0)]
    rows = []
    for side, figure in ranked:
        if side in kept:
            # `ratio` says nothing of the default to itself.
            to_default = ratio(default, side.record, "gpu_ms") or ratio(default, side.record, "wall_ms")
            rows.append(
                [
                    "default" if side.label == OURS else code(side.label.removeprefix(f"{OURS} ")),
                    micro(figure["gpu_ms"]),
                    times(to_default),
                    micro(figure["wall_ms"]),
                    side.outcome,
                ]
            )
    yield table(_HEAD_SWEEP, rows)
    left = [f"{len(ranked) - len(rows)} slower ones left out"] if len(ranked) > len(rows) else []
    left += [f"{count} cells {NOT_RUN}" for count in [sum(group.missing.values())] if count]
    if left:
        yield f"{'; '.join(left)}."


def _timed(figure: dict[str, Any]) -> bool:
    return figure["wall_ms"] is not None


def _rank(figure: dict[str, Any]) -> tuple[bool, float]:
    """By GPU time, else by wall time; what was not timed comes last."""
    spent = figure["gpu_ms"] if figure["gpu_ms"] is not None else figure["wall_ms"]
    return spent is None, spent or 0.0
