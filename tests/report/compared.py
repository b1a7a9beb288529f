"""Made-up campaigns of several blocks for tests of comparison and history. No number here was measured."""

from __future__ import annotations

import numpy as np
from records import record, request

from bench.harness.outcome import Outcome

NOISE = 0.02


def campaign(store, name, arms, blocks=10, *, median=None, outcome=None, seed=1, **changes):
    """Every arm once a block, in an order mirrored block by block.

    median: (request, block) -> ms before noise; outcome: (request, block) -> Outcome, None for no run.
    """
    rng = np.random.default_rng(seed)
    order, requests = list(range(len(arms))), []
    for block in range(blocks):
        order = order[::-1] if block % 2 else rng.permutation(len(arms)).tolist()
        requests += [arms[place] for place in order]
    numbers = [block for block in range(blocks) for _ in arms]
    planned = store.create_campaign(name, requests, seed=seed, settings={}, blocks=numbers)
    for cell in planned.cells:
        found = outcome(cell.request, cell.block) if outcome else Outcome.OK
        if found is not None:
            level = median(cell.request, cell.block) if median else 20.0
            value = float(level * np.exp(NOISE * rng.standard_normal()))
            store.record(cell.id, record(cell.request, found, value, **changes))
    return planned


def bits(*widths, **changes):
    return [request(bits=width, **changes) for width in widths]
