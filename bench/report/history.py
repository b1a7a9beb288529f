"""How each arm's session medians went over time on one host, and where their level changed.

Takes rows of `run_summary`, gives figures and words; it opens nothing and prints nothing.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.harness.outcome import Outcome
from bench.metrics import BY_NAME
from bench.plan.request import ASKED
from bench.report import words
from bench.report.compare import sortable
from bench.report.compare_text import split_arms
from bench.report.row import Row, value_at
from bench.stats.steady import outlying
from bench.stats.steps import LEAST, SHORTEST, Step, find_steps

# What makes a series; a change of anything else may be why its level changes.
_SERIES = ("cpu", "adapter", "effective_device", "model_sha256", *ASKED)
# What is named where a step begins, and how it is called.
CAUSES = {
    "effective_kernels": "kernels",
    "effective_engine_version": "engine",
    "browser_version": "browser",
    "harness_version": "harness",
    "os": "system",
}
NEEDED = ("id", "role", "outcome", "timer_ms", "started_at", "browser", *CAUSES, *_SERIES)


@dataclass(frozen=True)
class Change:
    """A step, the first run after it, and what else is new since the run before that."""

    step: Step
    run: int
    since: str
    before: int
    changed: Mapping[str, tuple[str, str]]

    @property
    def words(self) -> str:
        """`run 17, 2026-11-03: +12.1 % [+10.8, +13.4]; browser 152.0 -> 153.0`."""
        size = ", ".join(_percent(value) for value in (self.step.low, self.step.high))
        text = f"run {self.run}, {self.since[:10]}: {_percent(self.step.ratio)} % [{size}]"
        changes = [f"{name} {old} -> {new}" for name, (old, new) in self.changed.items()]
        return words.visible("; ".join([text, *(changes or ["same kernels, browser, harness and system"])]))


@dataclass(frozen=True)
class Series:
    """One arm on one host: its medians in order of time, and the steps between them.

    `outliers` counts points far from the median of their own segment; they are kept.
    """

    arm: Mapping[str, Any]
    cpu: str
    adapter: str
    runs: Sequence[int]
    times: Sequence[str]
    values: Sequence[float]
    changes: Sequence[Change]
    outliers: int

    @property
    def level(self) -> float:
        """Median since the last step."""
        start = self.changes[-1].step.index if self.changes else 0
        return float(np.median(self.values[start:]))


def history(rows: Iterable[Row], metric: str, least: float = LEAST) -> list[Series]:
    """Every arm's series, in order of arm.

    Only runs that ran as requested count: a fallback is another arm's number. Twins of an A/A pair do not
    count, nor do samples that sit on a browser's timer. New kernels begin no new series: their step is named.

    Args:
        rows: with at least the columns `NEEDED` and the metric.
        metric: a column; runs without it are no points.
        least: smaller steps are not named.
    """
    grouped: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        ran = row["outcome"] == Outcome.OK and row["role"] != "twin" and row["timer_ms"] is None
        if ran and value_at(row, metric) is not None and value_at(row, metric) > 0:
            grouped[tuple(value_at(row, name) for name in _SERIES)].append(row)
    keys = sorted(grouped, key=lambda key: [sortable(value) for value in key])
    return [_series(dict(zip(_SERIES, key, strict=True)), grouped[key], metric, least) for key in keys]


def _series(key: Mapping[str, Any], rows: list[Row], metric: str, least: float) -> Series:
    rows.sort(key=lambda row: (row["started_at"], row["id"]))
    values = [float(value_at(row, metric)) for row in rows]
    steps = find_steps(values, least=least)
    edges = [0, *(step.index for step in steps), len(values)]
    far = sum(int(outlying(values[begin:end]).sum()) for begin, end in itertools.pairwise(edges))
    return Series(
        arm={name: key[name] for name in ASKED},
        cpu=words.visible(key["cpu"] or "unknown processor"),
        # The adapter is WebGPU's; WebNN has a device of its own.
        adapter=words.visible(
            (key["adapter"] if key["requested_platform"] == "webgpu" else None)
            or key["effective_device"]
            or "unknown device"
        ),
        runs=[row["id"] for row in rows],
        times=[row["started_at"] for row in rows],
        values=values,
        changes=[_change(step, rows) for step in steps],
        outliers=far,
    )


def _change(step: Step, rows: Sequence[Row]) -> Change:
    """What is new is looked for in the runs around the step: its place may be off by one or two."""
    before, after = rows[step.index - SHORTEST : step.index], rows[step.index : step.index + SHORTEST]
    changed = {}
    for name, title in CAUSES.items():
        old, new = (
            Counter(_said(value_at(row, name)) for row in side).most_common(1)[0][0]
            for side in (before, after)
        )
        if old != new:
            changed[title] = (old, new)
    return Change(step, after[0]["id"], after[0]["started_at"], before[-1]["id"], changed)


def _said(value: Any) -> str:
    return "unknown" if value is None else str(value)


def _percent(ratio: float) -> str:
    return f"{100 * math.expm1(math.log(ratio)):+.1f}"


def title(series: Sequence[Series], metric: str) -> list[str]:
    """What is followed, and what all series share."""
    shared, _ = split_arms([one.arm for one in series])
    cpus = {one.cpu for one in series}
    return [metric, *([f"every arm: {shared}"] if shared else []), *(cpus if len(cpus) == 1 else [])]


def lines(series: Sequence[Series], metric: str) -> tuple[list[str], list[list[str]]]:
    """Headings and a line a series, without what `title` says of all."""
    _, names = split_arms([one.arm for one in series])
    several = len({one.cpu for one in series}) > 1
    now = f"now {BY_NAME[metric].unit}".rstrip()
    head = ["arm", *(["processor"] if several else []), "ran on", "runs", "from", "to", now, "steps"]
    body = [
        [
            name,
            *([one.cpu] if several else []),
            one.adapter,
            str(len(one.runs)),
            one.times[0][:10],
            one.times[-1][:10],
            words.number(one.level),
            "too few runs" if len(one.runs) < 2 * SHORTEST else str(len(one.changes)),
        ]
        for one, name in zip(series, names, strict=True)
    ]
    return head, body


def steps_in_words(series: Sequence[Series]) -> list[tuple[str, list[str]]]:
    """Each series that has steps, and the steps in words."""
    _, names = split_arms([one.arm for one in series])
    return [
        (f"{name}, {one.adapter}, {one.cpu}", [change.words for change in one.changes])
        for one, name in zip(series, names, strict=True)
        if one.changes
    ]


def as_records(series: Sequence[Series]) -> list[dict[str, Any]]:
    """Everything, for programs: a record a series with its points and its steps."""
    return [
        {
            **one.arm,
            "cpu": one.cpu,
            "adapter": one.adapter,
            "level": one.level,
            "outliers": one.outliers,
            "points": [
                {"run": run, "at": at, "value": value}
                for run, at, value in zip(one.runs, one.times, one.values, strict=True)
            ],
            "steps": [
                {
                    "run": change.run,
                    "since": change.since,
                    "run_before": change.before,
                    "ratio": change.step.ratio,
                    "low": change.step.low,
                    "high": change.step.high,
                    "points_before": change.step.before,
                    "points_after": change.step.after,
                    "changed": {name: list(pair) for name, pair in change.changed.items()},
                }
                for change in one.changes
            ],
        }
        for one in series
    ]


def as_json(series: Sequence[Series], metric: str) -> str:
    """`{"metric": ..., "series": [...]}`."""
    data = {"metric": metric, "series": as_records(series)}
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(series: Sequence[Series]) -> str:
    """A line a point: arm, processor, adapter, run, time, value, the ratio of a step that begins there."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*ASKED, "cpu", "adapter", "run", "at", "value", "step_ratio"])
    for one in series:
        begins = {change.run: change.step.ratio for change in one.changes}
        arm = ["" if one.arm[name] is None else one.arm[name] for name in ASKED]
        for run, at, value in zip(one.runs, one.times, one.values, strict=True):
            writer.writerow([*arm, one.cpu, one.adapter, run, at, value, begins.get(run, "")])
    return text.getvalue()
