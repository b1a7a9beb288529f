"""Campaigns as they are shown: a plan, a status, each as text or JSON."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.cli.tables import Cell, console, print_table, say
from bench.harness import identity
from bench.harness.foresight import Asked, Foreseen, asked
from bench.plan.campaign import CampaignFile
from bench.plan.cells import Plan
from bench.plan.estimate import Estimate, in_words
from bench.plan.request import STOCK, Request
from bench.store import CampaignState, Status


def plan_json(
    file: CampaignFile, plan: Plan, foreseen: dict[Asked, Foreseen], estimate: Estimate
) -> dict[str, Any]:
    """What `bench campaign plan --json` prints."""
    cells = []
    for cell in plan.cells:
        expected = foreseen.get(asked(cell.request))
        cells.append(
            {
                "position": cell.position,
                "block": cell.block,
                "role": cell.role,
                "requested": cell.request.model_dump(mode="json"),
                "expected": asdict(expected) if expected else None,
            }
        )
    return {
        "name": file.name,
        "seed": plan.seed,
        "plan_hash": plan.hash,
        "cells": cells,
        "estimate": asdict(estimate),
    }


def print_plan(
    file: CampaignFile,
    arms: Sequence[Request],
    plan: Plan,
    foreseen: dict[Asked, Foreseen],
    estimate: Estimate,
) -> None:
    """The cells in their order, what is known not to run, and the time."""
    out = console()
    lines: list[list[Cell]] = []
    for cell in plan.cells:
        one = cell.request
        expected = foreseen.get(asked(one))
        lines.append(
            [
                *(str(cell.position), str(cell.block), one.model, one.browser, one.platform),
                " ".join([str(one.bits), *one.options]),
                f"{one.batch_size}x{one.sequence_length}",
                expected.outcome.value if expected else "" if cell.role == "arm" else "A/A twin",
            ]
        )
    print_table(out, ("cell", "block", "model", "browser", "platform", "bits", "shape", "expected"), lines)
    for (browser, platform, features), one_of in foreseen.items():
        set_of = f" features {features}" if features not in (None, STOCK) else ""
        say(out, f"{browser} {platform}{set_of}: {one_of.outcome.value}: {one_of.because}", style="yellow")
    twin = " and a hidden A/A twin" if file.a_a else ""
    say(
        out,
        f"campaign {file.name}: {len(arms)} arms{twin} in {file.blocks} blocks, {len(plan.cells)} cells, "
        f"seed {plan.seed}, plan {plan.hash[:16]}",
    )
    say(out, _eta(estimate))


def _eta(estimate: Estimate) -> str:
    if estimate.seconds is None:
        return "time: not known yet, no such cell has run on this database; the first block will tell"
    basis = f"{estimate.exact} cells by their own runs, {estimate.similar} by similar ones"
    unknown = f", {estimate.unknown} by the mean of the others" if estimate.unknown else ""
    return f"time: about {in_words(estimate.seconds)} ({basis}{unknown})"


def status_json(status: Status) -> dict[str, Any]:
    """What `bench campaign status --json` prints."""
    found = asdict(status)
    found["blocks"] = {"planned": status.blocks[0], "finished": status.blocks[1]}
    found["leases"] = [
        {
            "position": lease.cell.position,
            "requested": lease.cell.request.model_dump(mode="json"),
            "worker": lease.owner,
            "stage": lease.stage,
            "leased_at": lease.leased_at,
            "heartbeat_at": lease.heartbeat_at,
            "gone": lease.expired or identity.gone(lease.owner),
        }
        for lease in status.leases
    ]
    return found


def print_status(status: Status) -> None:
    """A campaign in a few lines on stdout, and what to type next."""
    cells = ", ".join(f"{count} {state}" for state, count in sorted(status.cells.items()))
    runs = ", ".join(f"{count} {outcome}" for outcome, count in sorted(status.runs.items())) or "none yet"
    note = f" ({status.note})" if status.note else ""
    lost = [lease for lease in status.leases if lease.expired or identity.gone(lease.owner)]
    print(f"campaign {status.name} (number {status.id}): {status.state.value}{note}")
    print(
        f"  cells: {status.total} planned: {cells}; blocks finished: {status.blocks[1]} of {status.blocks[0]}"
    )
    print(f"  runs: {runs}")
    for lease in status.leases:
        worker = identity.parse(lease.owner)
        state = "GONE" if lease in lost else f"in stage {lease.stage}" if lease.stage else "at work"
        who = worker.short if worker else lease.owner
        print(f"  cell {lease.cell.position}, {lease.cell.request.label}: {who}, {state}")
    name = shlex.quote(status.name)  # to be typed
    if status.open and status.state is not CampaignState.CANCELLED and len(lost) == len(status.leases):
        print(f"go on: bench campaign resume {name}")
    else:
        print(f"more: bench query --campaign {name}, bench report --campaign {name}")
