"""Reference pages from the code: columns of `run_summary`, outcomes, settings, the campaign file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench import settings
from bench.harness.outcome import Category, Outcome, Stage
from bench.metrics import BY_NAME
from bench.plan.campaign import CampaignFile
from bench.plan.request import Request
from bench.store.schema import SUMMARY

MADE = "<!-- Made by `make docs`; changes here are lost. -->\n"

# Headings of the column page, each with the column that its part begins with.
_PARTS = {
    "id": "The run",
    "requested_platform": "What was asked for",
    "effective_platform": "What ran",
    "browser": "Where it ran",
    "model": "The model",
    "latency_ms_median": "What was measured",
    "error_stage": "Why it ended",
    "started_at": "When, and its place in the campaign",
}
# What SQLAlchemy calls the types, as people and pandas do.
_TYPES = {"TEXT": "text", "BIGINT": "integer", "INTEGER": "integer", "BOOLEAN": "flag"}


def table(head: Sequence[str], body: Iterable[Sequence[Any]]) -> list[str]:
    """Lines of a Markdown table; a bar within a cell is escaped."""
    lines = [_line(head), "|" + "---|" * len(head)]
    return [*lines, *map(_line, body)]


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def code(text: str) -> str:
    """Words as code, with backticks of their own or without."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def page(title: str, *parts: str | Sequence[str]) -> str:
    """A page of parts, which are paragraphs or lines."""
    texts = [part if isinstance(part, str) else "\n".join(part) for part in parts]
    return "\n\n".join([MADE + f"\n# {title}", *texts]) + "\n"


def summary_page() -> str:
    """docs/summary.md."""
    parts: list[Any] = [
        "The view `run_summary` has one flat row a run, failed and fallen-back ones too. `bench query`, "
        "`bench.load_runs` and our own charts read it; its columns do not change meaning. A value that was "
        "not measured is null.",
        [
            "```bash",
            "export BENCH_DB=sqlite:///results/2026-11-25-software/runs.sqlite    # in the checkout",
            "bench query --columns id,outcome,requested_bits,effective_bits,latency_ms_median,cosine_fp32",
            "bench query --format csv > runs.csv",
            "```",
        ],
    ]
    rows: list[tuple[str, str, str]] = []
    for column in SUMMARY.c:
        if column.name in _PARTS:
            parts += [rows] if rows else []
            parts.append(f"## {_PARTS[column.name]}")
            rows = []
        rows.append((f"`{column.name}`", _kind(column), _meaning(column)))
    parts.append(rows)
    made = [table(("column", "type", "meaning"), one) if _is_rows(one) else one for one in parts]
    return page("Columns of run_summary", *made)


def _is_rows(part: Any) -> bool:
    return isinstance(part, list) and isinstance(part[0], tuple)


def _kind(column: Any) -> str:
    return _TYPES.get(str(column.type), "real")


def _meaning(column: Any) -> str:
    metric = BY_NAME.get(column.name)
    unit = f", in {metric.unit}" if metric and metric.unit else ""
    return f"{column.comment}{unit}"


def outcomes_page() -> str:
    """docs/outcomes.md."""
    measured = [f"`{one}`" for one in Outcome if one.measured]
    failed = [f"`{one}`" for one in Outcome if one.failed]
    return page(
        "Outcomes, stages, categories",
        "Three closed vocabularies; the database holds a CHECK over the outcomes. Real messages of each, and "
        "what to do about them: [troubleshooting](troubleshooting.md).",
        "## Outcomes",
        f"How a run ended. Only {' and '.join(measured)} have a speed. {', '.join(failed)} make the exit "
        "code 1, except an `error` in experimental mode, which is the answer that was asked for.",
        table(("outcome", "meaning"), ((f"`{one}`", one.meaning) for one in Outcome)),
        "## Stages",
        "Where a run was when it ended, in the order they come in.",
        table(("stage", "what happens"), ((f"`{one}`", one.meaning) for one in Stage)),
        "## Categories of an error",
        "`error_category` sorts the browser's words (`error_name`, `error_message`, both verbatim) without "
        "replacing them.",
        table(("category", "meaning"), ((f"`{one}`", one.meaning) for one in Category)),
    )


def settings_page() -> str:
    """docs/settings.md."""
    keys = {
        variable: f"`[{section}] {key}`"
        for section, names in settings._ENVIRONMENT.items()
        for key, variable in names.items()
    }
    rows = [(f"`{name}`", keys.get(name, ""), text) for name, text in settings.VARIABLES.items()]
    return page(
        "Settings",
        "The environment comes first, then `bench.toml` in the working folder (or the file that "
        "`BENCH_SETTINGS` names), then discovery. Flags come before all of them.",
        table(("variable", "in `bench.toml`", "is"), rows),
        "Chrome has `[chrome] library_path` besides: a folder of shared libraries that the binary brings "
        "along. A whole file:",
        [
            '```toml title="bench.toml"',
            "[chrome]",
            'gpu_flags = "--enable-features=Vulkan"',
            "[harness]",
            "headless = true",
            "```",
        ],
        "What is then found on this machine, without starting anything:",
        ["```bash", "bench browsers list", "```"],
    )


def campaign_page() -> str:
    """docs/campaign-file.md."""
    schema = CampaignFile.model_json_schema()
    known: Mapping[str, Any] = schema["$defs"]
    parts: list[Any] = [
        "Every key of a campaign file. The same as JSON Schema, which editors read: "
        "[campaign.schema.json](campaign.schema.json). How campaigns run: [campaigns](campaigns.md).",
        "## Top level",
        table(("key", "type", "default", "meaning"), _keys(schema, ("name", "a_a"))),
    ]
    for key, record in (
        ("matrix", "Matrix"),
        ("include", "Rule"),
        ("run", "Run"),
        ("stop", "Stopping"),
        ("retry", "Retry"),
        ("checks", "Checks"),
    ):
        title = "`[[include]]` and `[[exclude]]`" if key == "include" else f"`[{key}]`"
        parts += [f"## {title}", _first(known[record])]
        parts.append(table(("key", "type", "default", "meaning"), _keys(known[record])))
    return page("Campaign file", *parts)


def _first(record: Mapping[str, Any]) -> str:
    return " ".join(str(record.get("description", "")).split())


def _keys(record: Mapping[str, Any], only: Sequence[str] = ()) -> Iterator[tuple[str, str, str, str]]:
    """A line a key; `[[include]]` shares the meanings of `[matrix]`, which are those of a request."""
    for name, field in record["properties"].items():
        if only and name not in only:
            continue
        about = field.get("description") or ""
        if not about and name in Request.model_fields:
            about = Request.model_fields[name].description or ""
        needed = name in record.get("required", ())
        default = "needed" if needed else _value(field.get("default"))
        yield f"`{name}`", _typed(field), default, about


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_value(one) for one in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _typed(field: Mapping[str, Any]) -> str:
    """A JSON Schema type in words: `list of text`, `0 to 1000`, one of some values."""
    if "anyOf" in field:
        words = [_typed(one) for one in field["anyOf"] if one.get("type") != "null"]
        lists = [word for word in words if word.startswith("list of ")]
        return f"one, or a {lists[0]}" if lists and len(words) > 1 else " or ".join(words)
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {_typed(field['items'])}"
    name = {"string": "text", "boolean": "true or false", "integer": "integer", "number": "number"}
    return f"{name[field['type']]}{_bounds(field)}"


def _bounds(field: Mapping[str, Any]) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    over, under = field.get("exclusiveMinimum"), field.get("exclusiveMaximum")
    said = [
        f"above {over:g}" if over is not None else f"from {low:g}" if low is not None else "",
        f"below {under:g}"
        if under is not None and under < 2**53
        else f"to {high:.15g}"
        if high is not None
        else "",
    ]
    known = " ".join(word for word in said if word)
    return f" {known}" if known else ""
