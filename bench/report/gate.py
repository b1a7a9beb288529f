"""A limit that a comparison is held to: met, kept, or too noisy to tell."""

from __future__ import annotations

from enum import StrEnum

from bench.report.compare import Matched, Table


class Gate(StrEnum):
    """How a cell meets the limit; by its whole interval, never by a lone ratio."""

    EXCEEDED = "exceeded"
    KEPT = "kept"
    NOISY = "too noisy to tell"


def of(cell: Matched, above: float) -> Gate | None:
    """How a cell meets the limit of being slower by this part; None where nothing was compared."""
    found = cell.comparison
    if found is None:
        return None
    if found.low is None or found.high is None:
        return Gate.NOISY
    if found.low > 1 + above:
        return Gate.EXCEEDED
    return Gate.KEPT if found.high <= 1 + above else Gate.NOISY


def count(table: Table, above: float, met: Gate) -> int:
    """Cells that meet the limit so."""
    return sum(of(cell, above) is met for cell in table.cells)


def in_words(table: Table, above: float) -> list[str]:
    """What is said of the limit beneath a table."""
    limit = f"{100 * above:g} %"
    bad, noisy = count(table, above, Gate.EXCEEDED), count(table, above, Gate.NOISY)
    found = [f"slower by more than {limit}, interval and all: {bad} cell{'' if bad == 1 else 's'}"]
    if noisy:
        cells = f"{noisy} cell{'' if noisy == 1 else 's'}"
        found.append(f"{Gate.NOISY} whether slower by more than {limit}: {cells}; more blocks narrow it")
    return found
