"""Our own WebGPU kernels and WebNN graphs: they come with the package and read the bundle as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.bundle import Bundle
from bench.engines.base import Granted, Say
from bench.models.program import Program
from bench.plan.request import Request
from bench.quantize.recipe import recipe_of

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
        if request.platform == "webnn" and request.bits < 8 and not request.experimental_precision:
            return Granted(
                recipe_of(request, program.weights, 8),
                f"WebNN in standard mode runs {request.bits}-bit requests at 8 bits; "
                f"--experimental-precision asks the browser for int{request.bits}",
            )
        return Granted(recipe_of(request, program.weights))

    def check(self, request: Request, program: Program) -> None:
        """Every program has a form."""

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
