"""One HTML file with everything in it: no font, no link to elsewhere; or Markdown with pictures."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from bench import __version__
from bench.errors import InputError
from bench.report import canvas, tables, views, words
from bench.report.against import MOST_CAMPAIGNS, against_16, campaigns_with_blocks
from bench.report.board import Board, coverage
from bench.report.choice import LEAST_COSINE, choices
from bench.report.kinds import Kind
from bench.report.output import write_file
from bench.report.plots import draw
from bench.report.repeat import repeat_commands
from bench.report.row import Arm, writes
from bench.report.views import View
from bench.store.store import Store

_TITLES = {
    "choice": "The choice",
    "support": "What runs where",
    "against": "Against 16 bits",
    "charts": "Charts",
    "arms": "All numbers",
    "failures": "What failed, fell back or was refused",
    "runs": "Runs",
    "environments": "Environments",
    "repeat": "How to repeat it",
}
_CHARTS = {
    Kind.LATENCY: (
        "Latency",
        "Median latency of one inference by weight bits; the table has the numbers.",
    ),
    Kind.TOKENS: (
        "Tokens per second",
        "Tokens per second of language models after the prompt by weight bits, browsers and engines side by "
        "side.",
    ),
    Kind.DEPTH: (
        "Depth",
        "Tokens per second of language models over the length of the prompt: after it, and of it.",
    ),
    Kind.MEMORY: ("Memory", "Bytes of weights against FP16 by weight bits, with the ideal line."),
    Kind.ACCURACY: ("Accuracy", "Cosine and relative L2 distance to the unquantized model by weight bits."),
    Kind.PARETO: (
        "Trade-off",
        "Latency against bytes of weights; filled: what no other arm beats.",
    ),
    Kind.EXPERIMENTAL: (
        "Experimental mode",
        "Standard against experimental mode, in the browsers' words.",
    ),
    Kind.AUDIO: ("Audio", "Latency of audio models in each browser."),
    Kind.SAMPLES: ("Samples", "Distribution of the samples of the newest runs."),
    Kind.ROOFLINE: (
        "Roofline",
        "What each arm reached, under what its adapter reached with arithmetic and reading alone.",
    ),
    Kind.HISTORY: ("History", "Session medians over time, with the run where a step begins."),
}
_MOST_COMMANDS = 100


@dataclass(frozen=True)
class Chart:
    """One chart of the report."""

    kind: Kind
    title: str
    says: str
    figure: Figure

    @property
    def svg(self) -> str:
        """As an element of the page."""
        return canvas.inline_svg(self.figure, self.kind.value)


@dataclass(frozen=True)
class Report:
    """Everything that stands in a report, before it is HTML or Markdown."""

    facts: Mapping[str, Any]
    views: Mapping[str, View]
    charts: list[Chart]
    absent: list[str]
    commands: list[str]

    @property
    def titles(self) -> dict[str, str]:
        """The sections there are."""
        there = {key for key, view in self.views.items() if view.lines}
        there |= ({"charts"} if self.charts or self.absent else set()) | {"repeat"}
        return {key: title for key, title in _TITLES.items() if key in there}


def make_report(
    store: Store,
    *,
    campaign: int | str | None = None,
    where: str | None = None,
    since: str | None = None,
    least_cosine: float = LEAST_COSINE,
) -> Report:
    """Read the database and draw: for a campaign, a filter, a time, or everything; also for no runs at all.

    Raises:
        InputError: there is no such campaign, or the filter or time cannot be.
    """
    board = Board.load(store, where, campaign=campaign, since=since)
    ran, asked = coverage(board.arms)
    here = views.inlined_runs(board)
    arms = views.arms_view(board, here)
    shown = {line.anchor for line in arms.lines}
    best = choices(board.arms, least_cosine)
    found = {
        "choice": views.choice_view(best, here, shown, least_cosine),
        "support": views.support_view(board, here),
        "against": _against(board, here),
        "arms": arms,
        "failures": views.failures_view(board, here),
        "runs": views.runs_view(board, here),
        "environments": views.environments_view(board),
    }
    charts, absent = _charts(board, store)
    times = sorted({str(text)[:10] for text in board.runs["started_at"]})
    facts = {
        "answers": [views.answer(one, shown) for one in best],
        "campaigns": sorted({name for arm in board.arms for name in arm["campaigns"]}),
        "source": store.url,
        "span": "" if not times else times[0] if len(times) == 1 else f"{times[0]} to {times[-1]}",
        "version": __version__,
        "where": where,
        "ran": ran,
        "asked": asked,
        "counts": tables.outcome_counts(board.arms),
        "software": sorted({_where(arm) for arm in _that_ran(board) if words.software(arm)}),
        "synthetic": sorted({arm["model"] for arm in board.arms if arm["model_weights"] == "synthetic"}),
    }
    lines = repeat_commands(board.arms)
    more = len(lines) - _MOST_COMMANDS
    commands = [*lines[:_MOST_COMMANDS], *([f"# and {more} more command lines"] if more > 0 else [])]
    return Report(facts, found, charts, absent, commands)


def _against(board: Board, here: set[int]) -> View:
    names = campaigns_with_blocks(board.cells)
    found = [one for name in names[:MOST_CAMPAIGNS] for one in against_16(board.cells, name)]
    return views.against_view(found, here, names[MOST_CAMPAIGNS:])


def _charts(board: Board, store: Store) -> tuple[list[Chart], list[str]]:
    """The charts that there is something for, and a sentence where one might be looked for in vain."""
    if not board.ran:
        return [], []
    charts, absent = [], []
    for kind, (title, says) in _CHARTS.items():
        if kind is Kind.HISTORY and not any(arm["sessions"] > 2 for arm in board.ran):
            continue
        if kind is Kind.DEPTH and len(_depths(board)) < 2:
            continue
        try:
            charts.append(Chart(kind, title, says, draw(kind, board, store)))
        except InputError as error:
            if kind not in (Kind.AUDIO, Kind.ROOFLINE, Kind.TOKENS):
                absent.append(f"{title}: {error}.")
    return charts, absent


def _depths(board: Board) -> set[int]:
    """The lengths of language models' prompts."""
    return {arm["requested_sequence_length"] for arm in board.ran if writes(arm)}


def _that_ran(board: Board) -> list[Arm]:
    return [arm for arm in board.ran if arm["effective_platform"]]


def _where(arm: Arm) -> str:
    adapter = words.device(arm).removesuffix(" (software adapter)")
    return f"{arm['browser']} {arm['effective_platform']} on {adapter}"


def page(report: Report) -> str:
    """The report as one HTML page."""
    folder = Path(__file__).parent
    script = "\n" + (folder / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        **report.facts,
        views=report.views if report.facts["asked"] else {},
        titles=report.titles,
        charts=report.charts,
        absent=report.absent,
        commands=report.commands,
        style=(folder / "report.css").read_text(encoding="utf-8"),
        script=script.removeprefix("\n"),
        script_hash=f"sha256-{digest}",
        css_class=views.css_class,
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def write_report(store: Store, path: Path, *, campaign: int | str | None = None) -> None:
    """Write the page of a campaign, or of the whole database.

    Raises:
        InputError: there is no such campaign, or the file cannot be written.
    """
    write_html(make_report(store, campaign=campaign), path)


def write_html(report: Report, path: Path) -> None:
    """Write the page.

    Raises:
        InputError: the file cannot be written.
    """
    write_file(path, page(report).encode("utf-8", "backslashreplace"))


def write_markdown(report: Report, path: Path) -> None:
    """Write the report as Markdown, its charts as SVG files beside it: `report.md`, `report-latency.svg`.

    The pictures come first, so that the text never names one that is not there.

    Raises:
        InputError: a file cannot be written.
    """
    for chart in report.charts:
        write_file(_picture(path, chart), canvas.render(chart.figure, "svg"))
    write_file(path, markdown(report, path).encode("utf-8", "backslashreplace"))


def _picture(path: Path, chart: Chart) -> Path:
    return path.with_name(f"{path.stem}-{chart.kind.value}.svg")


def markdown(report: Report, path: Path) -> str:
    """The report as Markdown that lies at `path`."""
    facts = report.facts
    lines = ["# Quantized models in real browsers", ""]
    if not facts["asked"]:
        return "\n".join([*lines, "There are no runs yet. Make some with `bench run`.", ""])
    counts = ", ".join(f"{name} {count}" for name, count in facts["counts"].items())
    span = facts["span"] or "no day yet"
    lines += [f"From {facts['source']}; runs of {span}; webquant-bench {facts['version']}.", ""]
    lines += [f"**{facts['ran']} of {facts['asked']} cells ran with a right result.** {counts}.", ""]
    if facts["software"]:
        lines += [f"**SOFTWARE ADAPTER**, a CPU and not a GPU: {'; '.join(facts['software'])}.", ""]
    if facts["synthetic"]:
        models = ", ".join(facts["synthetic"])
        lines += [f"**SYNTHETIC WEIGHTS** for {models}: their outputs mean nothing.", ""]
    for key, title in report.titles.items():
        lines += [f"## {title}", ""]
        if key == "choice":
            answers = facts["answers"][:8]
            lines += [f"- {one.about}: **{one.take}**{one.numbers} {one.why}." for one in answers]
            lines += [""]
        if key == "charts":
            for chart in report.charts:
                lines += [f"![{chart.title}: {chart.says}]({_picture(path, chart).name})", ""]
            lines += [part for sentence in report.absent for part in (sentence, "")]
        elif key == "repeat":
            lines += ["```", *report.commands, "```", ""]
        else:
            view = report.views[key]
            lines += [
                view.caption,
                "",
                *(part for note in view.notes for part in (note, "")),
                _table(view),
                "",
            ]
    return "\n".join(lines)


def _table(view: View) -> str:
    frame: pd.DataFrame = views.frame_of(view).map(lambda text: " ".join(text.split()).replace("|", "\\|"))
    return frame.to_markdown(index=False, disable_numparse=True)
