"""`--group-by` and `--agg`: runs in groups, each with its numbers and what they are numbers of."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.metrics import BY_NAME
from bench.store.filter import column, nearest

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

DEFAULT = "median(latency_ms_median), median(memory_reduction), median(cosine_fp32)"
RUNS, OUTCOMES = "runs", "outcomes"
_CALL = re.compile(r"\s*(\w+)\s*\(\s*(\w+)\s*\)\s*", re.ASCII)
# What each makes of the numbers of a group. One number has no spread.
_NUMBERS: dict[str, Callable[[pd.Series[Any]], Any]] = {
    "median": lambda values: values.median(),
    "mean": lambda values: values.mean(),
    "min": lambda values: values.min(),
    "max": lambda values: values.max(),
    "std": lambda values: values.std(ddof=1),
    "sum": lambda values: values.sum(),
    "p10": lambda values: values.quantile(0.1),
    "p90": lambda values: values.quantile(0.9),
    "p99": lambda values: values.quantile(0.99),
}
# What any column has; first and last as its values are ordered, text by its letters.
_ANY: dict[str, Callable[[pd.Series[Any]], Any]] = {
    "count": lambda values: values.count(),
    "distinct": lambda values: values.nunique(),
    "first": lambda values: values.min(),
    "last": lambda values: values.max(),
}


@dataclass(frozen=True)
class Aggregate:
    """One column of a grouped answer, `function(column)`."""

    function: str
    column: str

    @property
    def label(self) -> str:
        """As it is typed."""
        return f"{self.function}({self.column})"

    @property
    def is_number(self) -> bool:
        """Whether it is worked out of numbers: a count or the first of something is not."""
        return self.function in _NUMBERS


def aggregates(text: str) -> list[Aggregate]:
    """Read `median(latency_ms_median), max(weight_bytes)`; each once.

    Raises:
        InputError: no such function or column, or a number asked of what is none.
    """
    found: dict[Aggregate, None] = {}
    for part in filter(str.strip, text.split(",")):
        call = _CALL.fullmatch(part)
        if call is None:
            raise InputError(
                f"--agg {part.strip()}: not allowed; write function(column), "
                "for example median(latency_ms_median)"
            )
        function, chosen = call[1].lower(), column(call[2])
        if function not in (*_NUMBERS, *_ANY):
            raise InputError(
                f"--agg {part.strip()}: no such function; {nearest(function, (*_NUMBERS, *_ANY))}"
            )
        if function in _NUMBERS and not isinstance(chosen.type, sa.Integer | sa.Double):
            raise InputError(
                f"--agg {part.strip()}: {chosen.name} is not a number; allowed: {', '.join(_ANY)}"
            )
        found[Aggregate(function, chosen.name)] = None
    if not found:
        raise InputError("--agg is empty: write for example median(latency_ms_median)")
    return list(found)


def columns(text: str | None) -> list[str]:
    """The columns to group by, each once; InputError where one is none."""
    if text is None:
        return []
    names = [column(part.strip()).name for part in text.split(",") if part.strip()]
    if not names:
        raise InputError("--group-by is empty: name columns, for example browser,bits")
    return list(dict.fromkeys(names))


def grouped(frame: pd.DataFrame, by: Sequence[str], wanted: Sequence[Aggregate]) -> list[Row]:
    """One row a group: its columns, its runs, their outcomes in words, and the numbers.

    A number, and whatever is asked of a metric, is of the runs that ran as requested (`ok`): what fell back
    would lend its speed to a precision that never ran. Where outcomes are told apart by a column of the
    group, it is of all runs.

    Args:
        frame: with `outcome` and every column that is named; blank outcomes are planned cells without a run.
        by: columns; none for a single group.
        wanted: the numbers.

    Returns:
        groups by their columns, blanks last; None where nothing was measured. `n(column)` says of how many
        runs the numbers of a column are.
    """
    if frame.empty:
        return []
    apart = "outcome" in by
    keys = [frame[name].astype("object").where(frame[name].notna(), None) for name in by]
    parts = frame.groupby(keys or (lambda _: 0), dropna=False, sort=False)
    rows = []
    for key, part in parts:
        numbers = part if apart else part[part["outcome"] == Outcome.OK.value]
        row: Row = dict(zip(by, (_plain(one) for one in key), strict=True)) if by else {}
        row |= {RUNS: int(part["outcome"].count()), OUTCOMES: _outcomes(part["outcome"])}
        for name in counted(wanted):
            row[f"n({name})"] = int(numbers[name].count())
        for one in wanted:
            measured = one.is_number or one.column in BY_NAME
            row[one.label] = _value(one, numbers if measured else part)
        rows.append(row)
    rows.sort(key=lambda row: [sortable(row[name]) for name in by])
    return rows


def counted(wanted: Sequence[Aggregate]) -> list[str]:
    """The columns whose numbers an answer has: with each stands `n(column)`, of how many runs it is."""
    return list(dict.fromkeys(one.column for one in wanted if one.is_number))


def sortable(value: Any) -> tuple[Any, ...]:
    """A key by which blanks come last, and values of one column by themselves."""
    return (value is None, 0 if value is None else value)


def _value(one: Aggregate, part: pd.DataFrame) -> Any:
    values = part[one.column].dropna()
    if one.function != "count" and one.function != "distinct" and values.empty:
        return None
    return _plain({**_NUMBERS, **_ANY}[one.function](values))


def _plain(value: Any) -> Any:
    """A Python value of pandas' or NumPy's; None for what is missing."""
    # pandas' NA is asked by name: a comparison with it is neither true nor false.
    if value is None or type(value).__name__ == "NAType" or value != value:
        return None
    return value.item() if hasattr(value, "item") else value


def _outcomes(found: pd.Series[Any]) -> str:
    """`18 ok, 6 fallback, 2 not run`, in the order of the vocabulary."""
    counts = found.value_counts()
    said = [f"{counts[one.value]} {one.value}" for one in Outcome if one.value in counts]
    planned = len(found) - int(counts.sum())
    return ", ".join([*said, f"{planned} not run"] if planned else said)


def needed(by: Sequence[str], wanted: Sequence[Aggregate]) -> list[str]:
    """The columns that a grouping reads."""
    return list(dict.fromkeys(["outcome", *by, *(one.column for one in wanted)]))


def ordered(rows: list[Row], sort: str | None, labels: Sequence[str]) -> list[Row]:
    """Groups by `--sort`: columns of the answer joined by commas, `-` in front for descending; blanks last.

    Raises:
        InputError: no such column in the answer.
    """
    for key in reversed([part.strip() for part in (sort or "").split(",") if part.strip()]):
        name = _label(key.removeprefix("-").strip(), labels)
        there = [row for row in rows if row[name] is not None]
        there.sort(key=lambda row: row[name], reverse=key.startswith("-"))
        rows = there + [row for row in rows if row[name] is None]
    return rows


def _label(name: str, labels: Sequence[str]) -> str:
    close = name.replace(" ", "").lower()
    for label in labels:
        if close in (label, label.removeprefix("requested_")):
            return label
    raise InputError(f"--sort {name}: the groups have no such column; {nearest(name, labels)}")


def kind(one: Aggregate) -> type:
    """What its values are: int, float, bool or str."""
    if one.function in ("count", "distinct"):
        return int
    return column(one.column).type.python_type if one.function in ("first", "last") else float
