"""Every exception this package raises on purpose.

BenchError
 ├─ InputError        the user asked for something that cannot be: one line, exit code 2
 │   └─ StoreError    the database cannot be opened, is foreign, or has another schema
 │       ├─ StoreFull it takes no more, for want of room: exit code 5
 │       └─ StoreGone its file was deleted, moved or replaced while it was open: exit code 1
 └─ RunFailure        one run ended early; becomes a stored outcome, never a traceback
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

    from bench.harness.outcome import Outcome, Stage


class BenchError(Exception):
    """Base of all errors raised on purpose."""


class InputError(BenchError):
    """Bad input or usage. The message is one line: what happened, with which value, what is allowed."""

    exit_code: ClassVar[int] = 2


class StoreError(InputError):
    """The database cannot be opened, is not ours, or comes from another schema."""


class StoreFull(StoreError):
    """The database takes no more: its disk is full."""

    exit_code: ClassVar[int] = 5


class StoreGone(StoreError):
    """The file of an open database is no longer at its path.

    Args:
        path: where it was.
        then: what is kept and what to do, where that is known.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, path: Path, then: str = "") -> None:
        self.path = path
        self.then = then
        what = "another file took the place of" if path.exists() else "somebody deleted or moved"
        super().__init__(f"{what} the database {path} while it was open{then}")


class RunFailure(BenchError):
    """One run ended before it was finished.

    Args:
        outcome: what the run becomes in the database.
        stage: where it happened.
        message: the browser's, driver's or system's own words, verbatim.
        name: the error's own type name (`TypeError`, `GPUValidationError`, ...).
        operator: the graph operator or kernel at fault, where it is known.
    """

    def __init__(
        self,
        outcome: Outcome,
        stage: Stage,
        message: str,
        *,
        name: str = "Error",
        operator: str | None = None,
    ) -> None:
        super().__init__(f"{outcome.value} in {stage.value}: {message}")
        self.outcome = outcome
        self.stage = stage
        self.message = message
        self.name = name
        self.operator = operator
