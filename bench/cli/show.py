"""`bench show`: everything about one run."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from bench.cli.db import Database
from bench.cli.rows import plain
from bench.metrics import METRICS, flattened
from bench.record import PhaseMetrics, RunRecord
from bench.report import words
from bench.report.advice import advise
from bench.report.row import rows_of
from bench.store import open_store


def show_command(
    run: Annotated[int, typer.Argument(metavar="RUN", help="The run's number, as `bench query` shows it.")],
    as_json: Annotated[bool, typer.Option("--json", help="The whole record as JSON.")] = False,
    db: Database = None,
) -> None:
    """Show everything about one run, the browser's words verbatim."""
    with open_store(db, create=False) as store:
        record = store.run(run)
        [row] = rows_of(store.rows(f"id = {record.id}"))
    if as_json:
        data = record.model_dump(mode="json")
        data["samples"] = [sample.model_dump(mode="json") for sample in record.samples]
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        for line in _describe(record, twin=row["role"] == "twin"):
            typer.echo(line)


def _describe(record: RunRecord, *, twin: bool) -> list[str]:
    """A record in lines: the verdict first, then each part with its fields."""
    asked = record.requested
    lines = [f"run {record.id}: {record.outcome.value}  ({asked.label}, {asked.model})"]
    if twin:
        lines.append("A/A twin: the second copy of an arm, which comparisons leave out")
    if record.fallback_reason:
        lines.append(f"fell back because: {words.visible(record.fallback_reason)}")
    if record.error:
        at = f" at {words.visible(record.error.operator)}" if record.error.operator else ""
        lines += [
            f"ended in {record.error.stage.value}{at} ({record.error.category.value}):",
            f"  {words.visible(record.error.name)}: {words.visible(record.error.message)}",
        ]
    if advice := advise(record):
        lines += [f"likely cause: {advice.cause}", f"next: {advice.next}"]
    lines += _section("requested", asked.model_dump(mode="json"))
    lines += _section("effective", record.effective.model_dump(mode="json"))
    lines += _measured(record)
    lines += _section("model", record.model.model_dump(mode="json"))
    lines += _section("environment", record.environment.model_dump(mode="json"))
    lines += _section("wall time of each stage, ms", record.phases_ms)
    times = {"started": record.started_at, "finished": record.finished_at, "uuid": record.uuid}
    lines += _section("when", times | {"samples kept": len(record.samples)})
    lines += _section("evidence", record.evidence)
    return lines


def _measured(record: RunRecord) -> list[str]:
    from bench.stats.steady import outlying, steadiness  # NumPy, which a run that failed does not need

    flat = flattened(record.metrics.model_dump(), record.quality.model_dump())
    lines = []
    for metric in METRICS:
        value = flat.get(metric.name)
        if value is not None:
            text = words.thousands(value) if metric.integer else words.number(value, 5)
            lines.append(f"  {metric.name:<24}{text} {metric.unit}".rstrip())
    phases = dict.fromkeys(one.phase for one in record.samples if one.kind == "measure")
    for phase in phases:
        times = [one.value_ms for one in record.samples if (one.phase, one.kind) == (phase, "measure")]
        found = steadiness(times)
        words_of = "yes" if found.steady else f"no: {found.why}"
        apart = int(outlying(times).sum())
        of = "steady" if len(phases) == 1 else f"steady, {phase}"
        lines.append(f"  {of:<24}{words_of}; {apart} of {len(times)} samples stand apart (kept)")
    lines += [_phase(name, phase) for name, phase in record.metrics.phases.items() if len(phases) > 1]
    return ["", "measured", *(lines or ["  nothing"])]


def _phase(name: str, phase: PhaseMetrics) -> str:
    """A phase in a line: one call of it, what the device did of it, and in how many dispatches."""
    time = phase.latency_ms
    spread = (
        "" if time.ci95_low is None else f" [{words.number(time.ci95_low)}, {words.number(time.ci95_high)}]"
    )
    parts = [f"{words.number(time.median)} ms{spread} a {'token' if phase.unit == 'token' else 'call'}"]
    parts.append(f"n = {time.n}")
    parts += [f"{words.number(phase.gpu_ms)} ms on the GPU"] if phase.gpu_ms is not None else []
    parts += [f"{phase.dispatches} dispatches"] if phase.dispatches is not None else []
    return f"  {'phase ' + name:<24}{', '.join(parts)}"


def _section(title: str, values: dict[str, Any]) -> list[str]:
    """A heading and a line for each value that there is; nested values as JSON."""
    lines = []
    for name, value in values.items():
        if value is None or value == [] or value == {}:
            continue
        nested = isinstance(value, dict | list)
        text = json.dumps(value, ensure_ascii=False) if nested else plain(value)
        lines.append(f"  {words.visible(name):<24}{words.visible(text)}")
    return ["", title, *lines] if lines else []
