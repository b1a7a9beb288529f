"""Codes and half floats packed into 32-bit words, as the kernels read them.

Little-endian within a word: code k of a row stands in bits `(k % per) * bits` and up of word `k // per`,
where `per = 32 / bits`. Every row starts on a word of its own; its tail is filled with zero codes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

PACKED_BITS = (2, 4, 8)
F16_MAX = 65504.0
_ROW_LEAST = 2.0**-8  # 64 times the least normal float16


def words_per_row(k: int, bits: int) -> int:
    """Words that a row of `k` codes of `bits` bits takes; `bits` is 2, 4, 8 or 16."""
    return -(-k * bits // 32)


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint32]:
    """Pack `codes` uint8 [N, K], each below `2**bits`, into uint32 [N, ceil(K * bits / 32)].

    Raises:
        ValueError: `bits` is not 2, 4 or 8, the array is not two-dimensional, or a code does not fit.
    """
    _check_bits(bits)
    if codes.ndim != 2:
        raise ValueError(f"codes must be [N, K], not {codes.shape}")
    if bits < 8 and codes.size and int(codes.max()) >> bits:
        raise ValueError(f"code {int(codes.max())} does not fit in {bits} bits")
    rows, k = codes.shape
    padded = np.zeros((rows, words_per_row(k, bits) * (32 // bits)), np.uint8)
    padded[:, :k] = codes
    while bits < 8:  # two neighbours become one: 2 -> 4 -> 8 bits
        padded = padded[:, 0::2] | (padded[:, 1::2] << np.uint8(bits))
        bits *= 2
    return np.ascontiguousarray(padded).view("<u4").astype(np.uint32, copy=False)


def unpack(words: NDArray[np.uint32], bits: int, k: int) -> NDArray[np.uint8]:
    """The exact inverse of `pack`: uint32 [N, W] to the first `k` codes of each row, uint8 [N, k].

    Raises:
        ValueError: `bits` is not 2, 4 or 8, or the rows are not as wide as `k` codes need.
    """
    _check_bits(bits)
    if words.ndim != 2 or words.shape[1] != words_per_row(k, bits):
        raise ValueError(f"{k} codes of {bits} bits need {words_per_row(k, bits)} words a row: {words.shape}")
    octets = np.ascontiguousarray(words, dtype="<u4").view(np.uint8)
    codes = np.empty((words.shape[0], words.shape[1] * (32 // bits)), np.uint8)
    per = 8 // bits
    for slot in range(per):
        codes[:, slot::per] = (octets >> (slot * bits)) & ((1 << bits) - 1)
    return np.ascontiguousarray(codes[:, :k])


def to_f16(values: ArrayLike) -> NDArray[np.float16]:
    """Round to float16; what lies beyond its range becomes +-65504, never infinity.

    Raises:
        ValueError: a value is not finite.
    """
    array = np.asarray(values, np.float32)
    if not np.isfinite(array).all():
        raise ValueError("a weight is not finite")
    return np.clip(array, -F16_MAX, F16_MAX).astype(np.float16)


def pack_f16(values: ArrayLike) -> NDArray[np.uint32]:
    """Round float [N, K] to float16 and pack two a word: uint32 [N, ceil(K / 2)], the even k in the low half.

    Raises:
        ValueError: a value is not finite, or the array is not two-dimensional.
    """
    half = to_f16(values)
    if half.ndim != 2:
        raise ValueError(f"values must be [N, K], not {half.shape}")
    padded = np.zeros((half.shape[0], words_per_row(half.shape[1], 16) * 2), np.dtype("<f2"))
    padded[:, : half.shape[1]] = half
    return padded.view("<u4").astype(np.uint32, copy=False)


def f16_exponent(values: NDArray[np.float32]) -> int:
    """The exponent e with which the rows of a matrix / 2**e keep float16's digits; mostly 0.

    A row's largest magnitude then is far enough above the subnormals that what falls there does not count.
    """
    return best_exponent(np.abs(values).max(axis=1), _ROW_LEAST, F16_MAX)


def best_exponent(largest: NDArray[np.float32], least: float, most: float) -> int:
    """The e nearest to 0 with least <= magnitude / 2**e <= most for all magnitudes but 0.

    Where there is none, the one that serves the largest; where one is not finite, 0.
    """
    some = largest[largest > 0]
    if not some.size or not np.isfinite(some).all():
        return 0
    low, high = float(some.min()), float(some.max())
    at_least = math.ceil(math.log2(high / most))  # less would be infinite
    at_most = math.floor(math.log2(low / least))  # more would be subnormal
    # What is left of both ends of float32 keeps the factor itself a normal float32.
    return max(-120, min(120, max(at_least, min(at_most, 0))))


def unpack_f16(words: NDArray[np.uint32], k: int) -> NDArray[np.float16]:
    """The exact inverse of `pack_f16`: uint32 [N, W] to float16 [N, k]."""
    if words.ndim != 2 or words.shape[1] != words_per_row(k, 16):
        raise ValueError(f"{k} half floats need {words_per_row(k, 16)} words a row: {words.shape}")
    half = np.ascontiguousarray(words, dtype="<u4").view("<f2")
    return np.ascontiguousarray(half[:, :k]).astype(np.float16, copy=False)


def _check_bits(bits: int) -> None:
    if bits not in PACKED_BITS:
        raise ValueError(f"bits must be one of {PACKED_BITS}, not {bits}")
