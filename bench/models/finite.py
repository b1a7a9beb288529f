"""Which tensors of a file hold an infinity or a NaN, by their bits alone: no float is made of any."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A float is infinite or none where all bits of its exponent are set.
EXPONENTS: dict[str, tuple[np.dtype[np.unsignedinteger[Any]], int]] = {
    "BF16": (np.dtype("<u2"), 0x7F80),
    "F16": (np.dtype("<u2"), 0x7C00),
    "F32": (np.dtype("<u4"), 0x7F800000),
    "F64": (np.dtype("<u8"), 0x7FF0000000000000),
}
_AT_ONCE = 1 << 22  # bytes: what is compared stays in a core's cache


def not_finite(tensors: Iterable[tuple[str, str, NDArray[np.uint8]]]) -> list[str]:
    """The names of tensors that are not finite, sorted.

    Args:
        tensors: name, type (of `EXPONENTS`) and the bytes as they lie in the file.
    """
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda one: (one[0], _is_finite(one[1], one[2])), tensors))
    return sorted(name for name, fine in found if not fine)


def _is_finite(kind: str, data: NDArray[np.uint8]) -> bool:
    words, exponent = EXPONENTS[kind]
    mask = words.type(exponent)
    parts = (data[at : at + _AT_ONCE] for at in range(0, data.size, _AT_ONCE))
    return not any(((part.view(words) & mask) == mask).any() for part in parts)
