"""Our own WebGPU kernels and WebNN graphs: they come with the package and read the bundle as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.bundle import Bundle
from bench.engines.base import Granted, Say
from bench.errors import InputError
from bench.models.program import Program
from bench.plan.request import ROW_PLANS, Request
from bench.quantize.recipe import by_row, recipe_of

_PACKAGE = Path(__file__).resolve().parent.parent


class Native:
    """WebGPU and WebNN, at all bits."""

    title = "our own WebGPU kernels and WebNN graphs"
    version: str | None = None
    policy = "default-src 'self'"

    def grant(self, request: Request, program: Program) -> Granted:
        """WebNN has 8-bit integers everywhere but 4-bit ones not everywhere and 2-bit ones nowhere.

        In standard mode both run as 8 bits; in experimental mode the browser is asked for the true type.
        """
        bits, why = request.bits, None
        if request.platform == "webnn" and request.bits < 8 and not request.experimental_precision:
            bits, why = (
                8,
                f"WebNN in standard mode runs {request.bits}-bit requests at 8 bits; "
                f"--experimental-precision asks the browser for int{request.bits}",
            )
        recipe = recipe_of(request, program.weights, bits)
        if request.webnn_plan in ROW_PLANS:
            recipe = by_row(recipe, program.weights)
        return Granted(recipe, why)

    def check(self, request: Request, program: Program) -> None:
        """Every program has a form; WebNN's int8 activations are set by inputs that a cache has not yet.

        Raises:
            InputError: a plan that the program cannot have.
        """
        if request.webnn_plan == "qdq-int8" and program.states:
            raise InputError(
                f"webnn-plan qdq-int8 for {request.model}: not allowed; a model that keeps state between "
                "calls has no range of activations beforehand; take another plan, or leave it out"
            )

    def files(self, request: Request, bundle: Bundle) -> Mapping[str, Path]:
        """The packed weights."""
        return {"weights.safetensors": bundle.weights_path}

    def rooms(self) -> Mapping[str, Path]:
        """None: everything is the page's own."""
        return {}

    def modules(self, platform: str) -> tuple[str, ...]:
        """The platform's folder."""
        return (f"{platform}/*.js",)

    def shaders(self, platform: str) -> bool:
        """For WebGPU."""
        return platform == "webgpu"

    def installed(self) -> Path | None:
        """Always."""
        return _PACKAGE / "pages"

    def install(self, say: Say) -> None:
        """Nothing is to be done."""
        say("native comes with this package")
