"""What will not run here, known before anything is started, and how it is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.browsers import BrowserMissing, locate, parse_browser
from bench.harness.outcome import Outcome
from bench.plan.request import Request
from bench.settings import Settings
from bench.store.status import Refusal


@dataclass(frozen=True)
class Foreseen:
    """A cell's expected end, and how it is known. It is no guess, and the cell runs all the same."""

    outcome: Outcome
    because: str


Asked = tuple[str, str, str | None]


def asked(request: Request) -> Asked:
    """What decides whether a cell can run at all: browser, platform, feature set."""
    return request.browser, request.platform, request.gpu_features


def foresee(
    arms: Iterable[Request], settings: Settings, refusals: Mapping[Asked, Refusal]
) -> dict[Asked, Foreseen]:
    """`asked` of a request -> what its cells will come to, for those that cannot run.

    Args:
        arms: what is asked for.
        settings: where browsers are.
        refusals: what earlier runs on this database found unsupported.

    Raises:
        InputError: a browser that nobody knows.
    """
    found: dict[Asked, Foreseen] = {}
    for what in dict.fromkeys(asked(arm) for arm in arms):
        known, binary = parse_browser(what[0])
        try:
            locate(known, binary, settings)
        except BrowserMissing as missing:
            found[what] = Foreseen(Outcome.UNAVAILABLE, f"{missing} (looked for it just now)")
            continue
        refusal = refusals.get(what)
        if refusal is not None:
            because = f"{refusal.message} (run {refusal.run}, {refusal.at[:10]})"
            found[what] = Foreseen(Outcome.UNSUPPORTED, because)
    return found
