"""Names that llama-bench gives its tests, which its users know: `pp512`, `tg128`, `tg128 @ d512`.

`ppT` is a prompt of T tokens, `tgN` the N tokens that are written after it, `@ dT` how many stand before
those. A run of ours has both: a prompt of `sequence_length` tokens, then `generate` more at that depth.

Source: llama.cpp, tools/llama-bench.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_FORM = re.compile(
    r"pp\s*(?P<prompt>\d{1,7})|tg\s*(?P<written>\d{1,7})\s*(?:@\s*d\s*(?P<depth>\d{1,7}))?", re.A
)
_PARTS = ("prompt", "written", "depth")
ALLOWED = "pp512, tg128, or 'tg128 @ d512'"


@dataclass(frozen=True)
class Shape:
    """What a test asks for; None where it leaves that open."""

    sequence_length: int | None
    generate: int | None


def read(name: str) -> Shape:
    """A test by its name.

    Raises:
        ValueError: it is none of llama-bench's; the message says what is.
    """
    found = _FORM.fullmatch(name.strip().lower())
    if found is None:
        raise ValueError(f"{name!a} is no test of llama-bench: write {ALLOWED}")
    prompt, written, depth = (None if (text := found[part]) is None else int(text) for part in _PARTS)
    return Shape(depth if prompt is None else prompt, written)


def of_prompt(tokens: int) -> str:
    """The name of a prompt of so many tokens."""
    return f"pp{tokens}"


def of_text(tokens: int, depth: int) -> str:
    """The name of so many tokens that are written after others."""
    return f"tg{tokens} @ d{depth}"


def axes(names: Sequence[str]) -> dict[str, list[Any]]:
    """What a list of tests comes down to in a campaign file: values of `sequence_length` and `generate`.

    Raises:
        ValueError: a name that is none, or tests that no product of lengths and tokens gives.
    """
    shapes = [read(name) for name in names]
    lengths = _once(shape.sequence_length for shape in shapes)
    written = _once(shape.generate for shape in shapes)
    pairs = {shape for shape in shapes if shape.sequence_length is not None and shape.generate is not None}
    if pairs and len(pairs) < len(lengths) * len(written):
        raise ValueError(
            f"{', '.join(names)}: these make no full product of lengths and tokens; give each pair an "
            "[[include]] of its own"
        )
    return {name: values for name, values in (("sequence_length", lengths), ("generate", written)) if values}


def _once(values: Any) -> list[int]:
    return list(dict.fromkeys(value for value in values if value is not None))
