"""Tables of a report, as pandas frames of text; a cell that has no value is "".

They take a `Board`, whose cells are the denominator: one that failed, or never ran, keeps its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.harness.outcome import Outcome
from bench.plan.request import ASKED, NAMED, SORTED
from bench.report import words
from bench.report.board import BITS, NOT_RUN, as_rows, right
from bench.report.row import Arm, Row, value_at

# What a line of the support matrix is of: all that names an arm but its bits, which are the columns.
_LINE = tuple(field.column for field in SORTED if field in NAMED and field.name != "bits")


def outcome_counts(arms: Sequence[Arm]) -> dict[str, int]:
    """How many cells came to each outcome, in the vocabulary's order, `not run` last; zeros left out."""
    found: Counter[str] = Counter()
    for arm in arms:
        found[str(arm["outcome"])] += arm["sessions"]
    order = [*(outcome.value for outcome in Outcome), NOT_RUN]
    return {name: found[name] for name in order if found[name]}


def support_groups(arms: Sequence[Arm]) -> dict[tuple[Any, ...], list[Arm]]:
    """The arms of each line of the support matrix: (model, tokens, browser, platform, options)."""
    groups: dict[tuple[Any, ...], list[Arm]] = {}
    for arm in arms:
        key = (*(value_at(arm, name) for name in _LINE), words.options(arm))
        groups.setdefault(key, []).append(arm)
    return dict(sorted(groups.items()))


def support_matrix(arms: Sequence[Arm]) -> pd.DataFrame:
    """What each browser and platform made of each precision.

    Returns:
        a row for each (model, sequence length, browser, platform, options), with columns `model`, `tokens`,
        `browser` (its builds), `platform`, `options`, one for each precision asked for anywhere, and `ran`
        (cells that ran of cells asked). A precision reads `ok`, `fallback → 8`, `timeout`, `not run`, or
        counts where there are several cells: `ok ×9, timeout ×1`. Blank: not asked for.
    """
    asked = [width for width in BITS if any(arm["requested_bits"] == width for arm in arms)]
    lines = []
    for (model, tokens, browser, platform, option), members in support_groups(arms).items():
        builds = words.distinct(words.browser(arm) for arm in members if arm["outcome"] != NOT_RUN)
        if len(builds) > 3:
            builds = [*builds[:2], f"{len(builds) - 2} more builds"]
        line = {
            "model": model,
            "tokens": str(tokens),
            "browser": " / ".join(builds) or browser,
            "platform": platform,
            "options": option,
        }
        for width in asked:
            line[f"{width}-bit"] = verdict([arm for arm in members if arm["requested_bits"] == width])
        ran = sum(arm["sessions"] for arm in members if right(arm))
        line["ran"] = f"{ran} of {sum(arm['sessions'] for arm in members)}"
        lines.append(line)
    columns = ["model", "tokens", "browser", "platform", "options", *(f"{w}-bit" for w in asked), "ran"]
    return pd.DataFrame(lines, columns=columns)


def verdict(arms: Sequence[Arm]) -> str:
    """What cells came to, in words; "" for none."""
    found: Counter[str] = Counter()
    for arm in arms:
        found[_word(arm)] += arm["sessions"]
    if found.total() == 1:
        return next(iter(found))
    return ", ".join(f"{word} ×{count}" for word, count in found.most_common())


def _word(arm: Arm) -> str:
    if arm["outcome"] == Outcome.FALLBACK and arm["effective_bits"] not in (None, arm["requested_bits"]):
        return f"fallback → {arm['effective_bits']}"
    return str(arm["outcome"])


def sorted_arms(arms: Sequence[Arm]) -> list[Arm]:
    """In the order of the table: model, shape, options, browser, platform, most bits first."""
    return sorted(
        arms,
        key=lambda arm: (
            arm["requested_model"],
            arm["requested_sequence_length"],
            words.options(arm),
            arm["requested_browser"],
            arm["requested_platform"],
            -arm["requested_bits"],
            arm["runs"][:1],
        ),
    )


def comparison(arms: Sequence[Arm]) -> pd.DataFrame:
    """Each arm that has a run, as text, in the order of `sorted_arms`; one without numbers keeps its line.

    Latency in milliseconds with its interval, memory against FP16. Of a language model latency is the time to
    the first token, and `tokens/s` what it writes after that.
    """
    lines = [
        {
            "model": arm["requested_model"],
            "tokens": str(arm["requested_sequence_length"]),
            "browser": words.browser(arm),
            "platform": words.platform(arm),
            "options": words.options(arm),
            "bits": words.bits(arm),
            "outcome": arm["outcome"],
            "latency ms": words.latency(arm),
            "tokens/s": words.tokens(arm),
            "n": "" if arm["latency_ms_n"] is None else str(arm["latency_ms_n"]),
            "weights MB": words.megabytes(arm["weight_bytes"]),
            "memory saved": words.percent(arm["memory_reduction"]),
            "kernel rel. L2": words.number(arm["kernel_rel_l2"], 2),
            "cosine to FP32": "" if arm["cosine_fp32"] is None else f"{arm['cosine_fp32']:.4f}",
            "same tokens": words.percent(arm["greedy_agreement"]),
            "ran on": words.device(arm) if arm["effective_platform"] else "",
            "runs": ", ".join(str(run) for run in arm["runs"][:MOST_IDS])
            + (f" and {len(arm['runs']) - MOST_IDS} more" if len(arm["runs"]) > MOST_IDS else ""),
        }
        for arm in sorted_arms(arms)
        if arm["outcome"] != NOT_RUN
    ]
    columns = "model|tokens|browser|platform|options|bits|outcome|latency ms|tokens/s|n|weights MB"
    more = ["memory saved", "kernel rel. L2", "cosine to FP32", "same tokens", "ran on", "runs"]
    return pd.DataFrame(lines, columns=[*columns.split("|"), *more]).astype(object)


MOST_IDS = 6  # of an arm's runs that are named


def asked_for(row: Row) -> str:
    """`chrome 153.0 webnn 4-bit experimental all-MiniLM-L6-v2`."""
    parts = (
        words.browser(row) or row["requested_browser"],
        row["requested_platform"],
        f"{row['requested_bits']}-bit",
        words.options(row),
        row["requested_model"],
    )
    return " ".join(part for part in parts if part)


def failures(runs: pd.DataFrame, most: int = 200) -> tuple[pd.DataFrame, int]:
    """Runs that are not `ok`, earlier attempts too, with the browser's words, and how many were left out.

    The same words for the same request stand once, with the newest run and how many there were; the newest
    `most` of them are given.
    """
    names = ["browser_version", *ASKED]
    names += ["outcome", "error_stage", "error_name", "error_message", "fallback_reason"]
    bad = runs[runs["outcome"] != Outcome.OK.value].sort_values("id")
    counted = bad.groupby(names, dropna=False, sort=False)["id"].transform("size")
    newest = bad.assign(times=counted).drop_duplicates(names, keep="last")
    rows = as_rows(newest.tail(most))
    lines = [
        {
            "run": str(row["id"]),
            "asked": asked_for(row),
            "outcome": row["outcome"],
            "times": str(value_at(row, "times")),
            "stage": row["error_stage"] or "",
            "words": words.reason(row),
            "operator": words.visible(row["error_operator"]),
        }
        for row in rows
    ]
    columns = ["run", "asked", "outcome", "times", "stage", "words", "operator"]
    return pd.DataFrame(lines, columns=columns), len(newest) - len(rows)


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
    rounded = runs.assign(timer_resolution_us=runs["timer_resolution_us"].round(3))
    counted = rounded.groupby(list(columns), dropna=False, sort=False).size().reset_index(name="runs")
    lines = [[_plain(value_at(row, name)) for name in (*columns, "runs")] for row in as_rows(counted)]
    return pd.DataFrame(lines, columns=[*columns.values(), "runs"])


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return words.number(value) if isinstance(value, float) else words.visible(value)
