"""A page for each browser, made of the runs that are stored under results/ and of nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from bench.browsers import BROWSERS
from bench.harness.outcome import Outcome
from bench.plan.request import STOCK
from bench.record import Environment
from bench.report import tables, words
from bench.report.board import Board
from bench.report.repeat import repeat_commands
from bench.report.row import Arm, value_at, writes
from made_hearsay import hearsay
from made_reference import code, page, table
from made_sets import ResultSet, result_sets

TITLES = {
    "chrome": "Chrome and Chromium",
    "edge": "Edge",
    "firefox": "Firefox",
    "safari": "Safari",
    "webkitgtk": "WebKitGTK",
}
_ABOUT = {
    "chrome": "The name `chrome` takes Google Chrome, else the Chromium that `bench browsers install chrome` "
    "fetches, else the distribution's. Another build is named by its path: "
    "`--browser chrome:/usr/bin/chromium`.",
    "edge": "The name `edge` takes Microsoft Edge where it is installed. It is started as Chrome is, with "
    "its own driver.",
    "firefox": "The name `firefox` takes the Firefox that is installed; WebGPU is switched on by preference.",
    "safari": "The name `safari` takes Safari on macOS, through `safaridriver`. WebKit on Linux is "
    "[another browser](webkitgtk.md), and stands for nothing that Safari does.",
    "webkitgtk": "The name `webkitgtk` takes WebKitGTK's MiniBrowser. It is kept for what it lacks, and is "
    "not [Safari](safari.md).",
}
_LIMITS = (
    "maxBufferSize",
    "maxStorageBufferBindingSize",
    "maxComputeWorkgroupStorageSize",
    "maxComputeInvocationsPerWorkgroup",
)
_ARM = ("model", "tokens", "platform", "options", "bits", "outcome")
_NUMBERS = ("latency ms", "weights MB", "memory saved", "kernel rel. L2", "cosine to FP32", "ran on", "runs")


def browser_pages() -> dict[str, str]:
    """File name -> text, below docs/browsers/."""
    return {"index.md": _index(), **{f"{name}.md": _page(name) for name in TITLES}}


def _of(name: str) -> list[tuple[ResultSet, Board]]:
    """The sets that have runs of models asked of this browser, cut down to those."""
    found = []
    for one in result_sets():
        runs = one.models.runs
        asked = runs["requested_browser"].astype("string").str.split(":").str[0] == name
        if asked.any():
            found.append((one, Board.of(runs[asked])))
    return found


def _ran(name: str) -> bool:
    """Whether any stored run of it came to speak with the browser."""
    return any(_spoke(board) for _, board in _of(name))


def _spoke(board: Board) -> bool:
    return bool((board.runs["outcome"] != Outcome.UNAVAILABLE.value).any())


def _page(name: str) -> str:
    sets = _of(name)
    parts: list[Any] = [
        f"{_ABOUT[name]} Where it is missing: {BROWSERS[name].remedy}.",
        "Everything below is read from the runs stored under `results/` when this page was made; what is not "
        "there was not measured. A run's number leads to all that is known of it, in the checkout:",
        ["```bash", *(f"bench show {board.runs['id'].iloc[0]} {one.db}" for one, board in sets[:1]), "```"],
    ]
    if not _ran(name):
        parts += _unavailable(name, sets)
    else:
        for heading, make in (
            ("Where it ran", _places),
            ("What ran, fell back and was refused", _support),
            ("In its own words", _words),
            ("Time, size and accuracy", _numbers),
            ("What it says of itself", _abilities),
            ("To repeat it", _repeat),
        ):
            made = list(make(sets))
            parts += [f"## {heading}", *made] if made else []
    claims = hearsay(name)
    if claims:
        parts += [
            "## What the announcement said",
            "The update of March 2025 gave these considerations without a measurement. Stored runs say:",
            table(("the announcement", "the stored runs"), claims),
        ]
    return page(TITLES[name], *parts)


def _unavailable(name: str, sets: Sequence[tuple[ResultSet, Board]]) -> Iterator[Any]:
    yield "## Nothing was measured"
    count = sum(len(board.runs) for _, board in sets)
    asked = f"{count} runs were asked of it, and each is an `{Outcome.UNAVAILABLE}` row" if count else ""
    yield (
        f"No machine that stored runs so far had this browser: {asked or 'none was asked of it'}. So there "
        "is no time, no accuracy and no feature to tell."
    )
    yield from _words(sets)
    yield "To fill this page, on a machine that has it:"
    yield [
        "```bash",
        f"bench doctor --browser {name}",
        f"bench run --platform both --browser {name} --sequence-length 16",
        f"bench run --platform webnn --browser {name} --bits 4 --bits 2 --experimental-precision "
        "--sequence-length 16",
        f"bench run --browser {name} --model whisper-tiny.en --sequence-length 50",
        "```",
    ]
    yield (
        "Then publish the database as [results/README.md](../../results/README.md) says, and type "
        "`make docs`."
    )


def _places(sets: Sequence[tuple[ResultSet, Board]]) -> Iterator[Any]:
    rows = []
    for one, board in sets:
        keys = ["browser_version", "adapter", "os", "cpu"]
        ran = board.runs[board.runs["outcome"] != Outcome.UNAVAILABLE.value]
        for values, runs in ran.groupby(keys, dropna=False, sort=False):
            software = bool(runs["adapter_is_fallback"].fillna(False).any())
            version, adapter, system, cpu = (_plain(value) for value in values)
            kind = " (a software adapter: its times say nothing of a GPU)" if software else ""
            rows.append((one.title, version, f"{adapter or 'none'}{kind}", f"{cpu}, {system}", len(runs)))
    yield table(("result set", "build", "WebGPU adapter", "host", "runs"), rows)


def _plain(value: Any) -> str:
    return "" if value is None or value is pd.NA or value != value else words.visible(value)


def _support(sets: Sequence[tuple[ResultSet, Board]]) -> Iterator[Any]:
    for one, board in sets:
        frame = tables.support_matrix(board.arms)
        yield f"{one.title}, cells by outcome:"
        yield _framed(frame)


def _framed(frame: pd.DataFrame) -> list[str]:
    """A frame of text without the columns that say nothing in any row."""
    columns = [name for name in frame.columns if (frame[name] != "").any()]
    return table(columns, frame[columns].itertuples(index=False))


def _words(sets: Sequence[tuple[ResultSet, Board]]) -> Iterator[Any]:
    """Every distinct reason, verbatim, with the first run that has it."""
    for one, board in sets:
        bad = board.runs[board.runs["outcome"] != Outcome.OK.value]
        rows: dict[tuple[str, ...], list[int]] = {}
        for run in bad["id"]:
            record = one.records[int(run)]
            said = f"{record.error.name}: {record.error.message}" if record.error else record.fallback_reason
            asked = f"{record.requested.platform} {_mode(record.requested)}"
            key = (record.outcome.value, asked, " ".join(words.visible(said).split()))
            rows.setdefault(key, []).append(int(run))
        if rows:
            yield f"{one.title}:"
            yield table(
                ("outcome", "asked for", "words", "first run", "runs"),
                ((key[0], key[1], code(key[2]), runs[0], len(runs)) for key, runs in rows.items()),
            )


def _mode(asked: Any) -> str:
    parts = [f"{asked.bits}-bit", "experimental" if asked.experimental_precision else ""]
    if ":" in asked.browser:
        parts.append(f"in {asked.browser.partition(':')[2]}")
    return " ".join(part for part in parts if part)


def _numbers(sets: Sequence[tuple[ResultSet, Board]]) -> Iterator[Any]:
    yield (
        "Median latency with its 95 % interval (of the sessions' medians where there are several; from "
        "least to most below six), bytes of weights against 16 bits, distance to NumPy on the same weights, "
        "cosine to the unquantized model. Two lines are compared by `bench compare`, not by looking at two "
        "intervals."
    )
    for one, board in sets:
        frame = tables.comparison(board.arms)
        frame = frame[frame["latency ms"] != ""]
        if not len(frame):
            continue
        yield f"{one.title}:"
        builds = frame["browser"].nunique() > 1
        chosen = frame[[*(["browser"] if builds else []), *_ARM, *_NUMBERS]]
        yield _framed(chosen.rename(columns={"runs": "run numbers"}))  # `runs` is a count on these pages


def _abilities(sets: Sequence[tuple[ResultSet, Board]]) -> Iterator[Any]:
    """Features, limits and WebNN types, once for each different answer."""
    found: dict[str, tuple[Environment, list[str]]] = {}
    for one, board in sets:
        for run in board.runs["id"]:
            said = one.records[int(run)].environment
            # What is asked of a browser depends on the platform: its own answer is the fuller one.
            if said.adapter is None and said.webnn is None:
                continue
            key = json.dumps([said.browser_version, said.adapter, said.webnn], sort_keys=True)
            found.setdefault(key, (said, []))[1].append(f"run {run} of {one.title}")
    for said, runs in found.values():
        yield f"**{said.browser} {said.browser_version}**, {runs[0]}:"
        yield list(_ability_lines(said))


def _ability_lines(said: Environment) -> Iterator[str]:
    adapter, webnn = said.adapter or {}, said.webnn or {}
    if adapter.get("supported"):
        yield f"- WebGPU adapter: {words.visible(adapter['name'])}"
        yield f"- features: {', '.join(f'`{one}`' for one in adapter.get('features', []))}"
        limits = adapter.get("limits", {})
        known = [f"`{name}` {limits[name]:,}" for name in _LIMITS if name in limits]
        yield f"- limits: {', '.join(known)}"
    elif adapter:
        yield f"- WebGPU: no ({words.visible(adapter.get('reason') or 'no reason given')})"
    if webnn.get("supported"):
        devices = ", ".join(f"`{name}` {text}" for name, text in (webnn.get("devices") or {}).items())
        yield f"- WebNN devices: {devices}"
        for operator, types in (webnn.get("data_types") or {}).items():
            yield f"- WebNN types of `{operator}`: {', '.join(types)}"
    elif webnn:
        yield f"- WebNN: no ({words.visible(webnn.get('reason') or 'no reason given')})"
    if said.timer_resolution_us is not None:
        isolated = "cross-origin isolated" if said.cross_origin_isolated else "not cross-origin isolated"
        yield f"- clock: steps of {words.number(said.timer_resolution_us)} µs, {isolated}"


def _repeat(sets: Sequence[tuple[ResultSet, Board]]) -> Iterator[Any]:
    yield "One session of each arm; the campaign files lie beside the sets that have several."
    for one, board in sets:
        anywhere = [arm for arm in board.arms if not _needs_gpu(arm)]
        elsewhere = [arm for arm in board.arms if _needs_gpu(arm)]
        if anywhere:
            yield f"{one.title}:"
            yield ["```bash", *repeat_commands(anywhere), "```"]
        if elsewhere:
            yield f"{one.title}, on a GPU that has the features and the memory:"
            yield ["```text", *repeat_commands(elsewhere), "```"]


def _needs_gpu(arm: Arm) -> bool:
    """Whether no test can type it on any machine: language models, and features beyond the stock ones."""
    return writes(arm) or value_at(arm, "requested_gpu_features") not in (None, STOCK)


def _index() -> str:
    rows = []
    for name, title in TITLES.items():
        sets = _of(name)
        runs = pd.concat([board.runs for _, board in sets]) if sets else pd.DataFrame()
        cells = [f"[{title}]({name}.md)"]
        for platform in ("webgpu", "webnn"):
            some = runs[runs["requested_platform"] == platform] if len(runs) else runs
            counted = Counter(some["outcome"]) if len(some) else Counter()
            cells.append(", ".join(f"{outcome} ×{count}" for outcome, count in counted.most_common()))
        rows.append([*cells, ", ".join(one.title for one, _ in sets)])
    return page(
        "Browsers",
        "What each browser did in the runs that are stored under `results/`, and nothing else: every figure "
        "on these pages has a run behind it. Runs by outcome:",
        table(("browser", "WebGPU", "WebNN", "result sets"), rows),
        "What this machine has, and what each of its browsers can do:",
        ["```bash", "bench doctor", "```"],
        "Result sets and how one is published: [results](../../results/README.md).",
    )
