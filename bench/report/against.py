"""Every precision of a campaign against its own 16-bit arm, judged over the whole campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.errors import InputError
from bench.metrics import DECODE, LATENCY
from bench.plan.request import ASKED, SORTED
from bench.report.board import as_rows
from bench.report.compare import NEEDED, Matched, compare, sortable
from bench.report.row import Row, rows_of, value_at, writes
from bench.stats.many import benjamini_hochberg
from bench.stats.verdict import MARGIN, judge

BASELINE = 16
MOST_CAMPAIGNS = 12  # the newest; older ones are compared by `bench compare`
_LEAST_BLOCKS = 2  # one block has no interval
_ORDER = tuple(field.column for field in SORTED)


@dataclass(frozen=True)
class Against:
    """One arm of a campaign against the arm at 16 bits that asked for the same in all else.

    `refused` says why the two are not compared; "" where they were.
    """

    campaign: str
    arm: Mapping[str, Any]
    cell: Matched | None
    refused: str = ""


def campaigns_with_blocks(cells: pd.DataFrame) -> list[str]:
    """Campaigns that ran several blocks with 16 bits and less, the newest first."""
    found = []
    for name, part in cells.groupby("campaign", sort=False):
        widths = set(part["requested_bits"])
        if part["block"].nunique() >= _LEAST_BLOCKS and BASELINE in widths and len(widths) > 1:
            found.append((part["cell_id"].max(), str(name)))
    return [name for _, name in sorted(found, reverse=True)]


def against_16(cells: pd.DataFrame, campaign: str, margin: float = MARGIN) -> list[Against]:
    """A campaign's arms in order; verdicts hold over all of them: of those that claim a difference, about
    5 % at most are false (Benjamini-Hochberg).

    Args:
        cells: of a `Board`, with at least the columns `NEEDED`, the median latency and that of a token: what
            a language model is compared by.
        campaign: whose.
        margin: what counts as no difference.
    """
    names = list(dict.fromkeys([*NEEDED, LATENCY, DECODE]))
    rows = as_rows(cells.loc[cells["campaign"] == campaign, names])
    found = []
    for metric, some in (
        (LATENCY, [row for row in rows if not writes(row)]),
        (DECODE, [row for row in rows if writes(row)]),
    ):
        base = [
            row for row in some if row["requested_bits"] == BASELINE and not row["requested_mixed_precision"]
        ]
        groups: dict[tuple[int, bool], list[Row]] = {}
        for row in some:
            if row["requested_bits"] != BASELINE:
                key = (row["requested_bits"], row["requested_mixed_precision"])
                groups.setdefault(key, []).append(row)
        for key, others in groups.items():
            found += _compared(campaign, base, others, key, (metric, margin))
    adjusted = benjamini_hochberg(
        [one.cell.comparison.p if one.cell and one.cell.comparison else None for one in found]
    )
    judged = [_judged(one, p, margin) for one, p in zip(found, adjusted, strict=True)]
    return sorted(judged, key=lambda one: [sortable(one.arm.get(name)) for name in _ORDER])


def _compared(
    campaign: str,
    base: Sequence[Row],
    others: Sequence[Row],
    key: tuple[int, bool],
    how: tuple[str, float],
) -> list[Against]:
    bits, mixed = key
    told = {"requested_bits": bits, "requested_mixed_precision": mixed}
    if mixed:  # else bits and mixing would both tell the sides apart, and 16 bits have nothing to mix
        base = rows_of({**row, "requested_mixed_precision": True} for row in base)
    names = (f"bits={BASELINE}", f"bits={bits}" + (" mixed" if mixed else ""))
    try:
        table = compare(base, others, names, *how)
    except InputError as error:
        shared = {
            name: value_at(others[0], name)
            for name in ASKED
            if len({value_at(row, name) for row in others}) == 1
        }
        return [Against(campaign, {**shared, **told}, None, str(error).partition("; --force")[0])]
    # What 16 bits have alone is no arm of this table.
    there = [cell for cell in table.cells if cell.other.outcomes]
    return [Against(campaign, {**cell.arm, **told}, cell) for cell in there]


def _judged(one: Against, p: float | None, margin: float) -> Against:
    if one.cell is None or one.cell.comparison is None:
        return one
    return replace(one, cell=replace(one.cell, p=p, judgement=judge(one.cell.comparison, margin, p)))
