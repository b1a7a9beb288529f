"""How one matrix is stored: the tensors of a format, and the float32 values that kernels see in them.

A format's kind of zero point decides. Each kind is a `Storage`; a new one is a line of `STORAGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.quantize.methods import Quantized, dequantize, quantize
from bench.quantize.packing import f16_exponent, pack, pack_f16, unpack, unpack_f16
from bench.quantize.recipe import LEAST_SQUARES, Format, Zero

F32 = NDArray[np.float32]
Shape = tuple[int, ...]
Parts = Mapping[str, NDArray[Any]]  # `codes`, `scales`, `zeros`: what a matrix is stored as
METHODS = {LEAST_SQUARES: quantize}
_CHUNK = 1 << 17  # values that are unpacked at a time


@dataclass(frozen=True)
class Storage:
    """One kind of format.

    Attributes:
        store: float32 [N, K], format and method -> parts, each of N rows, and the exponent of the power of
            two that all values are multiplied with. ValueError where a weight is not finite.
        restore: parts, format, K and exponent -> float32 [N, K].
    """

    store: Callable[[F32, Format, str], tuple[Parts, int]]
    restore: Callable[[Parts, Format, int, int], F32]


def store(values: F32, how: Format, method: str) -> tuple[Parts, int]:
    """See `Storage.store`."""
    return STORAGES[how.zero].store(values, how, method)


def restore(parts: Parts, how: Format, k: int, exponent: int) -> F32:
    """See `Storage.restore`."""
    return STORAGES[how.zero].restore(parts, how, k, exponent)


def layout(rows: int, k: int, how: Format, method: str) -> dict[str, tuple[np.dtype[Any], Shape]]:
    """Part -> type and shape, before a matrix [rows, k] is there: a part has a row for each of the matrix."""
    parts, _ = store(np.zeros((1, k), np.float32), how, method)
    return {name: (part.dtype, (rows, *part.shape[1:])) for name, part in parts.items()}


def _store_halves(values: F32, how: Format, method: str) -> tuple[Parts, int]:
    exponent = f16_exponent(values)
    return {"codes": pack_f16(np.ldexp(values, -exponent) if exponent else values)}, exponent


def _restore_halves(parts: Parts, how: Format, k: int, exponent: int) -> F32:
    values = unpack_f16(parts["codes"], k).astype(np.float32)
    return np.ldexp(values, exponent) if exponent else values


def _store_groups(values: F32, how: Format, method: str) -> tuple[Parts, int]:
    assert how.group_size is not None and how.scheme is not None, "only half floats have no groups"
    q = METHODS[method](values, how.bits, how.group_size, how.scheme)
    parts: dict[str, NDArray[Any]] = {"codes": pack(q.codes, q.bits), "scales": q.scales}
    if q.zeros is not None:
        parts["zeros"] = pack(q.zeros, q.bits)
    return parts, q.exponent


def _restore_groups(parts: Parts, how: Format, k: int, exponent: int) -> F32:
    assert how.group_size is not None, "only half floats have no groups"
    rows, groups = parts["scales"].shape
    values = np.empty((rows, k), np.float32)
    step = max(1, _CHUNK // max(k, 1))
    # What is made on the way stays in a core's cache, and is no new memory each time.
    for start in range(0, rows, step):
        of = {name: part[start : start + step] for name, part in parts.items()}
        zeros = unpack(of["zeros"], how.bits, groups) if "zeros" in of else None
        codes = unpack(of["codes"], how.bits, groups * how.group_size)
        packed = Quantized(codes, of["scales"], zeros, how.bits, how.group_size, k, exponent)
        values[start : start + step] = dequantize(packed)
    return values


_GROUPS = Storage(_store_groups, _restore_groups)
STORAGES: Mapping[Zero | None, Storage] = {
    None: Storage(_store_halves, _restore_halves),
    "middle": _GROUPS,
    "integer": _GROUPS,
}
