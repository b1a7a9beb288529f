"""Troubleshooting: the words that were really seen, each with its likely cause and the next command.

The words come from the stored runs under results/ and from tests/faults/golden.json, which a test holds to a
real browser; the causes come from `bench.report.advice`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bench.faults.catalogue import CATALOGUE
from bench.harness.outcome import Category, Outcome, categorize
from bench.record import RunRecord
from bench.report import words
from bench.report.advice import advise
from made_reference import code, page
from made_sets import result_sets

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "faults" / "golden.json"
_ORDER = (
    *(Outcome.UNAVAILABLE, Outcome.UNSUPPORTED, Outcome.TIMEOUT, Outcome.CRASHED),
    *(Outcome.DEVICE_LOST, Outcome.INCORRECT, Outcome.INTERRUPTED),
)


@dataclass(frozen=True)
class Trouble:
    """Words that a run ended with, what is behind them, and where they were seen.

    `order` keeps what a real machine said before what was provoked.
    """

    outcome: Outcome
    category: Category
    stage: str
    words: str
    cause: str
    next: str
    seen: str
    order: int


def troubles_page() -> str:
    """docs/troubleshooting.md."""
    found = [*_stored(), *_provoked()]
    parts = [
        "A run that did not end well keeps the words it ended with. `bench show RUN` prints them with the "
        "likely cause and the next command; this page lists all that were seen so far, in the runs stored "
        "under `results/` and in browsers that were made to fail on purpose (`bench faults list`, "
        "`bench run --fault NAME`). `N` stands for a number, `mine` for a model.",
        [
            "```bash",
            "export BENCH_DB=sqlite:///results/2026-11-25-software/runs.sqlite    # in the checkout",
            "bench errors --all",
            'bench query --where "outcome = error" --limit 20',
            "bench show 1",
            "```",
        ],
        "What each outcome and category means: [outcomes](outcomes.md). No browser found, no GPU, no WebNN: "
        "`bench doctor` says what to type.",
    ]
    parts.append("## By outcome")
    for outcome in _ORDER:
        parts += [f"### {outcome}", f"{_sentence(outcome.meaning)}"]
        parts += _blocks([one for one in found if one.outcome is outcome])
    parts += ["## Errors by category", "The outcome is `error`; `error_category` sorts the words."]
    for category in Category:
        parts += [f"### {category}", f"{_sentence(category.meaning)}"]
        parts += _blocks([one for one in found if one.outcome is Outcome.ERROR and one.category is category])
    return page("Troubleshooting", *parts)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _blocks(troubles: list[Trouble]) -> list[str | list[str]]:
    """One part for each cause: the words that have it, then what to do."""
    if not troubles:
        return ["Not seen so far, neither in a stored run nor in a test."]
    groups: dict[str, list[Trouble]] = {}
    for one in sorted(troubles, key=lambda one: one.order):
        groups.setdefault(one.cause, []).append(one)
    parts: list[str | list[str]] = []
    for cause, members in groups.items():
        parts.append(f"**{_sentence(cause)[:-1]}.**")
        seen: dict[tuple[str, str], list[str]] = {}
        for one in members:
            seen.setdefault((one.stage, one.words), []).append(one.seen)
        lines = ["```text"]
        lines += [f"{stage}: {said}" for stage, said in seen]
        parts.append([*lines, "```"])
        names = words.distinct(name for one in seen.values() for name in one)
        following = " or ".join(_typed(line) for line in words.distinct(one.next for one in members)[:3])
        parts.append(f"Seen in {', '.join(names[:6])}{_more(len(names) - 6)}. Next: {following}")
    return parts


def _typed(following: str) -> str:
    """What to do next, with whatever is typed as code."""
    steps = following.split(", then ")
    return ", then ".join(code(step) if step.startswith(("bench ", "pip ")) else step for step in steps)


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _stored() -> list[Trouble]:
    """One for each distinct message of the published sets, at the first run that has it."""
    found: dict[tuple[str, ...], Trouble] = {}
    for one in result_sets():
        for number, record in one.records.items():
            advice = advise(record)
            if advice is None or record.error is None:
                continue
            key = (record.outcome, record.error.stage, record.error.message, record.requested.browser_name)
            if key not in found:
                seen = f"run {number} of {one.title} ({_who(record)})"
                found[key] = Trouble(
                    record.outcome,
                    record.error.category,
                    str(record.error.stage),
                    _said(f"{record.error.name}: {record.error.message}"),
                    advice.cause,
                    advice.next,
                    seen,
                    0,
                )
    return list(found.values())


def _who(record: RunRecord) -> str:
    version = words.short_version(record.environment.browser_version)
    return " ".join(part for part in (record.requested.browser_name, version) if part)


def _provoked() -> list[Trouble]:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = []
    for name, told in golden.items():
        if told["cause"] is None:
            continue
        fault = CATALOGUE[name]
        kind, _, message = told["words"].partition(": ")
        found.append(
            Trouble(
                fault.outcome,
                categorize(kind, message),
                str(fault.stage or ""),
                _said(told["words"]),
                told["cause"],
                told["next"],
                f"fault `{name}`",
                1,
            )
        )
    return found


def _said(text: str) -> str:
    """On one line, with control characters made visible: a page is no place to obey them."""
    return " ".join(words.visible(text).split())
