"""What an engine grants and needs: whose code runs the model in the page. One file an engine.

An engine imports the bundle and pure rooms; the harness and the command line import engines. Which platforms
each has stands in `bench.plan.request`, because a plan is refused before anything is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from bench.engines.base import Engine, Granted
from bench.engines.native import Native
from bench.engines.ort_web import OrtWeb
from bench.errors import InputError
from bench.plan import request as words
from bench.plan.request import Request

__all__ = ["ENGINES", "Engine", "Granted", "check_installed", "engine_of"]

ENGINES: Mapping[words.Engine, Engine] = {"native": Native(), "ort-web": OrtWeb()}


def engine_of(request: Request) -> Engine:
    """The engine that a request names."""
    return ENGINES[request.engine]


def check_installed(requests: Iterable[Request]) -> None:
    """Raise InputError, with the command that installs it, where an engine of a request is not here."""
    for name in dict.fromkeys(request.engine for request in requests):
        if not ENGINES[name].installed():
            raise InputError(f"engine {name} is not installed; type: bench engines install {name}")


def check_engine(name: str) -> words.Engine:
    """`name` as an engine; InputError naming what is allowed."""
    if name not in ENGINES:
        raise InputError(f"engine {name}: not allowed; allowed: {', '.join(ENGINES)}")
    return cast(words.Engine, name)
