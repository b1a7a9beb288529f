"""Whisper's operators over workgroup shapes, from the published sets and from nothing else."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.record import RunRecord
from bench.report.kernels_table import micro, reasons, times
from made_operators import NOT_RUN, OURS, Group, Operators, Side, folded, only_of_audio
from made_performance import NOTES, places
from made_reference import code, page, table
from made_sets import ResultSet, result_sets

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = "benchmarks/audio_shapes.py"
_ABOUT = (
    "The first announcement of this project gave audio models in Firefox workgroups of 256x1x1. Here that "
    "shape is a candidate like any other: convolution, attention, products and norm of Whisper-tiny, each "
    "timed with several shapes in one page and in the same rounds, in Chromium and in Firefox. Everything "
    "here is read from the databases under [results](../results/README.md), and published whatever it says."
)
_SPECTROGRAM = (
    "The spectrogram has no row: this product has no such operator, for log-mel is made in NumPy before a "
    "model is given its input. Nor has a softmax of its own: attention makes it within its kernel."
)
_READING = (
    "`workgroups` are those of the kernels that ran, all in one dimension: `unfold 256` is 256x1x1. A "
    "convolution is two kernels, its windows (`unfold`) and their product. `to the default` is the time of "
    "the untuned kernel over this one's, the median over rounds of the ratios within each, and in brackets "
    "the least and the most of them: above 1 this shape is faster. It is of GPU times, and of the clock's "
    "where there are none. A row that is called `as the default` forces what the kernel takes by itself: "
    "how far it is from 1 is the noise. Of two browsers only such ratios can be set side by side: their "
    "adapters need not be the same."
)
_GPU = (
    "These lines measure the same on a GPU, at the sizes of Whisper-tiny and thirty seconds of audio. The "
    "first one types all the others; what is published then stands above after `make docs`:"
)
_HEAD = ("workgroups", "constants")


def audio_page(folder: Path | None = None) -> str:
    """docs/audio.md, of the sets in a folder; None for those that are published."""
    sets = result_sets() if folder is None else result_sets(folder)
    parts = [part for one in sets for part in _of_set(one)]
    return page(
        "Whisper by workgroup",
        _ABOUT,
        _SPECTROGRAM,
        *([_READING, *parts] if parts else ["No published set holds such a sweep so far."]),
        "## On a GPU",
        _GPU,
        ["```text", f"python {SCRIPT} gpu", "```"],
        ["```text", *_lines("gpu"), "```"],
    )


def _lines(on: str) -> list[str]:
    """What the script types, as it prints it."""
    done = subprocess.run(
        [sys.executable, str(ROOT / SCRIPT), on, "--print"], capture_output=True, text=True, check=True
    )
    return [folded(shlex.split(line)) for line in done.stdout.splitlines()]


@dataclass(frozen=True)
class _Column:
    """One browser's sides of an operator, by their constants."""

    name: str
    group: Group
    sides: Mapping[str, Side]

    @property
    def default(self) -> Side | None:
        """The untuned kernel's."""
        return self.sides.get(OURS)


def _of_set(one: ResultSet) -> Iterator[Any]:
    campaigns = [Operators(one, campaign) for campaign in one.of_operators]
    campaigns = [found for found in campaigns if found.of_audio and found.records()]
    if not campaigns:
        return
    yield f"## {one.title}"
    yield places(record for found in campaigns for record in found.records())
    columns: dict[tuple[str, int], list[_Column]] = {}
    for found in campaigns:
        asked = found.campaign.cells[0].request
        name = asked.browser if asked.gpu_features == "stock" else f"{asked.browser} {asked.gpu_features}"
        for group in found.groups():
            sides = {side.label: side for side in group.sides}
            columns.setdefault((group.operator, group.bits), []).append(_Column(name, group, sides))
    for members in columns.values():
        group = members[0].group
        bits = f", {group.bits_said} bits" if group.bits_said else ""
        yield f"**{group.operator}{bits}**"
        yield from _tables(members)
    yield from _why([side for members in columns.values() for each in members for side in each.group.sides])
    if only_of_audio(one) and (one.folder / NOTES).is_file():
        yield (one.folder / NOTES).read_text(encoding="utf-8").strip()
    yield "Asked for by:"
    for found in campaigns:
        yield found.command()


def _tables(columns: Sequence[_Column]) -> Iterator[Any]:
    """A row for each set of constants, in the order they were asked for."""
    labels = list(dict.fromkeys(label for each in columns for label in each.sides))
    head = [
        *_HEAD,
        *(word for each in columns for word in (f"{each.name}, µs", f"{each.name}, to the default")),
    ]
    rows = []
    for label in labels:
        row = ["; ".join(dict.fromkeys(_workgroups(each.sides.get(label)) for each in columns))]
        row.append(_constants(label, columns))
        for each in columns:
            row += _cells(each, each.sides.get(label))
        rows.append(row)
    yield table(head, rows)
    said = [
        f"{each.name}: {count} cells {NOT_RUN}"
        for each in columns
        if (count := sum(each.group.missing.values()))
    ]
    if said:
        yield f"{'; '.join(said)}."


def _constants(label: str, columns: Sequence[_Column]) -> str:
    """What was forced, and in which browsers that is what the kernel takes by itself."""
    if label == OURS:
        return "default"
    same = [
        each.name
        for each in columns
        if each.default and label in each.sides and _kernels(each.default) == _kernels(each.sides[label])
    ]
    everywhere = len(same) == len(columns)
    said = f", as the default{'' if everywhere else f' in {same[0]}'}" if same else ""
    return code(label.removeprefix(f"{OURS} ")) + said


def _kernels(side: Side) -> list[str]:
    """The kernels that ran, with all that they were made of."""
    return list((side.record.evidence.get("notes") or {}).get("kernels") or {})


def _cells(column: _Column, side: Side | None) -> list[str]:
    """Time and ratio of one shape in one browser; its outcome where it has none."""
    if side is None:
        return [NOT_RUN, ""]
    spent = side.record.metrics.gpu_ms or (
        side.record.metrics.latency_ms.median if side.record.metrics.latency_ms else None
    )
    if spent is None or not side.record.outcome.measured:
        return [side.outcome, ""]
    return [micro(spent), _to_default(column.default, side)]


def _to_default(default: Side | None, side: Side) -> str:
    """`0.95x (0.9x to 1.1x)`."""
    if default is None or default is side:
        return ""
    for key in ("gpu_ms", "wall_ms"):
        both = [(each.record.evidence.get("rounds") or {}).get(key) or [] for each in (default, side)]
        found = [a / b for a, b in zip(*both, strict=False) if a is not None and b]
        if found:
            return f"{times(median(found))} ({times(min(found))} to {times(max(found))})"
    return ""


def _workgroups(side: Side | None) -> str:
    """`unfold 256, matmul_tile 16`: threads of each kernel that ran."""
    if side is None:
        return ""
    return ", ".join(dict.fromkeys(_threads(*name.partition(" ")[::2]) for name in _kernels(side)))


def _threads(shader: str, values: str) -> str:
    """Of a kernel by its name and constants, as its shader makes them of those."""
    known = json.loads(values or "{}")
    if "THREADS" in known:
        count = known["THREADS"]
    elif shader == "matmul_tile":
        count = known["BM"] // known["TM"] * (known["BN"] // known["TN"])
    elif shader == "attention":
        count = known["TQ"] // known["RQ"] * (known["TK"] // known["RK"])
    elif shader == "attention_matrix":
        count = 2 * known["TQ"]
    else:
        return shader
    return f"{shader} {count}"


def _why(sides: Sequence[Side]) -> Iterator[list[str]]:
    """Of what failed, in the words of the browser or of the harness."""
    runs: list[RunRecord] = [run for side in sides for run in side.runs]
    said = reasons(runs)
    if said:
        yield ["```text", *(" ".join(one.split()) for one in said), "```"]
