"""Writes what the code and the stored runs know best: reference, browsers, performance, troubleshooting.

`make docs` runs it. A test holds each page to what this makes of them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo

from bench.cli import application
from bench.metrics import METRICS, Metric
from bench.plan.campaign import CampaignFile
from made_audio import audio_page
from made_browsers import TITLES, browser_pages
from made_performance import performance_page
from made_reference import MADE, campaign_page, outcomes_page, settings_page, summary_page
from made_troubles import troubles_page

FOLDER = Path(__file__).resolve().parent
_WAYS = {"lower": "lower", "higher": "higher", "none": "neither"}
_SECTIONS = {
    "metrics": ("Speed and size", "Empty where the run did not get so far, or where its answer was wrong."),
    "quality": ("Accuracy", "Over every input set that was verified, and over the last timed outputs."),
}


def metrics_page() -> str:
    """docs/metrics.md."""
    lines = [
        MADE,
        "# Metrics",
        "",
        "The columns of `run_summary` that hold a measurement. In the JSON of a run the same names stand in",
        "`metrics` and `quality`; those of the latency are nested there (`latency_ms_p90` is",
        "`metrics.latency_ms.p90`). A value that was not measured is null. How they are measured:",
        "[measuring.md](measuring.md).",
    ]
    for section, (title, note) in _SECTIONS.items():
        lines += ["", f"## {title}", "", note, "", "| name | unit | better | meaning |", "|---|---|---|---|"]
        lines += [_metric(metric) for metric in METRICS if metric.section == section]
    return "\n".join(lines) + "\n"


def _metric(metric: Metric) -> str:
    return f"| `{metric.name}` | {metric.unit} | {_WAYS[metric.direction]} | {metric.meaning} |"


@dataclass(frozen=True)
class Parameter:
    """One option or argument of a command, as its signature declares it."""

    names: tuple[str, ...]
    kind: Any
    info: OptionInfo | ArgumentInfo
    default: Any

    @property
    def is_option(self) -> bool:
        """Whether it is given by name."""
        return isinstance(self.info, OptionInfo)

    @property
    def metavar(self) -> str:
        """What stands for its value; empty for a flag."""
        if self.kind is bool:
            return ""
        if self.info.metavar:
            return self.info.metavar
        if isinstance(self.kind, type) and issubclass(self.kind, Enum):
            return "|".join(str(member.value) for member in self.kind)
        if not self.is_option:
            return self.names[0].upper()
        return {int: "INTEGER", float: "NUMBER", Path: "PATH"}.get(self.kind, "TEXT")


def commands() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every command's full name and its function, groups after single commands."""
    yield from _walk("bench", application())


def _walk(name: str, place: typer.Typer) -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in place.registered_commands:
        assert command.name and command.callback, f"{name}: a command without a name"
        yield f"{name} {command.name}", command.callback
    for group in place.registered_groups:
        assert group.name and group.typer_instance, f"{name}: a group without a name"
        yield from _walk(f"{name} {group.name}", group.typer_instance)


def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """The options and arguments of a command, in order."""
    found = []
    for name, declaration in inspect.signature(function, eval_str=True).parameters.items():
        kind, *notes = get_args(declaration.annotation)
        info = next((note for note in notes if isinstance(note, OptionInfo | ArgumentInfo)), None)
        if (
            info is None
        ):  # no note for Typer: a plain type is an argument, or an option where it has a default
            raise TypeError(f"{function.__name__}: {name} has neither typer.Option nor typer.Argument")
        if get_origin(kind) is list:
            kind = get_args(kind)[0]
        elif get_origin(kind) is UnionType:
            kind = next(each for each in get_args(kind) if each is not NoneType)
        names: tuple[str, ...] = (name,)
        if isinstance(info, OptionInfo):
            # Within Annotated, Typer takes the first name for the default until it builds the command.
            declared = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
            names = tuple(declared) or ("--" + name.replace("_", "-"),)
        found.append(Parameter(names, kind, info, declaration.default))
    return found


def commands_page() -> str:
    """docs/cli.md."""
    lines = [
        MADE,
        "# Commands",
        "",
        _sentence(application().info.help),
        "",
        "Each command answers `--help` too.",
    ]
    for name, function in commands():
        given = parameters(function)
        options = [one for one in given if one.is_option]
        usage = [name, *(_argument(one) for one in given if not one.is_option)]
        if options:
            usage.append("[OPTIONS]")
        lines += ["", f"## {name}", "", _sentence(inspect.getdoc(function))]
        lines += ["", "```text", " ".join(usage), "```"]
        if options:
            lines += ["", "| option | meaning |", "|---|---|", *map(_option, options)]
    return "\n".join(lines) + "\n"


def _argument(one: Parameter) -> str:
    optional = one.default is not inspect.Parameter.empty and not one.metavar.startswith("[")
    return f"[{one.metavar}]" if optional else one.metavar


def _option(one: Parameter) -> str:
    names = ", ".join(f"`{name}`" for name in one.names if name.startswith("-"))
    cells = [
        f"{names} {one.metavar}".strip(),
        " ".join(filter(None, [_sentence(one.info.help), _default(one)])),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(one: Parameter) -> str:
    shown = one.info.show_default
    if isinstance(shown, str):
        return f"Default: {shown}."
    if shown is False or any(one.default is nothing for nothing in (None, False, inspect.Parameter.empty)):
        return ""
    values = one.default if isinstance(one.default, list | tuple) else [one.default]
    return f"Default: {', '.join(str(getattr(value, 'value', value)) for value in values)}."


def _sentence(text: str | None) -> str:
    joined = " ".join((text or "").split())
    return joined if not joined or joined.endswith((".", ":", "?")) else joined + "."


# Each page that is made, known without making it.
MADE_PAGES = [
    *(FOLDER / name for name in ("metrics.md", "cli.md", "campaign.schema.json", "campaign-file.md")),
    *(FOLDER / name for name in ("outcomes.md", "settings.md", "summary.md", "troubleshooting.md")),
    *(FOLDER / name for name in ("performance.md", "audio.md")),
    *(FOLDER / "browsers" / f"{name}.md" for name in ("index", *TITLES)),
]


def pages() -> dict[Path, str]:
    """Each page that is made, with its text."""
    return {
        FOLDER / "metrics.md": metrics_page(),
        FOLDER / "cli.md": commands_page(),
        FOLDER / "campaign.schema.json": campaign_schema(),
        FOLDER / "campaign-file.md": campaign_page(),
        FOLDER / "outcomes.md": outcomes_page(),
        FOLDER / "settings.md": settings_page(),
        FOLDER / "summary.md": summary_page(),
        FOLDER / "troubleshooting.md": troubles_page(),
        FOLDER / "performance.md": performance_page(),
        FOLDER / "audio.md": audio_page(),
        **{FOLDER / "browsers" / name: text for name, text in browser_pages().items()},
    }


def campaign_schema() -> str:
    """docs/campaign.schema.json."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **CampaignFile.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
