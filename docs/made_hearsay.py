"""What the announcement of March 2025 said of each browser, beside what stored runs say.

The sentences on the left are quoted from tests/data/announcement-2025-03.md; those on the right are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.report import words
from bench.report.board import as_rows, measured
from bench.report.compare import Matched, compare
from bench.report.row import Arm, Row, median_ms
from made_sets import ResultSet, result_sets

_NOTHING = "No run in this browser is stored: nothing can be said."


def hearsay(name: str) -> list[tuple[str, str]]:
    """(what was said, what stored runs say) of a browser; empty where it was not spoken of."""
    return [(f"“{claim}”", answer()) for claim, answer in _CLAIMS.get(name, ())]


def _arms(browser: str, platform: str, audio: bool = False) -> Iterable[tuple[str, Arm]]:
    """(result set, arm) of every arm that was measured as requested, with default options."""
    for one in result_sets():
        for arm in one.models.arms:
            plain = not words.options(arm) and arm["requested_browser"] == browser
            same = arm["requested_platform"] == platform and (arm["model_family"] == "whisper") == audio
            if plain and same and measured(arm) and arm["outcome"] == Outcome.OK:
                yield one.name, arm


def _levels(browser: str, platform: str) -> str:
    """How many cells of each precision ran as requested."""
    cells = pd.concat([one.models.cells for one in result_sets()])
    asked = cells[(cells["requested_browser"] == browser) & (cells["requested_platform"] == platform)]
    said = []
    for bits, some in sorted(asked.groupby("requested_bits"), key=lambda pair: -int(str(pair[0]))):
        ran = int((some["outcome"] == Outcome.OK.value).sum())
        said.append(f"{bits}-bit {ran} of {len(some)}")
    return f"Cells that ran as requested: {', '.join(said)}." if said else _NOTHING


def _fastest(browser: str, *, audio: bool = False) -> str:
    """Which precision had the lowest median, for each set and model."""
    groups: dict[tuple[str, str, str], list[Arm]] = {}
    for name, arm in _arms(browser, "webgpu", audio):
        groups.setdefault((name, arm["model"], words.device(arm)), []).append(arm)
    said = []
    for (name, model, device), arms in groups.items():
        best = min(arms, key=median_ms)
        shown = ", ".join(
            f"{arm['requested_bits']}-bit {words.number(arm['latency_ms_median'])}"
            for arm in sorted(arms, key=lambda arm: -arm["requested_bits"])
        )
        said.append(
            f"{model} on {device} (`{name}`): lowest median at {best['requested_bits']} bits ({shown} ms)"
        )
    return f"{'; '.join(said)}. Neighbouring medians within each other's interval are no ranking."


def _since() -> str:
    versions: dict[str, set[str]] = {}
    for one in result_sets():
        for row in as_rows(one.models.runs):
            if row["requested_platform"] == "webnn" and row["browser"] == "chrome":
                word = "ran" if Outcome(row["outcome"]).measured else str(row["outcome"])
                major = f"{words.short_version(row['browser_version'])} ({row['browser_binary']})"
                versions.setdefault(major, set()).add(word)
    known = "; ".join(f"{version}: {', '.join(sorted(words_))}" for version, words_ in versions.items())
    return f"Stored are only these builds: {known}. Of 122 nothing is stored."


def _no_webnn(browser: str) -> str:
    """The words with which it says so."""
    said: dict[str, int] = {}
    for one in result_sets():
        for row in as_rows(one.models.runs):
            if row["browser"] == browser and row["requested_platform"] == "webnn":
                text = f"`{row['outcome']}`: {row['error_message'] or ''}".strip(": ")
                said[text] = said.get(text, 0) + 1
    return "; ".join(f"{text} ({count} runs)" for text, count in said.items()) or _NOTHING


def _audio() -> str:
    """Whisper in both browsers: a verdict where they ran on one GPU, else why there is none."""
    said, refused = [], []
    for one in result_sets():
        sides = [_heard(one, name) for name in ("chrome", "firefox")]
        if not all(sides):
            continue
        try:
            table = compare(sides[0], sides[1], ("browser=chrome", "browser=firefox"), "latency_ms_median")
        except InputError:
            refused.append(one.title)
            continue
        said += [_verdict(one.title, cell) for cell in table.cells if cell.comparison is not None]
    if not said and not refused:
        return "No pair of runs of an audio model is stored."
    if refused:
        said.append(f"{', '.join(refused)}: the adapters differ, which would rank drivers, not browsers")
    return f"{'; '.join(said)}."


def _heard(one: ResultSet, browser: str) -> Sequence[Row]:
    """A set's cells of audio models through WebGPU, as they were planned, in one browser."""
    cells = one.models.cells
    models = {arm["requested_model"] for arm in one.models.arms if arm["model_family"] == "whisper"}
    chosen = cells[
        cells["requested_model"].isin(models)
        & (cells["requested_platform"] == "webgpu")
        & (cells["requested_browser"] == browser)
    ]
    return as_rows(chosen)


def _verdict(title: str, cell: Matched) -> str:
    found, arm = cell.comparison, cell.arm
    assert found is not None and cell.judgement is not None, "only what was compared"
    model = (
        f"{arm['requested_model']} {arm['requested_bits']}-bit, {arm['requested_sequence_length']} positions"
    )
    times = f"Firefox {words.number(cell.other.centre)} ms, Chrome {words.number(cell.base.centre)} ms"
    span = f" [{found.low:.3f}, {found.high:.3f}]" if found.low is not None and found.high is not None else ""
    return (
        f"{model} on one {cell.base.device} ({title}, {found.blocks} blocks): {times}, ratio "
        f"{found.ratio:.3f}{span}: Firefox is {cell.judgement.words}"
    )


def _nothing() -> str:
    return _NOTHING


_Claims = Sequence[tuple[str, Callable[[], str]]]
_CLAIMS: dict[str, _Claims] = {
    "chrome": (
        ("Good support for WebGPU at all precision levels", lambda: _levels("chrome", "webgpu")),
        ("WebNN supported from Chrome 122+", _since),
        ("Best performance with 4-bit WebGPU", lambda: _fastest("chrome")),
    ),
    "edge": (
        ("Best WebNN support across browsers", _nothing),
        ("Good WebGPU support at all precision levels", _nothing),
        ("Recommended for WebNN testing", _nothing),
    ),
    "firefox": (
        ("No WebNN support", lambda: _no_webnn("firefox")),
        ("Excellent WebGPU support, especially for audio models", lambda: _levels("firefox", "webgpu")),
        ("~20% better performance for audio models with compute shaders", _audio),
        ("Recommended for 4-bit WebGPU audio processing", lambda: _fastest("firefox", audio=True)),
    ),
    "safari": (
        ("Limited WebGPU support", _nothing),
        ("Some WebNN support", _nothing),
        ("Best with 8-bit precision", _nothing),
        ("Not recommended for 2-bit testing", _nothing),
    ),
}


def claims() -> list[str]:
    """Every sentence that is quoted."""
    return [claim for said in _CLAIMS.values() for claim, _ in said]
