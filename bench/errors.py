"""Every exception this package raises on purpose.

BenchError
 ├─ InputError        the user asked for something that cannot be: one line, exit code 2
 │   └─ StoreError    the database cannot be opened, is foreign, or has another schema
 └─ RunFailure        one run ended early; becomes a stored outcome, never a traceback
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.harness.outcome import Outcome, Stage


class BenchError(Exception):
    """Base of all errors raised on purpose."""


class InputError(BenchError):
    """Bad input or usage. The message is one line: what happened, with which value, what is allowed."""


class StoreError(InputError):
    """The database cannot be opened, is not ours, or comes from another schema."""


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
