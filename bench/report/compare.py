"""Two sets of runs, matched cell by cell and compared block by block.

Takes rows of `run_summary`, gives figures and words; it opens nothing and prints nothing.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.metrics import cost
from bench.plan.request import ASKED, SORTED
from bench.report import alike, words
from bench.report.row import Row, rows_of, value_at
from bench.stats.blocks import Comparison, compare_blocks, compare_separate
from bench.stats.many import Aggregate, geometric_mean, holm
from bench.stats.verdict import MARGIN, Judgement, Verdict, judge

Key = tuple[Any, ...]
Block = tuple[int, int]  # campaign, block

KERNELS = "kernels"  # what ran, beside what was asked: part of an arm (`bench.report.alike.code`)
NOT_PLANNED = "not asked for"
TIMED = "on a timer"
_ORDER = tuple(field.column for field in SORTED)
NEEDED = tuple(
    dict.fromkeys(
        (
            *("id", "campaign", "campaign_id", "cell_id", "block", "position", "attempt", "outcome", "role"),
            *("browser", "browser_version", "effective_device"),
            *(*alike.NEEDED, *ASKED),
        )
    )
)


@dataclass(frozen=True)
class Side:
    """One arm of a cell: what its sessions came to.

    `centre` is the geometric mean of the sessions that were compared; None where none was. `outcomes` counts
    the last attempt at each planned cell; `runs` names those that were compared, `device` what they ran on.
    """

    centre: float | None
    outcomes: Mapping[str, int]
    runs: tuple[int, ...] = ()
    device: str = ""


@dataclass(frozen=True)
class Matched:
    """One cell on both sides.

    `missing` says in a word why it could not be compared, `lacking` on which side; both are "" where it was.
    `differs` names what is not the same on both sides, which only `force` lets through; `beside` what is not
    the same and is only said. `unpaired` counts sessions whose block has no session of the other arm, `timed`
    those whose samples sit on a browser's timer.
    """

    arm: Mapping[str, Any]
    base: Side
    other: Side
    missing: str = ""
    lacking: str = ""
    differs: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    unpaired: int = 0
    timed: int = 0
    comparison: Comparison | None = None
    p: float | None = None
    judgement: Judgement | None = None


@dataclass(frozen=True)
class Twins:
    """A campaign's hidden A/A pair: one arm against itself, which must not come out faster or slower."""

    campaign: str
    arm: Mapping[str, Any]
    comparison: Comparison
    judgement: Judgement


@dataclass(frozen=True)
class Table:
    """Everything that a comparison came to, cells in the order of their arms."""

    base: str
    other: str
    metric: str
    margin: float
    varied: tuple[str, ...]
    cells: list[Matched]
    aggregate: Aggregate
    forced: bool
    verdicts: Mapping[Verdict, int] = field(default_factory=dict)
    twins: Sequence[Twins] = ()
    adapters: Sequence[str] = ()  # how those of two browsers differ

    @property
    def separate(self) -> bool:
        """Whether any cell's arms ran in campaigns of their own."""
        return any(
            cell.comparison is not None and cell.comparison.design == "separate" for cell in self.cells
        )

    @property
    def devices(self) -> Counter[str]:
        """`gpu against cpu`, with the number of cells, where the sides ran on different devices."""
        return Counter(
            f"{cell.base.device} against {cell.other.device}"
            for cell in self.cells
            if cell.comparison is not None and cell.base.device != cell.other.device
        )

    @property
    def beside(self) -> Counter[str]:
        """What is not the same and forbids nothing, with the number of cells."""
        return Counter(text for cell in self.cells for text in cell.beside)

    @property
    def differs(self) -> Counter[str]:
        """What was not the same, with the number of cells; compared all the same because it was forced."""
        return Counter(text for cell in self.cells for text in cell.differs)


def compare(
    base: Iterable[Row],
    other: Iterable[Row],
    names: tuple[str, str],
    metric: str,
    margin: float = MARGIN,
    *,
    force: bool = False,
) -> Table:
    """Match and compare two sides.

    A cell of one side meets the cell of the other that asked for the same in everything but what tells the
    sides apart: those requested columns in which they have no value in common. Where both ran in a block of
    one campaign, that block gives one ratio; where they share no block, sessions are compared as they are.
    Runs that fell back, sit on a browser's timer, or have no number, are not compared: they count in the
    coverage.

    Args:
        base, other: rows with at least the columns `NEEDED` and the metric; a cell that never ran is a row
            whose outcome is None.
        names: how the sides are called.
        metric: one of `bench.metrics.COMPARED`; the ratio of a rate is that of its times, below 1 is faster.
        margin: see `bench.stats.verdict.judge`.
        force: compare what is not comparable, and fallbacks, and say so.

    Raises:
        InputError: a side is empty, a run is on both sides, one cell would meet several, or, unless forced,
            adapters, clock steps, activations, weights, models or processors differ (`bench.report.alike`).
    """
    whole = _with_kernels([_latest(rows) for rows in (base, other)])
    sides = [[row for row in rows if row["role"] != "twin"] for rows in whole]
    _check_sides(sides, names)
    varied = _varied(sides)
    fixed = [name for name in (*ASKED, KERNELS) if name not in varied]
    grouped = [_by_key(rows, fixed) for rows in sides]
    _check_meeting(grouped, varied, names)
    keys = list(dict.fromkeys(key for one in grouped for key in one))
    cells = [
        _match(
            dict(zip(fixed, key, strict=True)),
            (grouped[0].get(key), grouped[1].get(key)),
            (metric, force, varied),
        )
        for key in keys
    ]
    cells.sort(key=lambda cell: [sortable(cell.arm.get(name)) for name in _ORDER])
    if not force:
        _check_alike(cells)
    adjusted = holm([cell.comparison.p if cell.comparison else None for cell in cells])
    cells = [_judged(cell, p, margin) for cell, p in zip(cells, adjusted, strict=True)]
    ratios = [cell.comparison.ratio if cell.comparison else None for cell in cells]
    said = Counter(cell.judgement.verdict for cell in cells if cell.judgement)
    aggregate = geometric_mean(ratios, [cell.missing for cell in cells if cell.missing])
    twins = _twins([*whole[0], *whole[1]], metric, margin)
    return Table(*names, metric, margin, varied, cells, aggregate, force, said, twins)


def _twins(rows: Sequence[Row], metric: str, margin: float) -> list[Twins]:
    """Every A/A pair among the campaigns of both sides."""
    arms: dict[Key, tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
    for row in rows:
        if _usable(row, metric, force=False):
            key = (row["campaign"], *(value_at(row, name) for name in ASKED))
            arms[key][row["role"] == "twin"].append(row)
    found = []
    for (campaign, *arm), pair in arms.items():
        blocks = _pairs(pair)
        if blocks:
            medians = [[_centre(block[side], metric) for block in blocks] for side in (0, 1)]
            order = [_place(block[1]) - _place(block[0]) for block in blocks]
            comparison = compare_blocks(medians[0], medians[1], order)
            named = dict(zip(ASKED, arm, strict=True))
            found.append(Twins(campaign, named, comparison, judge(comparison, margin)))
    return found


def _judged(cell: Matched, p: float | None, margin: float) -> Matched:
    if cell.comparison is None:
        return cell
    return replace(cell, p=p, judgement=judge(cell.comparison, margin, p))


def _latest(rows: Iterable[Row]) -> list[Row]:
    """The last attempt at each cell."""
    found: dict[int, Row] = {}
    for row in rows:
        known = found.get(row["cell_id"])
        if known is None or (row["attempt"] or 0) > (known["attempt"] or 0):
            found[row["cell_id"]] = row
    return list(found.values())


def _with_kernels(sides: Sequence[Iterable[Row]]) -> list[list[Row]]:
    """Rows that say what ran them. A run that failed before it could say is counted to what ran the others of
    its campaign and platform, where that is one.
    """
    found = [list(rows) for rows in sides]
    said: dict[Key, set[str]] = defaultdict(set)
    for row in (row for rows in found for row in rows):
        if (ran := alike.code(row)) is not None:
            said[row["campaign_id"], row["requested_platform"]].add(ran)

    def of(row: Row) -> str | None:
        others = said.get((row["campaign_id"], row["requested_platform"]), set())
        return alike.code(row) or (next(iter(others)) if len(others) == 1 else None)

    return [rows_of({**row, KERNELS: of(row)} for row in rows) for rows in found]


def _check_sides(sides: Sequence[list[Row]], names: tuple[str, str]) -> None:
    for rows, name in zip(sides, names, strict=True):
        if not rows:
            raise InputError(f"{name} has no runs: nothing to compare; see what there is with bench query")
    shared = {row["cell_id"] for row in sides[0]} & {row["cell_id"] for row in sides[1]}
    if shared:
        raise InputError(
            f"{names[0]} and {names[1]} have {len(shared)} cells in common: name sides that have none"
        )


def _varied(sides: Sequence[list[Row]]) -> tuple[str, ...]:
    values = [{name: {value_at(row, name) for row in rows} for name in (*ASKED, KERNELS)} for rows in sides]
    for one in values:
        one[KERNELS] -= {None}  # nothing ran: that tells no sides apart
    found = [name for name in ASKED if not values[0][name] & values[1][name]]
    return tuple(found) if values[0][KERNELS] & values[1][KERNELS] else (*found, KERNELS)


def _by_key(rows: Iterable[Row], fixed: Sequence[str]) -> dict[Key, list[Row]]:
    grouped: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[tuple(value_at(row, name) for name in fixed)].append(row)
    return grouped


def _check_meeting(
    grouped: Sequence[Mapping[Key, list[Row]]], varied: Sequence[str], names: tuple[str, str]
) -> None:
    for cells, name in zip(grouped, names, strict=True):
        for rows in cells.values():
            for axis in varied:
                values = words.distinct(value_at(row, axis) for row in rows)
                if len(values) > 1 and axis == KERNELS:
                    raise InputError(
                        f"{name} ran one cell of the other side with the kernels {' and '.join(values)}: say "
                        "which, for example by --campaign, harness_version= or effective_kernels="
                    )
                if len(values) > 1:
                    short = axis.removeprefix("requested_")
                    raise InputError(
                        f"{name} has {short} {' and '.join(values)} for one cell of the other side: "
                        f"say which, for example {short}={values[0]}"
                    )


def sortable(value: Any) -> tuple[bool, float, str]:
    """A key for a column of any kind: names in order, numbers from the largest down, blanks last."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return value is None, -value if number else 0.0, "" if number else str(value)


def _match(
    arm: dict[str, Any],
    found: tuple[list[Row] | None, list[Row] | None],
    how: tuple[str, bool, Sequence[str]],
) -> Matched:
    """One cell; `how` is the metric, whether force is used, and what tells the sides apart."""
    metric, force, varied = how
    base, other = (rows or [] for rows in found)
    timed = sum(_on_timer(row) for rows in (base, other) for row in rows)
    counts = _outcomes(base), _outcomes(other)
    usable = [[row for row in rows if _usable(row, metric, force)] for rows in (base, other)]
    if not (usable[0] and usable[1]):
        # OTHER is the one that is asked about, so that it says why where both lack it.
        lacking = "BASE" if usable[1] else "OTHER"
        if None in found:
            lacking = "BASE" if found[0] is None else "OTHER"
        missing = _why(counts[0] if lacking == "BASE" else counts[1])
        sides = (Side(None, counts[0]), Side(None, counts[1]))
        return Matched(arm, *sides, missing, lacking, timed=timed)
    differs, beside = alike.differences(usable, varied)
    pairs = _pairs(usable)
    if pairs:
        compared = [[row for block in pairs for row in block[side]] for side in (0, 1)]
        sessions = [[_centre(block[side], metric) for block in pairs] for side in (0, 1)]
        order = [_place(block[1]) - _place(block[0]) for block in pairs]
        comparison = compare_blocks(sessions[0], sessions[1], order)
    else:
        compared = usable
        sessions = [[_cost(row, metric) for row in rows] for rows in usable]
        comparison = compare_separate(sessions[0], sessions[1])
    first, second = (
        Side(cost(metric, _mean(values)), count, tuple(row["id"] for row in rows), _devices(rows))
        for values, count, rows in zip(sessions, counts, compared, strict=True)
    )
    # WebGPU on a GPU against WebNN on a processor is a question; one platform on two devices is a mishap.
    if first.device != second.device and "requested_platform" in arm:
        differs.append(f"devices {first.device} and {second.device}")
    unpaired = sum(map(len, usable)) - sum(map(len, compared))
    found_out = Matched(arm, first, second, unpaired=unpaired, timed=timed, comparison=comparison)
    return replace(found_out, differs=tuple(differs), beside=tuple(beside))


def _devices(rows: Iterable[Row]) -> str:
    return "/".join(sorted(words.distinct(row["effective_device"] for row in rows)))


def _why(outcomes: Mapping[str, int]) -> str:
    """The most frequent outcome of a side that has nothing to compare."""
    if not outcomes:
        return NOT_PLANNED
    most = max(outcomes, key=lambda name: outcomes[name])
    return "without this metric" if most == Outcome.OK else most


def _usable(row: Row, metric: str, force: bool) -> bool:
    ran = row["outcome"] == Outcome.OK or (force and row["outcome"] == Outcome.FALLBACK)
    return ran and not _on_timer(row) and value_at(row, metric) is not None and value_at(row, metric) > 0


def _on_timer(row: Row) -> bool:
    """Whether its samples are a browser's timer: no latency, whatever the row says."""
    return row["timer_ms"] is not None and row["outcome"] in (Outcome.OK, Outcome.FALLBACK)


def _outcomes(rows: Iterable[Row]) -> dict[str, int]:
    names = (
        "not run" if row["outcome"] is None else TIMED if _on_timer(row) else row["outcome"] for row in rows
    )
    return dict(Counter(str(name) for name in names))


def _pairs(usable: Sequence[list[Row]]) -> list[tuple[list[Row], list[Row]]]:
    """The blocks that have both arms, in order; an arm may stand twice in a block."""
    blocks: list[dict[Block, list[Row]]] = []
    for rows in usable:
        found: dict[Block, list[Row]] = defaultdict(list)
        for row in rows:
            found[row["campaign_id"], row["block"]].append(row)
        blocks.append(found)
    return [(blocks[0][key], blocks[1][key]) for key in sorted(blocks[0].keys() & blocks[1].keys())]


def _cost(row: Row, metric: str) -> float:
    return cost(metric, float(value_at(row, metric)))


def _centre(rows: Sequence[Row], metric: str) -> float:
    if len(rows) == 1:  # as it is, without the rounding of a logarithm
        return _cost(rows[0], metric)
    return _mean([_cost(row, metric) for row in rows])


def _mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def _place(rows: Sequence[Row]) -> float:
    return math.fsum(row["position"] for row in rows) / len(rows)


def _check_alike(cells: Sequence[Matched]) -> None:
    odd = Counter(text for cell in cells for text in cell.differs)
    if odd:
        listed = "; ".join(f"{text} ({count} cell{'s' * (count > 1)})" for text, count in odd.most_common(3))
        more = f"; and {len(odd) - 3} more" if len(odd) > 3 else ""
        raise InputError(f"not comparable: {listed}{more}; --force compares all the same and says so")
