"""Codes and half floats packed into 32-bit words, as the kernels read them.

Little-endian within a word: code k of a row stands in bits `(k % per) * bits` and up of word `k // per`,
where `per = 32 / bits`. Every row starts on a word of its own; its tail is filled with zero codes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

PACKED_BITS = (2, 4, 8)
F16_MAX = 65504.0


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


def unpack_f16(words: NDArray[np.uint32], k: int) -> NDArray[np.float16]:
    """The exact inverse of `pack_f16`: uint32 [N, W] to float16 [N, k]."""
    if words.ndim != 2 or words.shape[1] != words_per_row(k, 16):
        raise ValueError(f"{k} half floats need {words_per_row(k, 16)} words a row: {words.shape}")
    half = np.ascontiguousarray(words, dtype="<u4").view("<f2")
    return np.ascontiguousarray(half[:, :k]).astype(np.float16, copy=False)


def _check_bits(bits: int) -> None:
    if bits not in PACKED_BITS:
        raise ValueError(f"bits must be one of {PACKED_BITS}, not {bits}")
