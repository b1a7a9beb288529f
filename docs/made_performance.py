"""How fast our kernels and models are beside the peer, from the published sets and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.record import Environment, RunRecord
from bench.report import words
from made_kernels import compared, swept
from made_language import language_models, texts
from made_operators import Operators, only_of_audio
from made_reference import page
from made_sets import ResultSet, result_sets

NOTES = "notes.md"
_ABOUT = (
    "How fast our kernels and models are, and how fast onnxruntime-web (`ort-web`, the peer) is on the same "
    "GPU. Everything here is read from the databases that are published under "
    "[results](../results/README.md); what is not there was not measured. How it is measured: "
    "[operators](kernels.md#how-it-is-measured), [language models](language-models.md), "
    "[measuring](measuring.md). The line under a table asks for the same again, on a machine of one's own."
)
_OPERATORS = (
    "`ratio` is the peer's time over ours, the median over rounds of the ratios within each: above 1 ours is "
    "faster. The peer is the faster of its accuracy levels 0 and 4, which is named where both were asked; 4 "
    "rounds more. Shares are ours, of what the adapter reached in the same session with reading alone and "
    "with float32 arithmetic alone; both can pass 100 %. What is not `ok` says so, and why beneath the table."
)
_LANGUAGE = (
    "Tokens a second after the prompt, the median of the sessions; an outcome stands where a run has no "
    "speed. `over ort-web at` is our rate over the peer's in the same browser with the same feature set. "
    "`synthetic` weights are as fast as real ones, and say nothing of accuracy."
)
_SWEEPS = (
    "Constants forced on our kernels (`--tuning`), all of them in one page and in the same rounds, the "
    "fastest first. `to the default` is the time of the untuned kernel over this one's, the median over "
    "rounds: above 1 this one is faster. It is of GPU times, and of the clock's where there are none. "
    "Whisper's operators over workgroup shapes are on [a page of their own](audio.md)."
)


def performance_page(folder: Path | None = None) -> str:
    """docs/performance.md, of the sets in a folder; None for those that are published."""
    sets = result_sets() if folder is None else result_sets(folder)
    return page(
        "Performance",
        _ABOUT,
        *_section("Operators", _OPERATORS, "campaigns of `bench kernels`", sets, _compared),
        *_section("Language models", _LANGUAGE, "runs of language models", sets, _language),
        *_section("Sweeps", _SWEEPS, "campaigns of `bench kernels` with `--tuning`", sets, _swept),
        *_notes(sets),
    )


def _section(
    title: str,
    about: str,
    what: str,
    sets: Sequence[ResultSet],
    make: Callable[[ResultSet], tuple[list[RunRecord], list[Any]]],
) -> Iterator[Any]:
    """A heading for each set that has something, with where it was measured; else a line that none has."""
    yield f"## {title}"
    made = [(one, *make(one)) for one in sets]
    if not any(parts for _, _, parts in made):
        yield f"No published set holds {what} so far."
        return
    yield about
    for one, records, parts in made:
        if parts:
            yield f"### {one.title}"
            yield places(records)
            yield from parts


def _compared(one: ResultSet) -> tuple[list[RunRecord], list[Any]]:
    campaigns = [found for found in _operators(one) if found.compares]
    parts = [part for found in campaigns for part in compared(found)]
    return [record for found in campaigns for record in found.records()], parts


def _swept(one: ResultSet) -> tuple[list[RunRecord], list[Any]]:
    campaigns = [found for found in _operators(one) if found.sweeps and not found.of_audio]
    parts = [part for found in campaigns for part in swept(found)]
    return [record for found in campaigns for record in found.records()], parts


def _language(one: ResultSet) -> tuple[list[RunRecord], list[Any]]:
    runs = [one.records[run] for arm in texts(one) for run in arm["runs"]]
    return runs, list(language_models(one)) if runs else []


def _operators(one: ResultSet) -> list[Operators]:
    """Its campaigns of operators that ran at all."""
    found = (Operators(one, campaign) for campaign in one.of_operators)
    return [campaign for campaign in found if campaign.records()]


def places(records: Iterable[RunRecord]) -> list[str]:
    """A line for each place that runs were measured in: adapter, driver, browser, host, program, dates."""
    found: dict[str, list[str]] = {}
    for one in records:
        found.setdefault(_place(one.environment), []).append(one.started_at[:10])
    return [f"- {place}; {_dates(days)}" for place, days in found.items()]


def _place(said: Environment) -> str:
    adapter = said.adapter or {}
    name = words.visible(adapter.get("name")) or "no WebGPU adapter"
    if adapter.get("is_fallback_adapter"):
        name += " (a software adapter: its times say nothing of a GPU)"
    driver = words.visible(adapter.get("webgl_renderer") or adapter.get("description"))
    parts = [
        f"**{name}**",
        f"driver `{driver}`" if driver else "",
        " ".join(filter(None, (said.browser, words.visible(said.browser_version)))),
        ", ".join(filter(None, (words.visible(said.cpu), words.visible(said.os)))),
        f"harness {words.visible(said.harness_version)}" if said.harness_version else "",
    ]
    return "; ".join(filter(None, parts))


def _dates(days: Sequence[str]) -> str:
    first, last = min(days), max(days)
    return first if first == last else f"{first} to {last}"


def _notes(sets: Sequence[ResultSet]) -> Iterator[str]:
    """What was written by hand beside a set, as it stands there."""
    yield "## Notes"
    mine = [one for one in sets if not only_of_audio(one)]
    written = [(one, one.folder / NOTES) for one in mine if (one.folder / NOTES).is_file()]
    if not written:
        yield f"No published set has notes (`{NOTES}` beside its database) so far."
    for one, path in written:
        yield f"### {one.title}: notes"
        yield path.read_text(encoding="utf-8").strip()
