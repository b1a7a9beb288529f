"""A comparison in words: a terminal's table, Markdown, CSV, JSON and JUnit, all of the same figures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bench.metrics import BY_NAME
from bench.plan.request import ASKED, NAMED, OPTIONS
from bench.report import gate, words
from bench.report.compare import KERNELS, Matched, Side, Table, Twins
from bench.report.row import value_at
from bench.stats.blocks import SAME_RATIO, Comparison
from bench.stats.verdict import Verdict

# What an arm is named by, in this order; the rest of it shows only where it is not the default.
_NAMES = {**{field.column: field.title for field in NAMED}, KERNELS: "kernels"}
_SAID = {field.column: field.said for field in NAMED}
_DEFAULTS = {field.column: field.default for field in OPTIONS}


def arm_name(arm: Mapping[str, Any]) -> str:
    """`all-MiniLM-L6-v2 chrome webgpu 4-bit 16 tokens mixed`, without what varies between the sides."""
    parts = [_SAID.get(name, str)(value_at(arm, name)) for name in _NAMES if arm.get(name) is not None]
    if arm.get(KERNELS) is not None:
        parts[-1] = parts[-1] if parts[-1].startswith("harness") else f"kernels {parts[-1]}"
    return words.visible(" ".join(filter(None, [*parts, options(arm)])))


def split_arms(arms: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """What all arms share, and a name for each by what it does not share; whole names where all are one."""
    if all(arm == arms[0] for arm in arms):
        return "", [arm_name(arm) for arm in arms]
    same = {name for name in arms[0] if len({value_at(arm, name) for arm in arms}) == 1}
    own = [arm_name({name: value for name, value in arm.items() if name not in same}) for arm in arms]
    return arm_name({name: value_at(arms[0], name) for name in arms[0] if name in same}), own


def options(arm: Mapping[str, Any]) -> str:
    """Every option of an arm that is not the default."""
    return words.options({**_DEFAULTS, **arm})


def headings(table: Table) -> list[str]:
    """Columns for people: what tells the cells apart, then the figures."""
    sides = [" ".join(filter(None, [side, BY_NAME[table.metric].unit])) for side in ("BASE", "OTHER")]
    return [*_telling(table), "blocks", *sides, "ratio [95 %]", "verdict"]


def _telling(table: Table) -> list[str]:
    """Names of the columns in which the cells differ."""
    telling = [
        title
        for name, title in _NAMES.items()
        if len({cell.arm[name] for cell in table.cells if name in cell.arm}) > 1
    ]
    return [*telling, *(["options"] if len({options(cell.arm) for cell in table.cells}) > 1 else [])]


def lines(table: Table) -> list[list[str]]:
    """A line of text for each cell, in the columns of `headings`."""
    titles = {title: name for name, title in _NAMES.items()}
    telling = _telling(table)
    return [
        [
            *(
                options(cell.arm) if title == "options" else words.visible(cell.arm[titles[title]])
                for title in telling
            ),
            blocks(cell),
            words.number(cell.base.centre),
            words.number(cell.other.centre),
            ratio(cell),
            plain_verdict(verdict(cell), table.metric),
        ]
        for cell in table.cells
    ]


def blocks(cell: Matched) -> str:
    """`10`; `8/10` where planned ones were not compared; sessions `10 vs 8` where no block is shared."""
    if cell.comparison is not None and cell.comparison.design == "separate":
        return f"{len(cell.base.runs)} vs {len(cell.other.runs)}"
    used = cell.comparison.blocks if cell.comparison else 0
    planned = max(sum(cell.base.outcomes.values()), sum(cell.other.outcomes.values()))
    return str(used) if used == planned else f"{used}/{planned}"


def ratio(cell: Matched) -> str:
    """`0.842 [0.813, 0.871]`, the ratio alone where it has no interval, "" where nothing was compared."""
    return "" if cell.comparison is None else _interval(cell.comparison)


def _interval(found: Comparison) -> str:
    if found.low is None or found.high is None:
        return f"{found.ratio:.3f}"
    return f"{found.ratio:.3f} [{found.low:.3f}, {found.high:.3f}]"


def verdict(cell: Matched) -> str:
    """The verdict in words, and what is missing for one."""
    if cell.judgement is None:
        return f"{cell.lacking} {cell.missing}"
    text = cell.judgement.words
    if cell.judgement.more_blocks is not None:
        shared = cell.comparison is not None and cell.comparison.design == "blocks"
        text += f": {cell.judgement.more_blocks} more {'blocks' if shared else 'sessions each'}"
    return text


def plain_verdict(text: str, metric: str) -> str:
    """A verdict as it reads of that metric: a share of equal tokens is better or worse, and never faster."""
    if BY_NAME[metric].unit:
        return text
    return text.replace(Verdict.FASTER.value, "better").replace(Verdict.SLOWER.value, "worse")


def _how(metric: str) -> str:
    if not BY_NAME[metric].unit:
        return f"ratio: BASE's {metric} over OTHER's, below 1 is better"
    rate = "" if BY_NAME[metric].direction == "lower" else f" (1 / {metric})"
    return f"ratio: OTHER's time{rate} over BASE's, below 1 is faster"


def summary(table: Table, fail_above: float | None = None) -> list[str]:
    """What is said beneath the table: the aggregate with its coverage, the verdicts, and every caveat."""
    compared = sum(table.verdicts.values())
    found = []
    if table.aggregate.ratio is not None:
        found.append(f"geometric mean {table.aggregate.ratio:.3f} over {table.aggregate.coverage}")
    else:
        found.append(f"nothing compared: {table.aggregate.coverage}")
    if compared:
        found.append(
            ", ".join(
                f"{table.verdicts[one]} {plain_verdict(one.value, table.metric)}"
                for one in Verdict
                if table.verdicts.get(one)
            )
        )
    found += [f"inconclusive, {text}: {count} cell{_s(count)}" for text, count in _reasons(table).items()]
    for text, count in table.differs.items():
        found.append(f"FORCED although not comparable: {text} ({count} cell{_s(count)})")
    found += [f"devices: {text} ({count} cell{_s(count)})" for text, count in table.devices.items()]
    if table.separate:
        found.append(
            "BASE and OTHER share no block: a change of the machine between them looks like a difference"
        )
    found += [
        f"beside: {words.visible(text)} ({count} cell{_s(count)})" for text, count in table.beside.items()
    ]
    found += [f"beside: {words.visible(text)}" for text in table.adapters]
    found += [plain_verdict(_of_twins(one), table.metric) for one in table.twins]
    timed = sum(cell.timed for cell in table.cells)
    if timed:
        found.append(
            f"{timed} session{_s(timed)} left out: the samples sit on the browser's timer (bench db check)"
        )
    unpaired = sum(cell.unpaired for cell in table.cells)
    if unpaired:
        found.append(f"{unpaired} session{_s(unpaired)} left out: the block has no session of the other arm")
    if fail_above is not None:
        found += gate.in_words(table, fail_above)
    return found


def _of_twins(twins: Twins) -> str:
    """The campaign's own meter of false alarms, in words."""
    said = f"{_interval(twins.comparison)} {twins.judgement.words}"
    odd = twins.judgement.verdict in (Verdict.FASTER, Verdict.SLOWER)
    warning = "; IDENTICAL ARMS DIFFER, so may the others by chance" if odd else ""
    return words.visible(f"A/A of {twins.campaign} ({arm_name(twins.arm)}): {said}{warning}")


def _reasons(table: Table) -> dict[str, int]:
    counts: dict[str, int] = {}
    for cell in table.cells:
        if cell.judgement is not None and (why := cell.judgement.why):
            if why == SAME_RATIO and not BY_NAME[table.metric].unit:
                why = "every block has the same ratio: it does not vary from session to session"
            counts[why] = counts.get(why, 0) + 1
    return counts


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def title(table: Table) -> list[str]:
    """What is compared, how a ratio reads, and what all cells share."""
    arms = [cell.arm for cell in table.cells]
    alike = split_arms(arms)[0] or (arm_name(arms[0]) if len(arms) == 1 else "")
    many = sum(cell.p is not None for cell in table.cells)
    return [
        f"BASE {words.visible(table.base)}, OTHER {words.visible(table.other)}: {table.metric}",
        *([f"every cell: {alike}"] if alike else []),
        _how(table.metric) + (f"; verdicts allow for {many} comparisons (Holm)" if many > 1 else ""),
    ]


def record(cell: Matched) -> dict[str, Any]:
    """One cell with everything, flat but for outcomes and runs; None where there is nothing."""
    found, said = cell.comparison, cell.judgement
    figures = ("blocks", "design", "ratio", "low", "high", "p")
    beside = ("deviation", "median_ratio", "median_low", "median_high", "p_permutation")
    return {
        **{name: cell.arm.get(name) for name in (*ASKED, KERNELS)},
        "base": cell.base.centre,
        "other": cell.other.centre,
        **{name: getattr(found, name) if found else None for name in figures},
        "p_holm": cell.p,
        "verdict": said.verdict.value if said else None,
        "verdict_words": said.words if said else None,
        "why": said.why or None if said else None,
        "more_blocks": said.more_blocks if said else None,
        **{name: getattr(found, name) if found else None for name in beside},
        "missing": cell.missing or None,
        "lacking": cell.lacking or None,
        "differs": list(cell.differs),
        "beside": list(cell.beside),
        "on_timer": cell.timed,
        "unpaired": cell.unpaired,
        **{
            f"{name}_{part}": value
            for name, one in (("base", cell.base), ("other", cell.other))
            for part, value in _side(one).items()
        },
    }


def _side(side: Side) -> dict[str, Any]:
    return {"outcomes": dict(side.outcomes), "runs": list(side.runs), "device": side.device or None}


def as_json(table: Table, fail_above: float | None = None) -> str:
    """Everything, for programs; with a limit, also how each cell meets it."""
    data = {
        "base": table.base,
        "other": table.other,
        "metric": table.metric,
        "margin": table.margin,
        "varied": list(table.varied),
        "forced": table.forced,
        "geometric_mean": table.aggregate.ratio,
        "coverage": {
            "cells": table.aggregate.cells,
            "asked": table.aggregate.asked,
            "missing": dict(table.aggregate.missing),
        },
        "verdicts": {one.value: table.verdicts.get(one, 0) for one in Verdict},
        "twins": [
            {
                "campaign": one.campaign,
                **one.arm,
                "ratio": one.comparison.ratio,
                "low": one.comparison.low,
                "high": one.comparison.high,
                "blocks": one.comparison.blocks,
                "verdict": one.judgement.verdict.value,
            }
            for one in table.twins
        ],
        "cells": [record(cell) for cell in table.cells],
    }
    if fail_above is not None:
        data["fail_above"] = fail_above
        data["gate"] = [met and met.value for met in (gate.of(cell, fail_above) for cell in table.cells)]
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(table: Table) -> str:
    """A line for each cell with every figure; outcomes and runs as JSON."""
    text = io.StringIO()
    rows = [record(cell) for cell in table.cells]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([_plain(value) for value in row.values()])
    return text.getvalue()


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def as_markdown(table: Table, fail_above: float | None = None) -> str:
    """For a pull request: the summary first, then the table."""
    head, body = headings(table), lines(table)
    return "\n".join(
        [
            *(f"{_cell(line)}  " for line in title(table)),
            "",
            *(f"- {_cell(line)}" for line in summary(table, fail_above)),
            "",
            *markdown_table(head, body),
            "",
        ]
    )


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; a bar or a line break in foreign words does not end a cell."""
    rule = ["---"] * len(head)
    return [f"| {' | '.join(map(_cell, row))} |" for row in (head, rule, *body)]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
