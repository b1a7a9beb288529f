"""What the harness asks of an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.bundle import Bundle
from bench.models.program import Program
from bench.plan.request import Request
from bench.quantize.recipe import Recipe

Say = Callable[[str], None]


@dataclass(frozen=True)
class Granted:
    """What will be asked of the browser.

    Attributes:
        recipe: the formats of the weights.
        why: why it is another than the request's, in a sentence; None where it is not.
    """

    recipe: Recipe
    why: str | None = None


class Engine(Protocol):
    """One engine. Every method is cheap but `files` and `install`.

    Attributes:
        title: what it is, in a few words.
        version: what is installed, or None where it comes with this package.
        policy: the page's content security policy.
    """

    title: str
    version: str | None
    policy: str

    def grant(self, request: Request, program: Program) -> Granted:
        """What will really be asked for: the request's own recipe, or another and why."""

    def check(self, request: Request, program: Program) -> None:
        """Raise InputError where the engine has no form for this model."""

    def files(self, request: Request, bundle: Bundle) -> Mapping[str, Path]:
        """What its page loads as `bundle/NAME`; made where it is not there yet.

        Raises:
            InputError: the engine has no form for this model.
        """

    def rooms(self) -> Mapping[str, Path]:
        """Folders that its page loads from, by their first word under the run's path."""

    def modules(self, platform: str) -> tuple[str, ...]:
        """Patterns under `bench/pages` of the modules that run a model, beside the runtime."""

    def shaders(self, platform: str) -> bool:
        """Whether its page needs our shaders."""

    def installed(self) -> Path | None:
        """The folder where it lies, or None; an engine of this package is always there."""

    def install(self, say: Say) -> None:
        """Get it; InputError, one line, where that cannot be done."""
