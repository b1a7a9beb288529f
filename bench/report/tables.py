"""Tables of a report, as pandas frames of text; a cell that has no value is "".

They take frames of `Store.summary` (runs) and `Store.cells` (what was planned): the plan is the denominator,
so a cell that failed, or never ran, keeps its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.harness.outcome import Outcome
from bench.report import words

NOT_RUN = "not run"
BITS = (16, 8, 4, 2)
_ARM = ("model", "sequence_length", "browser", "platform")


def as_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame as plain rows, with None for whatever is missing."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict(orient="records")]


def arms_only(runs: pd.DataFrame) -> pd.DataFrame:
    """Without the hidden A/A twins: they meter false alarms and are no arm of a comparison."""
    return runs[runs["role"] != "twin"]


def latest(runs: pd.DataFrame) -> pd.DataFrame:
    """The last attempt at each cell: what the cell came to."""
    return runs.sort_values(["cell_id", "attempt"]).drop_duplicates("cell_id", keep="last").sort_values("id")


def outcome_counts(runs: pd.DataFrame, cells: Sequence[words.Row]) -> dict[str, int]:
    """How many cells came to each outcome, in the vocabulary's order, `not run` last; zeros left out."""
    found = Counter(str(outcome) for outcome in latest(runs)["outcome"])
    found[NOT_RUN] = len(cells) - sum(found.values())
    order = [*(outcome.value for outcome in Outcome), NOT_RUN]
    return {name: found[name] for name in order if found[name]}


def coverage(runs: pd.DataFrame, cells: Sequence[words.Row]) -> tuple[int, int]:
    """Cells that ran with a right result (as requested or fallen back), and cells asked for."""
    return sum(Outcome(outcome).measured for outcome in latest(runs)["outcome"]), len(cells)


def support_matrix(runs: pd.DataFrame, cells: Sequence[words.Row]) -> pd.DataFrame:
    """What each browser and platform made of each precision.

    Returns:
        a row for each (model, sequence length, browser build, platform, options), with columns `model`,
        `tokens`, `browser`, `platform`, `options`, one for each precision asked for anywhere, and `ran`
        (cells that ran of cells asked). A precision reads `ok`, `fallback → 8`, `timeout`, `not run`, or
        counts where there are several cells: `ok ×9, timeout ×1`. Blank: not asked for.
    """
    by_cell = {row["cell_id"]: row for row in as_rows(latest(runs))}
    groups: dict[tuple[Any, ...], list[words.Row]] = {}
    for cell in cells:
        key = (*(cell[f"requested_{name}"] for name in _ARM), words.options(cell))
        groups.setdefault(key, []).append(cell)
    asked = [width for width in BITS if any(cell["requested_bits"] == width for cell in cells)]
    lines = []
    for (model, tokens, browser, platform, option), members in sorted(groups.items()):
        ran = [by_cell[cell["cell_id"]] for cell in members if cell["cell_id"] in by_cell]
        builds = words.distinct(words.browser(row) for row in ran)
        line = {
            "model": model,
            "tokens": str(tokens),
            "browser": " / ".join(builds) or browser,
            "platform": platform,
            "options": option,
        }
        for width in asked:
            line[f"{width}-bit"] = _verdict(
                [by_cell.get(cell["cell_id"]) for cell in members if cell["requested_bits"] == width]
            )
        line["ran"] = f"{sum(Outcome(row['outcome']).measured for row in ran)} of {len(members)}"
        lines.append(line)
    columns = ["model", "tokens", "browser", "platform", "options", *(f"{w}-bit" for w in asked), "ran"]
    return pd.DataFrame(lines, columns=columns)


def _verdict(runs: Sequence[words.Row | None]) -> str:
    found = Counter(_word(run) for run in runs)
    if len(runs) == 1:
        return next(iter(found))
    return ", ".join(f"{word} ×{count}" for word, count in found.most_common())


def _word(run: words.Row | None) -> str:
    if run is None:
        return NOT_RUN
    if run["outcome"] == Outcome.FALLBACK and run["effective_bits"] not in (None, run["requested_bits"]):
        return f"fallback → {run['effective_bits']}"
    return str(run["outcome"])


def comparison(runs: pd.DataFrame) -> pd.DataFrame:
    """The last attempt at each cell, as text; a run without numbers keeps its line.

    Latency in milliseconds with its 95 % interval within the session, memory against FP16.
    """
    rows = as_rows(latest(runs))
    rows.sort(
        key=lambda row: (
            row["requested_model"],
            row["requested_sequence_length"],
            words.options(row),
            row["requested_browser"],
            row["requested_platform"],
            -row["requested_bits"],
            row["id"],
        )
    )
    lines = [
        {
            "run": str(row["id"]),
            "model": row["requested_model"],
            "tokens": str(row["requested_sequence_length"]),
            "browser": words.browser(row),
            "platform": words.platform(row),
            "options": words.options(row),
            "bits": words.bits(row),
            "outcome": row["outcome"],
            "latency ms": words.latency(row),
            "n": "" if row["latency_ms_n"] is None else str(row["latency_ms_n"]),
            "memory saved": words.percent(row["memory_reduction"]),
            "kernel rel. L2": words.number(row["kernel_rel_l2"], 2),
            "cosine to FP32": "" if row["cosine_fp32"] is None else f"{row['cosine_fp32']:.4f}",
            "ran on": words.device(row) if row["effective_platform"] else "",
        }
        for row in rows
    ]
    columns = "run|model|tokens|browser|platform|options|bits|outcome|latency ms|n|memory saved"
    return pd.DataFrame(
        lines, columns=[*columns.split("|"), "kernel rel. L2", "cosine to FP32", "ran on"]
    ).astype(object)


def failures(runs: pd.DataFrame) -> pd.DataFrame:
    """Every run that is not `ok`, earlier attempts too, with the browser's words."""
    rows = [row for row in as_rows(runs.sort_values("id")) if row["outcome"] != Outcome.OK]
    lines = [
        {
            "run": str(row["id"]),
            "asked": " ".join(
                part
                for part in (
                    words.browser(row) or row["requested_browser"],
                    row["requested_platform"],
                    f"{row['requested_bits']}-bit",
                    words.options(row),
                    row["requested_model"],
                )
                if part
            ),
            "attempt": str(row["attempt"]),
            "outcome": row["outcome"],
            "stage": row["error_stage"] or "",
            "words": words.reason(row),
            "operator": words.visible(row["error_operator"]),
        }
        for row in rows
    ]
    return pd.DataFrame(lines, columns=["run", "asked", "attempt", "outcome", "stage", "words", "operator"])


def environments(runs: pd.DataFrame) -> pd.DataFrame:
    """Each distinct place that runs ran in, with the number of runs."""
    columns = {
        "browser": "browser",
        "browser_version": "version",
        "browser_binary": "binary",
        "driver_version": "driver",
        "adapter": "adapter",
        "adapter_is_fallback": "software adapter",
        "cross_origin_isolated": "isolated",
        "timer_resolution_us": "timer µs",
        "os": "system",
        "cpu": "processor",
        "harness_version": "harness",
    }
    found: Counter[tuple[str, ...]] = Counter()
    for row in as_rows(runs):
        found[tuple(_plain(row[name]) for name in columns)] += 1
    lines = [[*values, str(count)] for values, count in found.items()]
    return pd.DataFrame(lines, columns=[*columns.values(), "runs"])


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return words.number(value) if isinstance(value, float) else words.visible(value)
