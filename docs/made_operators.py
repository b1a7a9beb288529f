"""Campaigns of operators in the published sets: what came of their cells, and the line that repeats them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from bench.models.operators import of
from bench.plan.measuring import OPERATORS
from bench.record import RunRecord
from bench.report.kernels_table import PEER, ratios, variant_of
from bench.report.repeat import operators_command
from bench.store import Campaign, CampaignState
from made_sets import ResultSet

NOT_RUN = "not run"
OURS = "native"
AUDIO = "audio-"  # how names of Whisper's campaigns begin
_WIDTH = 100


@dataclass(frozen=True, eq=False)
class Side:
    """One variant of one operator, over all blocks.

    Attributes:
        record: its run; of several blocks one whose times are the median over them.
        runs: one a block.
    """

    record: RunRecord
    runs: list[RunRecord]

    @property
    def outcome(self) -> str:
        """Of its runs, each once: `ok`, `ok, crashed`."""
        return ", ".join(dict.fromkeys(one.outcome.value for one in self.runs))

    @property
    def label(self) -> str:
        """`native {"ROWS": 4}`, `ort-web level 4`."""
        return variant_of(self.record)

    @property
    def is_peer(self) -> bool:
        """Whether it is the peer's."""
        return self.record.requested.engine == PEER


@dataclass(frozen=True)
class Group:
    """One operator at one precision.

    Attributes:
        operator: `matmul 512x4096x4096`.
        bits: of its matrix; 16 where it has none.
        sides: its variants that have runs.
        missing: engine that was asked for -> how many of its cells have no run.
    """

    operator: str
    bits: int
    sides: list[Side]
    missing: dict[str, int]

    @property
    def bits_said(self) -> str:
        """Blank where it has no matrix."""
        return str(self.bits) if of(self.operator).packed else ""

    def figures(self) -> list[dict[str, Any]]:
        """What `bench kernels` says of each side, in their order."""
        return ratios([side.record for side in self.sides])


@dataclass(frozen=True)
class Operators:
    """A campaign of `bench kernels` in a published set."""

    owner: ResultSet
    campaign: Campaign

    @property
    def variants(self) -> list[str]:
        """Their labels: `native {"ROWS": 4}`."""
        return [str(one) for one in self.campaign.settings[OPERATORS]["variants"]]

    @property
    def sweeps(self) -> bool:
        """Whether it forces constants on our kernels."""
        return any(one.startswith(f"{OURS} {{") for one in self.variants)

    @property
    def of_audio(self) -> bool:
        """Whether `benchmarks/audio_shapes.py` asked for it: it has a page of its own."""
        return self.campaign.name.startswith(AUDIO)

    @property
    def compares(self) -> bool:
        """Whether it says how our kernels do as they are; a sweep does where it has the peer too."""
        return not self.sweeps or (
            OURS in self.variants and any(one.startswith(PEER) for one in self.variants)
        )

    @property
    def said(self) -> str:
        """Its name, browser, feature set, rounds, and state where it is not done."""
        asked, state = self.campaign.cells[0].request, self.campaign.state
        rounds = self.campaign.settings[OPERATORS]["rounds"]
        parts = [asked.browser, f"feature set `{asked.gpu_features}`", f"{rounds} rounds"]
        parts += [f"{self._blocks} starts of the browser"] if self._blocks > 1 else []
        parts += [] if state is CampaignState.DONE else [f"the campaign is {state.value}"]
        return f"`{self.campaign.name}`: {', '.join(parts)}."

    @property
    def _blocks(self) -> int:
        return 1 + max(cell.block for cell in self.campaign.cells)

    def command(self) -> list[str]:
        """A block with the line that asks for it again. It is no `bash`: no test could type it."""
        asked, kernels = [cell.request for cell in self.campaign.cells], self.campaign.settings[OPERATORS]
        return ["```text", folded(operators_command(self.campaign.name, asked, kernels, self._blocks)), "```"]

    def records(self) -> list[RunRecord]:
        """The last attempt at each cell that has one, in the order of the cells."""
        return [record for _, _, record in self._cells() if record]

    def groups(self) -> list[Group]:
        """By operator and bits, in the order of the cells."""
        found: dict[tuple[str, int], list[tuple[int, str, RunRecord | None]]] = {}
        for cell, (block, engine, record) in zip(self.campaign.cells, self._cells(), strict=True):
            key = (cell.request.model, cell.request.bits)
            found.setdefault(key, []).append((block, engine, record))
        return [_group(operator, bits, cells) for (operator, bits), cells in found.items()]

    def _cells(self) -> list[tuple[int, str, RunRecord | None]]:
        """Block, engine and run of each cell."""
        last = self.owner.board.cells
        runs = {
            int(cell): run for cell, run in zip(last["cell_id"], last["id"], strict=True) if pd.notna(run)
        }
        return [
            (
                cell.block,
                cell.request.engine,
                self.owner.records[int(runs[cell.id])] if cell.id in runs else None,
            )
            for cell in self.campaign.cells
        ]


def only_of_audio(one: ResultSet) -> bool:
    """Whether a set holds nothing but Whisper's operators over workgroup shapes."""
    return bool(one.campaigns) and all(campaign.name.startswith(AUDIO) for campaign in one.campaigns)


def folded(words: Sequence[str]) -> str:
    """A command as it is typed, over several lines where it is long."""
    parts: list[str] = []  # each flag with its value, so that no line breaks between them
    for word in map(shlex.quote, words):
        if parts and not word.startswith("--"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    lines = parts[:1]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) < _WIDTH:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return " \\\n  ".join(lines)


def _group(operator: str, bits: int, cells: Sequence[tuple[int, str, RunRecord | None]]) -> Group:
    variants: dict[str, dict[int, RunRecord]] = {}
    missing: dict[str, int] = {}
    for block, engine, record in cells:
        missing[engine] = missing.get(engine, 0) + (record is None)
        if record is not None:
            variants.setdefault(variant_of(record), {})[block] = record
    blocks = sorted({block for block, _, _ in cells})
    return Group(operator, bits, [_pooled(one, blocks) for one in variants.values()], missing)


def _pooled(by_block: dict[int, RunRecord], blocks: Sequence[int]) -> Side:
    """Blocks as one: medians of what each has, and its rounds one after the other, blank where one has none.

    So the rounds of two variants still stand beside each other, and ratios are taken within each.
    """
    records = list(by_block.values())
    measured = [one for one in records if one.metrics.latency_ms]
    if len(blocks) == 1 or not measured:
        return Side(records[0], records)
    pooled = measured[0].model_copy(deep=True)
    rounds = max(len(one.evidence["rounds"]["wall_ms"]) for one in measured)
    for key in ("wall_ms", "gpu_ms"):
        pooled.evidence["rounds"][key] = [
            value for block in blocks for value in _rounds(by_block.get(block), key, rounds)
        ]
    gpu = [one.metrics.gpu_ms for one in measured if one.metrics.gpu_ms is not None]
    pooled.metrics.gpu_ms = median(gpu) if gpu else None
    assert pooled.metrics.latency_ms
    walls = [one.metrics.latency_ms.median for one in measured if one.metrics.latency_ms]
    pooled.metrics.latency_ms.median = median(walls)
    shares = [one.evidence["shares"] for one in measured if one.evidence.get("shares")]
    pooled.evidence["shares"] = {name: median(one[name] for one in shares) for name in (shares or [{}])[0]}
    return Side(pooled, records)


def _rounds(record: RunRecord | None, key: str, count: int) -> list[float | None]:
    found = (record.evidence.get("rounds") or {}).get(key) if record else None
    return list(found) if found else [None] * count
