"""The angles of rotary position embeddings (Su et al. 2021, arXiv 2104.09864), scaled as configs ask for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError

MAX_ROWS = 8192  # of a table: more positions than any prompt and its tokens take here
_LINEAR, _LLAMA3 = "linear", "llama3"
_NEEDED = {
    _LINEAR: ("factor",),
    _LLAMA3: ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


@dataclass(frozen=True)
class Rope:
    """How positions become angles.

    Attributes:
        theta: base of the frequencies.
        kind: `default`, `linear` or `llama3`.
        numbers: what the scaling needs, by the config's keys.
    """

    theta: float
    kind: str = "default"
    numbers: tuple[tuple[str, float], ...] = ()

    def frequencies(self, head: int) -> NDArray[np.float64]:
        """Radians a position, float64 [head / 2]."""
        plain = self.theta ** -(np.arange(0, head, 2, dtype=np.float64) / head)
        told = dict(self.numbers)
        if self.kind == _LINEAR:
            return plain / told["factor"]
        if self.kind == _LLAMA3:
            return _llama3(plain, told)
        return plain

    def table(self, positions: int, head: int) -> NDArray[np.float32]:
        """Cosines, then sines of each position's angles: float32 [positions, head]."""
        angles = np.arange(positions, dtype=np.float64)[:, None] * self.frequencies(head)
        return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def _llama3(plain: NDArray[np.float64], told: Mapping[str, float]) -> NDArray[np.float64]:
    """Long waves are stretched, short ones stay, those between go over smoothly (Llama 3.1's rope)."""
    waves = 2 * math.pi / plain
    low, high = told["low_freq_factor"], told["high_freq_factor"]
    window = told["original_max_position_embeddings"]
    share = np.clip((window / waves - low) / (high - low), 0, 1)
    scaled: NDArray[np.float64] = (1 - share) * plain / told["factor"] + share * plain
    return scaled


def read_rope(config: Mapping[str, Any], file: str) -> Rope:
    """The rope of a config, whichever of the library's two forms says it.

    Raises:
        InputError: one line naming `file`, for a scaling that is not computed here.
    """
    told = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(told, Mapping):
        raise InputError(f"{file}: rope_scaling {told!r} is not an object")
    theta = told.get("rope_theta") or config.get("rope_theta") or 10_000.0
    if isinstance(theta, bool) or not isinstance(theta, (int, float)) or not theta > 1:
        raise InputError(f"{file}: rope_theta {theta!r} is not a number above 1")
    kind = str(told.get("rope_type") or told.get("type") or "default")
    if kind == "default":
        return Rope(float(theta))
    if kind not in _NEEDED:
        raise InputError(
            f"{file}: rope_scaling {kind!r} is not supported; allowed: default, {', '.join(_NEEDED)}"
        )
    numbers = []
    for key in _NEEDED[kind]:
        value = told.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise InputError(f"{file}: rope_scaling: {key} {value!r} is not a number above 0")
        numbers.append((key, float(value)))
    if kind == _LLAMA3 and not dict(numbers)["low_freq_factor"] < dict(numbers)["high_freq_factor"]:
        raise InputError(f"{file}: rope_scaling: low_freq_factor must be below high_freq_factor")
    return Rope(float(theta), kind, tuple(numbers))
