"""The plan of a campaign of operators: its cells in order, and what is kept so that it can go on later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.errors import InputError
from bench.harness.kernel_cases import Case
from bench.harness.kernel_records import request_of
from bench.harness.kernel_session import KernelWork, Variant
from bench.models import operators
from bench.plan.cells import Plan, PlannedCell
from bench.plan.measuring import OPERATORS
from bench.plan.request import Request
from bench.store import Campaign, Store

At = tuple[int, int, int]  # block, case, variant


def plan(store: Store, work: KernelWork, blocks: int, name: str | None) -> Campaign:
    """Write the whole plan, before anything runs; see `Store.plan_campaign`."""
    cells = tuple(
        PlannedCell(position, at[0], "arm", asked(work, *at[1:]))
        for position, at in enumerate(places(work, blocks))
    )
    return store.plan_campaign(name, Plan(0, {}, cells), settings={OPERATORS: _kept(work)})


def asked(work: KernelWork, case: int, variant: int) -> Request:
    """What one variant of one case asks for."""
    engine = work.variants[variant].engine
    return request_of(work.cases[case], engine, work.browser, work.features, work.device)


def places(work: KernelWork, blocks: int) -> list[At]:
    """Block, case and variant of every cell, in their order."""
    return [
        (block, case, variant)
        for block in range(blocks)
        for case, one in enumerate(work.cases)
        for variant in work.variants_of(one)
    ]


def _kept(work: KernelWork) -> dict[str, Any]:
    """What the cells do not say themselves. The labels are for readers."""
    return {
        "rounds": work.rounds,
        "spread": work.spread,
        "variants": [one.label for one in work.variants],
        "forced": [asdict(one) for one in work.variants],
        "timeout": work.timeout,
        "halves": work.halves,
    }


def restored(campaign: Campaign) -> tuple[KernelWork, int]:
    """What a campaign was planned with, and its starts of the browser.

    Raises:
        InputError: it was made by a version that kept too little, or its settings no longer fit its cells.
    """
    kept = campaign.settings[OPERATORS]
    if not {"forced", "timeout", "halves"} <= set(kept):
        raise InputError(
            f"the campaign {campaign.name!r} is one of operators, of a version that did not keep what going "
            "on needs: type bench kernels again, with another --name"
        )
    requests = [cell.request for cell in campaign.cells]
    first = requests[0]
    work = KernelWork(
        first.browser,
        first.gpu_features,  # type: ignore[arg-type]
        first.device,
        _cases(requests),
        [Variant(**one) for one in kept["forced"]],
        kept["rounds"],
        kept["spread"],
        kept["timeout"],
        kept["halves"],
    )
    blocks = 1 + max(cell.block for cell in campaign.cells)
    planned = [(at[0], asked(work, *at[1:])) for at in places(work, blocks)]
    if planned != [(cell.block, cell.request) for cell in campaign.cells]:
        raise InputError(
            f"the settings of the campaign {campaign.name!r} were changed in the database: they no longer "
            "give its cells; type bench kernels again, with another --name"
        )
    return work, blocks


def _cases(requests: Sequence[Request]) -> list[Case]:
    """Each operator at each of its bits once."""
    found = {Case(operators.of(one.model), one.bits, one.group_size, one.scheme): None for one in requests}
    return list(found)
