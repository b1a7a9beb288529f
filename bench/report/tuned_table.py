"""What tuning found, as a table: the usual form's time of each kernel, and that of the form which is kept."""

from __future__ import annotations

from collections.abc import Sequence

from bench.plan.tuned import TunedKernel

HEADINGS = ("kernel", "usual µs", "kept µs", "gain", "constants", "tried", "adapter", "browser", "features")
SPARE = ("features", "browser", "adapter", "tried")
RIGHT = ("usual µs", "kept µs", "gain", "tried")


def rows(found: Sequence[TunedKernel]) -> list[list[str]]:
    """A line a kernel, the largest gain first."""
    return [
        [
            one.key,
            f"{one.default_ms * 1000:.1f}",
            f"{one.tuned_ms * 1000:.1f}",
            f"{one.gain:.2f}x" if one.constants else "-",
            _constants(one),
            _tried(one),
            one.adapter,
            f"{one.browser} {one.browser_version}",
            one.features,
        ]
        for one in sorted(found, key=lambda one: (-one.gain if one.constants else 0.0, one.key))
    ]


def _constants(one: TunedKernel) -> str:
    if one.untried:
        return "the usual ones, nothing else was tried"
    return ", ".join(f"{name} {value}" for name, value in one.constants.items()) or "the usual ones"


def _tried(one: TunedKernel) -> str:
    """`16`, or `16 (2 refused, 1 wrong)`."""
    off = [f"{count} {word}" for count, word in ((one.refused, "refused"), (one.wrong, "wrong")) if count]
    return f"{one.tried} ({', '.join(off)})" if off else str(one.tried)
