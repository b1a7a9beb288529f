"""A tensor as a file has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stored:
    """A tensor as a file has it: `name` in the file (a wrapper's prefix included), type and shape."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
