"""When a campaign has run enough blocks: on the precision of its ratios, never on what they say."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from bench.plan.cells import Role
from bench.plan.request import Request
from bench.stats.blocks import compare_blocks
from bench.stats.verdict import FLOOR_BLOCKS, precise_enough


@dataclass(frozen=True)
class Session:
    """One measured session: its arm, its block, its place in the campaign, and its median in ms."""

    request: Request
    role: Role
    block: int
    position: int
    median: float


@dataclass(frozen=True)
class Precision:
    """How precise the ratios are.

    Attributes:
        blocks: the fewest that any ratio rests on.
        ratios: how many there are.
        widest: the largest half-width of a 95 % interval, as a part of the ratio; None where one of them has
            no interval yet.
        enough: whether every ratio has met the target.
    """

    blocks: int
    ratios: int
    widest: float | None
    enough: bool


def precision(sessions: Iterable[Session], target: float) -> Precision:
    """Every arm against the first one of its model and shape, by blocks; the hidden twin is one of them.

    Arms that never measured anything (unsupported, failed) have no ratio and hold nothing up.

    Args:
        sessions: those of the finished blocks.
        target: half-width wanted, as a part of the ratio.
    """
    groups: defaultdict[Hashable, dict[tuple[Request, Role], dict[int, Session]]] = defaultdict(dict)
    for one in sorted(sessions, key=lambda one: one.position):
        request = one.request
        arms = groups[request.model, request.weights, request.shape]
        arms.setdefault((request, one.role), {})[one.block] = one
    found = []
    for arms in groups.values():
        base, *others = sorted(arms.values(), key=lambda blocks: -len(blocks))
        for other in others:
            shared = sorted(base.keys() & other.keys())
            if shared:
                order = [float(other[block].position - base[block].position) for block in shared]
                medians = [[arm[block].median for block in shared] for arm in (base, other)]
                found.append(compare_blocks(medians[0], medians[1], order))
    blocks = min((one.blocks for one in found), default=0)
    widths = [one.half_width for one in found]
    known = [width for width in widths if width is not None]
    widest = math.expm1(max(known)) if known and len(known) == len(widths) else None
    enough = bool(found) and all(precise_enough(one, target) for one in found)
    return Precision(blocks, len(found), widest, enough)


def may_stop(block: int) -> bool:
    """Whether to ask after this block: from the floor on, after whole pairs of mirrored blocks."""
    return block + 1 >= FLOOR_BLOCKS and (block + 1) % 2 == 0
