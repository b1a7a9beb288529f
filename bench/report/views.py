"""The tables of the page: fields with a text, a place in the order, and a link to the runs behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from bench.report import compare_text, tables, words
from bench.report.against import Against
from bench.report.board import NOT_RUN, Board, as_rows
from bench.report.choice import Choice, name
from bench.report.compare import Matched
from bench.report.row import Row, value_at

MOST_RUNS, MOST_ARMS, MOST_LINES = 1500, 1500, 300
_MOST_LINKED = 100  # runs that one link shows
_SAID_ONCE = ("model", "tokens", "campaign", "block")
_LONG = ("words", "ran on", "asked", "binary", "adapter", "why", "choice", "browser")


@dataclass(frozen=True)
class Cell:
    """One field. `order` sorts it where its text would not; `runs` are shown when its link is followed."""

    text: str
    href: str = ""
    runs: str = ""
    order: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Line:
    """One row; `anchor` is its id in the page."""

    cells: Sequence[Cell]
    anchor: str = ""


@dataclass(frozen=True)
class View:
    """A table as the page shows it."""

    key: str
    caption: str
    heads: Sequence[str]
    lines: Sequence[Line]
    notes: Sequence[str] = field(default=())

    @property
    def outcomes(self) -> list[str]:
        """What the column `outcome` has, for its filter."""
        if "outcome" not in self.heads:
            return []
        place = list(self.heads).index("outcome")
        return sorted({line.cells[place].text for line in self.lines})


def tone(text: str) -> str:
    """The CSS class of a verdict: its first word, where it is the only one."""
    return "mixed" if "," in text else (text.split() or [""])[0] if text != NOT_RUN else "notrun"


def inlined_runs(board: Board) -> set[int]:
    """The runs that have a line of their own: some of each arm, what failed, then the newest."""
    ids = [int(one) for one in board.runs["id"]]
    if len(ids) <= MOST_RUNS:
        return set(ids)
    chosen: dict[int, None] = {}
    for depth in range(3):
        for arm in board.ran:
            if depth < len(arm["runs"]):
                chosen[arm["runs"][-1 - depth]] = None
    for run in reversed(ids):
        chosen[run] = None
        if len(chosen) >= MOST_RUNS:
            break
    return set(list(chosen)[:MOST_RUNS])


def linked(text: str, runs: Sequence[int], here: set[int], **more: str) -> Cell:
    """A number with a link to those of its runs that are in the page."""
    shown = [run for run in runs if run in here][-_MOST_LINKED:]
    if not text or not shown:
        return Cell(text, **more)
    return Cell(text, f"#run-{shown[0]}", " ".join(str(run) for run in shown), **more)


def support_view(board: Board, here: set[int]) -> View:
    """The support matrix."""
    frame = tables.support_matrix(board.arms)
    groups = list(tables.support_groups(board.arms).values())
    lines = []
    for line, members in zip(frame.to_dict(orient="records")[:MOST_LINES], groups, strict=False):
        cells = []
        for head, text in line.items():
            if str(head).endswith("-bit"):
                width = int(str(head).removesuffix("-bit"))
                runs = [run for arm in members if arm["requested_bits"] == width for run in arm["runs"]]
                cells.append(linked(text, runs, here, tone=tone(text)))
            else:
                cells.append(Cell(text))
        lines.append(Line(cells))
    caption = (
        "The last attempt at each cell. “fallback → 8”: ran right, at 8 bits instead of those asked for. "
        "“ran”: cells with a right result, of cells asked for. A verdict leads to its runs."
    )
    notes = _left(len(frame), MOST_LINES, "lines")
    return _narrow(View("support", caption, list(frame.columns), lines, notes))


def arms_view(board: Board, here: set[int]) -> View:
    """Every number, an arm a line."""
    frame = tables.comparison(board.arms)
    ran = [arm for arm in tables.sorted_arms(board.arms) if arm["outcome"] != NOT_RUN]
    lines = []
    for line, arm in zip(frame.to_dict(orient="records")[:MOST_ARMS], ran, strict=False):
        cells = []
        for head, text in line.items():
            order = _order(str(head), arm)
            if head in _MEASURED:
                cells.append(linked(text, arm["runs"], here, order=order))
            else:
                cells.append(Cell(text, order=order, tone=tone(text) if head == "outcome" else ""))
        lines.append(Line(cells, f"arm-{arm['runs'][0]}"))
    return _narrow(View("arms", _ARMS, list(frame.columns), lines, _left(len(frame), MOST_ARMS, "arms")))


_ARMS = (
    "An arm a line: the same request on the same browser, device and host. Latency: median of one "
    "inference with its 95 % interval within the session; over several sessions the median of theirs with "
    "its own interval, from least to most where fewer than six. n: samples. Memory saved: against the same "
    "weights in FP16. Kernel rel. L2: distance to the NumPy reference on the same quantized weights, the "
    "worst session. Of a language model latency is the time to the first token, tokens/s what it writes "
    "after that, same tokens the share that the unquantized model writes too. Blank: not measured. A number "
    "leads to its runs."
)
_MEASURED = (
    *("latency ms", "tokens/s", "n", "weights MB", "memory saved", "kernel rel. L2", "cosine to FP32"),
    *("same tokens", "runs"),
)
_ORDERS = {
    "bits": "requested_bits",
    "latency ms": "latency_ms_median",
    "tokens/s": "decode_tokens_per_s",
    "same tokens": "greedy_agreement",
    "n": "latency_ms_n",
    "weights MB": "weight_bytes",
    "memory saved": "memory_reduction",
    "kernel rel. L2": "kernel_rel_l2",
    "cosine to FP32": "cosine_fp32",
    "tokens": "requested_sequence_length",
}


def _order(head: str, row: Row) -> str:
    if head in ("run", "runs"):
        return str(value_at(row, "runs")[0] if "runs" in row else row["id"])
    return _plain(value_at(row, _ORDERS[head]) if head in _ORDERS else None)


def against_view(found: Sequence[Against], here: set[int], left: Sequence[str]) -> View:
    """Verdicts: every precision against 16 bits."""
    heads = ["model", "tokens", "browser", "platform", "bits", "options", "verdict", "ratio [95 %]"]
    heads += ["16-bit ms", "ms", "blocks", "campaign"]
    lines = []
    for one in found[:MOST_LINES]:
        arm, cell = one.arm, one.cell
        names = ("requested_model", "requested_sequence_length", "requested_browser", "requested_platform")
        cells = [Cell(words.visible(arm.get(name, ""))) for name in names]
        cells += [Cell(str(arm["requested_bits"])), Cell(compare_text.options(arm))]
        if cell is None:
            cells += [Cell(f"not compared: {one.refused}"), *[Cell("")] * 4]
        else:
            ratio = cell.comparison.ratio if cell.comparison else None
            cells += [
                Cell(_verdict(cell)),
                Cell(compare_text.ratio(cell), order=_plain(ratio)),
                *(
                    linked(words.number(side.centre), side.runs, here, order=_plain(side.centre))
                    for side in (cell.base, cell.other)
                ),
                Cell(compare_text.blocks(cell)),
            ]
        cells.append(Cell(words.visible(one.campaign)))
        lines.append(Line(cells))
    notes = [*_left(len(found), MOST_LINES, "comparisons")]
    if left:
        notes.append(f"Older campaigns are left out here: bench compare has them ({', '.join(left[:6])}).")
    return _narrow(View("against", _AGAINST, heads, lines, notes))


_AGAINST = (
    "Each precision against 16 bits of the same campaign, model, browser and platform, block by block: ratio "
    "of times (below 1 is faster) with its 95 % interval over blocks. faster and slower are said where the "
    "interval excludes 1 and the claim holds among all comparisons of its campaign that stand here: about 5 "
    "% of such claims at most are false (Benjamini-Hochberg). equivalent: the whole interval lies within 2 "
    "%. A language model is compared by the time of one token after the prompt, all else by that of one "
    "inference. A fallback or a failure is not compared; the verdict says which it was."
)


def _verdict(cell: Matched) -> str:
    """The verdict; where nothing was compared, which side lacks what: BASE is 16 bits."""
    if cell.judgement is not None:
        return compare_text.verdict(cell)
    return f"{'16-bit: ' if cell.lacking == 'BASE' else ''}{cell.missing}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"


def runs_view(board: Board, here: set[int]) -> View:
    """A run a line: what the links of the other tables lead to."""
    heads = "run|started|campaign|block|model|tokens|browser|platform|options|bits|outcome|latency ms"
    heads += "|tokens/s|n|cosine to FP32"
    lines = []
    for row in as_rows(board.runs[board.runs["id"].isin(here)]):
        texts = [
            str(row["id"]),
            str(row["started_at"])[:19].replace("T", " "),
            words.visible(row["campaign"]),
            str(row["block"]),
            words.visible(row["requested_model"]),
            str(row["requested_sequence_length"]),
            words.browser(row),
            words.platform(row),
            words.options(row),
            words.bits(row),
            row["outcome"],
            words.latency(row),
            words.tokens(row),
            "" if row["latency_ms_n"] is None else str(row["latency_ms_n"]),
            "" if row["cosine_fp32"] is None else f"{row['cosine_fp32']:.4f}",
        ]
        cells = [
            Cell(text, order=_order(head, row), tone=tone(text) if head == "outcome" else "")
            for head, text in zip(heads.split("|"), texts, strict=True)
        ]
        lines.append(Line(cells, f"run-{row['id']}"))
    caption = "Each attempt by itself. bench show RUN has everything about one, its evidence and samples too."
    left = len(board.runs) - len(lines)
    notes = [f"{left:,} more runs are in the database only: bench query lists them."] if left else []
    return _narrow(View("runs", caption, heads.split("|"), lines, notes))


def failures_view(board: Board, here: set[int]) -> View:
    """What is not ok, in the browsers' words."""
    frame, left = tables.failures(board.runs)
    lines = []
    for line in frame.to_dict(orient="records"):
        cells = [Cell(text, tone=tone(text) if head == "outcome" else "") for head, text in line.items()]
        cells[0] = linked(line["run"], [int(line["run"])], here)
        lines.append(Line(cells))
    caption = (
        "Runs that are not ok, earlier attempts too, in the browser's own words; the same words for the same "
        "request stand once, with the newest run and how many there were."
    )
    notes = [f'{left:,} more are in the database only: bench query --where "outcome != ok"'] if left else []
    return _narrow(View("failures", caption, list(frame.columns), lines, notes))


def environments_view(board: Board) -> View:
    """Where runs ran."""
    frame = tables.environments(board.runs)
    lines = [Line([Cell(text) for text in line]) for line in frame.head(MOST_LINES).itertuples(index=False)]
    caption = "Read from the browser and the host in the same session as the numbers."
    return _narrow(
        View(
            "environments", caption, list(frame.columns), lines, _left(len(frame), MOST_LINES, "environments")
        )
    )


def choice_view(found: Sequence[Choice], here: set[int], arms_shown: set[str], limit: float) -> View:
    """The answer."""
    several = any(one.host for one in found)
    lines = []
    for one in found[:MOST_LINES]:
        arm = one.arm
        cells = [Cell(words.visible(one.model)), Cell(_tokens(one))]
        cells += [Cell(one.host)] if several else []
        if arm is None:
            cells += [Cell("none"), *[Cell("")] * 4]
        else:
            anchor = f"arm-{arm['runs'][0]}"
            cells += [
                Cell(name(arm), f"#{anchor}" if anchor in arms_shown else ""),
                linked(words.latency(arm), arm["runs"], here, order=f"{arm['latency_ms_median']:.9g}"),
                linked(words.tokens(arm), arm["runs"], here, order=_plain(arm["decode_tokens_per_s"])),
                linked(words.megabytes(arm["weight_bytes"]), arm["runs"], here),
                linked(f"{arm['cosine_fp32']:.4f}", arm["runs"], here),
            ]
        lines.append(Line([*cells, Cell(one.why), Cell(f"{one.ran} of {one.asked}")]))
    heads = ["model", "tokens", *(["host"] if several else []), "choice", "latency ms", "tokens/s"]
    caption = (
        f"For each model the fastest arm that ran as requested and keeps a cosine of {limit:g} to the "
        "unquantized model (of language models the one with most tokens per second); the fewest bytes among "
        "those that intervals do not tell from the fastest. “cells”: those with a right result, of those "
        "asked for."
    )
    heads = [*heads, "weights MB", "cosine to FP32", "why", "cells"]
    view = View("choice", caption, heads, lines, _left(len(found), MOST_LINES, "models"))
    return view if any(one.generate for one in found) else _without(view, "tokens/s")


def _tokens(one: Choice) -> str:
    return f"{one.tokens} + {one.generate}" if one.generate else str(one.tokens)


def _without(view: View, head: str) -> View:
    place = list(view.heads).index(head)
    lines = [Line([*line.cells[:place], *line.cells[place + 1 :]], line.anchor) for line in view.lines]
    return replace(view, heads=[one for one in view.heads if one != head], lines=lines)


@dataclass(frozen=True)
class Answer:
    """A choice as a sentence: about what, what to take (with the id of its line), its numbers, and why."""

    about: str
    take: str
    link: str
    numbers: str
    why: str


def answer(one: Choice, arms_shown: set[str]) -> Answer:
    """A choice in words, without what was not measured."""
    batch = f"batch of {one.batch}" if one.batch != 1 else ""
    about = ", ".join(filter(None, [words.visible(one.model), f"{_tokens(one)} tokens", batch, one.host]))
    covered = f"{one.why}; {one.ran} of {one.asked} cells ran"
    if one.arm is None:
        return Answer(about, "no choice", "", ":", covered)
    arm, anchor = one.arm, f"arm-{one.arm['runs'][0]}"
    size = f", {words.megabytes(arm['weight_bytes'])} MB" if arm["weight_bytes"] is not None else ""
    low, high = words.interval(arm)
    spread = (
        f" [{words.number(low)}, {words.number(high)}]" if low < high else f" (n = {arm['latency_ms_n']})"
    )
    speed = f"{words.number(arm['latency_ms_median'])} ms{spread}"
    if arm["decode_tokens_per_s"] is not None:
        speed = f"{words.tokens(arm)} tokens/s, the first after {speed}"
    numbers = f", {speed}{size}, cosine {arm['cosine_fp32']:.4f}:"
    return Answer(about, name(arm), anchor if anchor in arms_shown else "", numbers, covered)


def _left(found: int, most: int, what: str) -> list[str]:
    note = f"{found - most:,} more {what} are left out here: write a report with --campaign or --where."
    return [note] if found > most else []


def _narrow(view: View) -> View:
    """Leave out a column that is blank in every line; say once what every line shares."""
    shared = {}
    for place, head in enumerate(view.heads):
        texts = {line.cells[place].text for line in view.lines}
        if head in _SAID_ONCE and len(texts) == 1 and len(view.lines) > 1:
            shared[head] = texts.pop()
    if said := [f"{head} {text}" for head, text in shared.items() if text]:
        view = replace(view, caption=f"Every line: {', '.join(said)}. {view.caption}")
    kept = [
        place
        for place, head in enumerate(view.heads)
        if head not in shared and any(line.cells[place].text for line in view.lines)
    ]
    lines = [Line([line.cells[place] for place in kept], line.anchor) for line in view.lines]
    return View(view.key, view.caption, [view.heads[place] for place in kept], lines, view.notes)


def css_class(head: str, cell: Cell) -> str:
    """How a field looks: a verdict by its tone, long words wrapped, numbers aligned."""
    if cell.tone:
        return f"v {cell.tone}"
    if head == "words":
        return "words"
    return "long" if head in _LONG else ""


def frame_of(view: View) -> pd.DataFrame:
    """The texts of a table, for Markdown."""
    rows: list[list[Any]] = [[cell.text for cell in line.cells] for line in view.lines]
    return pd.DataFrame(rows, columns=list(view.heads), dtype=object)
