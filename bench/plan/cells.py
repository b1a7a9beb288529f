"""The plan: arms times blocks, in an order that a seed repeats, byte for byte."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bench.errors import InputError
from bench.plan.request import AUTO, ENGINE_PLATFORMS, GENERATE, STOCK, Request

Role = Literal["arm", "twin"]
VERSION = 1


@dataclass(frozen=True)
class PlannedCell:
    """One arm in one block.

    Attributes:
        position: in the whole campaign, from 0.
        block: from 0.
        role: `twin` for the hidden second copy of one arm: no comparison shows it as an arm.
        request: what is asked for.
    """

    position: int
    block: int
    role: Role
    request: Request


@dataclass(frozen=True)
class Plan:
    """Cells in order, and everything that determined them.

    Attributes:
        seed: of the order.
        definition: the campaign as it was asked for, as JSON; equal files have equal ones.
        cells: in the order they run.
    """

    seed: int
    definition: Mapping[str, Any]
    cells: tuple[PlannedCell, ...]

    def canonical(self) -> str:
        """The plan as JSON with sorted keys: the same bytes from the same file and seed, everywhere."""
        cells = [
            {
                "block": cell.block,
                "position": cell.position,
                "role": cell.role,
                "request": _said(cell.request),
            }
            for cell in self.cells
        ]
        plan = {
            "version": VERSION,
            "seed": self.seed,
            "definition": dict(self.definition),
            "cells": cells,
        }
        return json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    def settled(self, settle: Callable[[Request], Request]) -> Plan:
        """The plan with each request as its model makes it: what is left out has the number that runs.

        Raises:
            InputError: two arms are one then.
        """
        known = {cell.request: settle(cell.request) for cell in self.cells}
        if len(set(known.values())) < len(known):
            twice = next(one for one in known.values() if list(known.values()).count(one) > 1)
            raise InputError(
                f"the cell {twice.model} {twice.label} stands twice: generate is {twice.generate} where "
                "nobody says it; name it once"
            )
        return replace(self, cells=tuple(replace(cell, request=known[cell.request]) for cell in self.cells))

    @property
    def hash(self) -> str:
        """SHA-256 of `canonical`, in hexadecimal."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


def _said(request: Request) -> dict[str, Any]:
    """A request without defaults: a field that a later version adds leaves the plans of today what they are.

    A language model's default is left out too, so that a file's plan has its hash before the model is known.
    """
    said = request.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    return {name: value for name, value in said.items() if (name, value) != ("generate", GENERATE)}


def make_plan(
    arms: Sequence[Request],
    seed: int,
    *,
    blocks: int = 1,
    twin: bool = False,
    definition: Mapping[str, Any] | None = None,
) -> Plan:
    """Each arm once a block; every second block runs in the order of the one before it, reversed.

    Mirroring cancels a steady drift of the machine within each pair of blocks: an arm that came early in one
    comes late in the other.

    Args:
        arms: each once.
        seed: of the order, and of which arm gets the twin.
        blocks: how many.
        twin: whether one arm runs twice a block.
        definition: kept with the plan.

    Raises:
        InputError: an arm asks for what its platform never has.
    """
    for arm in arms:
        _check_platform(arm)
    entries: list[tuple[Role, Request]] = [("arm", arm) for arm in arms]
    if twin:
        entries.append(("twin", twin_of(arms, seed)))
    shuffle = random.Random(seed).shuffle  # noqa: S311 - an order, not a secret
    cells: list[PlannedCell] = []
    order: list[tuple[Role, Request]] = []
    for block in range(blocks):
        if block % 2:
            order = order[::-1]
        else:
            order = list(entries)
            shuffle(order)
        for role, request in order:
            cells.append(PlannedCell(len(cells), block, role, request))
    return Plan(seed, dict(definition or {}), tuple(cells))


def _check_platform(arm: Request) -> None:
    """Raise InputError where an arm asks for what its platform never has."""
    platforms = ENGINE_PLATFORMS[arm.engine]
    if arm.platform not in platforms:
        others = [name for name, has in ENGINE_PLATFORMS.items() if arm.platform in has]
        raise InputError(
            f"platform {arm.platform} for engine {arm.engine} ({arm.model}): not allowed; engine "
            f"{arm.engine} has {', '.join(platforms)}; {arm.platform} is for engine {', '.join(others)}"
        )
    if arm.platform == "wasm" and arm.device in ("gpu", "npu"):
        raise InputError(f"device {arm.device} for {arm.label}: not allowed; platform wasm runs on the cpu")
    if arm.platform == "wasm" and arm.gpu_features != STOCK:
        raise InputError(
            f"gpu-features {arm.gpu_features} for {arm.label}: not allowed; platform wasm uses no GPU"
        )
    if arm.webnn_plan not in (None, AUTO):
        _check_webnn_plan(arm)
    if arm.platform == "webgpu" and arm.device == "npu":
        raise InputError(
            f"device npu for {arm.label}: not allowed; WebGPU has cpu (a software adapter) and gpu, an "
            "NPU is reached through platform webnn only"
        )


def _check_webnn_plan(arm: Request) -> None:
    """Raise InputError for a plan of WebNN's weights that the arm cannot have."""
    why = None
    if arm.platform != "webnn":
        why = f"platform {arm.platform} has no WebNN graph; say --platform webnn"
    elif arm.engine != "native":
        why = f"engine {arm.engine} plans its own graphs; leave --webnn-plan out"
    elif arm.bits == 16:
        why = "16-bit weights are held as they are; say --bits 8 or less"
    elif arm.webnn_plan == "qdq-int8" and arm.experimental:
        why = "its weights have 8 bits; leave --experimental-precision out"
    if why:
        raise InputError(f"webnn-plan {arm.webnn_plan} for {arm.model}, {arm.label}: not allowed; {why}")


def twin_of(arms: Sequence[Request], seed: int) -> Request:
    """The arm that runs twice: drawn among those of the first arm's browser and platform.

    A file names first what it cares for most, so the twin is where measuring is likely to work.
    """
    first = arms[0]
    likely = [arm for arm in arms if (arm.browser, arm.platform) == (first.browser, first.platform)]
    return random.Random(f"twin {seed}").choice(likely)  # noqa: S311 - a choice, not a secret
