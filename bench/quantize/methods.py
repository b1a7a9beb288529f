"""Group-wise quantization along K: which codes, which scales.

    value = (code - zero) * float32(scale) * 2**exponent,   0 <= code < 2**bits

Symmetric: `zero` is `2**(bits - 1)` and not stored. Asymmetric: an integer zero point a group. Scales are
float16 and rounded before the codes are chosen, so the codes make good what the rounding lost. The exponent
is one for the whole matrix and mostly 0: it brings the scales of tiny or enormous weights into what float16
holds with all its digits.

At 4 and 2 bits the scale is searched: of a handful of candidates around amax the one with the least squared
error is kept and refined by alternating least squares (codes for a scale, the best scale for those codes; the
`make_qx` and `make_qkx` routines of ggml do the same). 8 bits need no search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from bench.plan.request import GROUP_SIZES, SCHEMES, Scheme
from bench.quantize.packing import F16_MAX, PACKED_BITS, best_exponent

F32 = NDArray[np.float32]

# The least normal float16. A smaller scale would be subnormal, and WGSL and GPUs may flush those to zero.
SCALE_MIN = 2.0**-14
_CHUNK = 1 << 16  # elements worked on at a time: a few such arrays stay in a core's cache

# Candidate scales are range / divisor. The first is plain rounding; larger ones clip the extremes. Divisors
# are dense enough (steps below 1) that quantizing an already quantized group finds its scale again.
_SYMMETRIC = {
    8: (127.0,),
    4: (7.0, 4.0, 5.0, 6.0, 6.5, 7.5, 8.0, 8.5, 9.0, 10.0),
    2: (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5),
}
_ASYMMETRIC = {
    8: (255.0, 254.0, 253.0),
    4: (15.0, 13.0, 14.0, 16.0, 17.0, 18.0, 19.5, 21.0),
    2: (3.0, 1.0, 2.0, 2.5, 3.5, 4.0, 4.5, 5.0, 6.0),
}
# Tried for matrices that were quantized before: taken only where the error all but vanishes.
_ASYMMETRIC_AGAIN = {8: (252.0, 251.0), 4: (12.0, 11.0), 2: ()}
_REFINEMENTS = {8: 0, 4: 2, 2: 3}


@dataclass(frozen=True)
class Quantized:
    """A quantized matrix [N, K]; `Kp` is K rounded up to whole groups, `G = Kp / group_size`.

    Attributes:
        codes: uint8 [N, Kp]; the padding beyond K has the code of the value 0.
        scales: float16 [N, G], positive and normal.
        zeros: uint8 [N, G], or None for the fixed zero point `2**(bits - 1)`.
        bits: 2, 4 or 8.
        group_size: weights that share a scale.
        k: columns of the matrix.
        exponent: of the power of two that all values are multiplied with.
    """

    codes: NDArray[np.uint8]
    scales: NDArray[np.float16]
    zeros: NDArray[np.uint8] | None
    bits: int
    group_size: int
    k: int
    exponent: int = 0

    @property
    def scheme(self) -> Scheme:
        """`symmetric` or `asymmetric`."""
        return "symmetric" if self.zeros is None else "asymmetric"


def quantize(w: F32, bits: int, group_size: int, scheme: Scheme) -> Quantized:
    """Quantize `w` float32 [N, K].

    Groups whose scale would lie 2**29 times or more below the largest of the matrix may become zero, with
    scale 1.

    Raises:
        ValueError: an unknown bits, group size or scheme, not a matrix, or a weight that is not finite.
    """
    if (
        bits not in PACKED_BITS
        or group_size % GROUP_SIZES[0]
        or group_size < 1
        or scheme not in get_args(Scheme)
    ):
        raise ValueError(
            f"{bits} bits, groups of {group_size}, {scheme!r}: "
            f"allowed are {PACKED_BITS}, multiples of {GROUP_SIZES[0]}, {SCHEMES}"
        )
    if w.ndim != 2 or 0 in w.shape:
        raise ValueError(f"a matrix [N, K] is needed, not {w.shape}")
    rows, k = w.shape
    exponent = group_exponent(w, bits, group_size, scheme)
    groups = -(-k // group_size)
    codes = np.empty((rows, groups * group_size), np.uint8)
    scales = np.empty((rows, groups), np.float16)
    zeros = None if scheme == "symmetric" else np.empty((rows, groups), np.uint8)
    step = max(1, _CHUNK // codes.shape[1])
    for start in range(0, rows, step):
        part = slice(start, min(rows, start + step))
        count = part.stop - start
        padded = np.zeros((count, groups * group_size), np.float32)
        padded[:, :k] = np.ldexp(w[part], -exponent) if exponent else w[part]
        found = _Search(padded.reshape(-1, group_size), bits).run(scheme)
        codes[part] = found[0].reshape(count, -1)
        scales[part] = found[1].reshape(count, groups)
        if zeros is not None:
            zeros[part] = found[2].reshape(count, groups)
    return Quantized(codes, scales, zeros, bits, group_size, k, exponent)


def group_exponent(w: F32, bits: int, group_size: int, scheme: Scheme) -> int:
    """The exponent nearest to 0 with which every group's scale is a normal, finite float16.

    Where the groups of a matrix lie too far apart for any, the largest is served.
    """
    rows, k = w.shape
    step = max(1, _CHUNK // k)
    largest = np.concatenate([_largest(w[at : at + step], group_size) for at in range(0, rows, step)])
    divisors = (_SYMMETRIC if scheme == "symmetric" else _ASYMMETRIC)[bits]
    # A range from -amax to amax is twice as wide as amax: no scale is larger, at any divisor.
    return best_exponent(largest, SCALE_MIN * max(divisors), F16_MAX / 2)


def _largest(w: F32, group_size: int) -> F32:
    """The largest magnitude of each group, float32 [N * G]."""
    padded = np.zeros((w.shape[0], -(-w.shape[1] // group_size) * group_size), np.float32)
    np.abs(w, out=padded[:, : w.shape[1]])
    largest: F32 = padded.reshape(-1, group_size).max(axis=1)
    return largest


def dequantize(q: Quantized) -> F32:
    """The values that the kernels use, float32 [N, K], exact: `(code - zero) * scale * 2**exponent`."""
    rows, groups = q.scales.shape
    values = q.codes.reshape(rows, groups, q.group_size).astype(np.float32)
    if q.zeros is None:
        values -= np.float32(1 << (q.bits - 1))
    else:
        values -= q.zeros[:, :, None].astype(np.float32)
    values *= q.scales[:, :, None].astype(np.float32)
    if q.exponent:
        values = np.ldexp(values, q.exponent)
    return np.ascontiguousarray(values.reshape(rows, -1)[:, : q.k])


class _Search:
    """The best scale (and zero point) found so far for each of n groups, stored column-wise [group_size, n].

    Column-wise because reductions over a group then run along the slow axis, which NumPy vectorises.
    """

    def __init__(self, groups: F32, bits: int) -> None:
        self.w = np.ascontiguousarray(groups.T)
        self.bits = bits
        self.levels = float((1 << bits) - 1)
        self.low = self.w.min(axis=0)
        self.high = self.w.max(axis=0)
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all()):
            raise ValueError("a weight is not finite")
        count = self.w.shape[1]
        self.scale = np.ones(count, np.float32)
        self.zero = np.full(count, float(1 << (bits - 1)), np.float32)
        self.error = np.full(count, np.inf, np.float32)
        self._t = np.empty_like(self.w)

    def run(self, scheme: Scheme) -> tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.uint8]]:
        """Codes [n, group_size], scales [n], zeros [n]."""
        amax = np.maximum(self.high, -self.low)
        with np.errstate(
            over="ignore", under="ignore"
        ):  # squares of weights near the ends of float32's range
            self._symmetric(amax, _SYMMETRIC[self.bits])
            self._refine("symmetric")
            if scheme == "asymmetric":  # from the symmetric optimum, so a zero point never makes it worse
                self._asymmetric(_ASYMMETRIC[self.bits])
                self._asymmetric(_ASYMMETRIC_AGAIN[self.bits], margin=64.0)
                self._refine("asymmetric")
        nothing = amax < SCALE_MIN / 2
        self.scale[nothing] = 1.0
        self.zero[nothing] = float(1 << (self.bits - 1))
        signed = self._signed(self.scale, self.zero)
        signed += self.zero
        codes = np.ascontiguousarray(signed.T).astype(np.uint8)
        return codes, self.scale.astype(np.float16), self.zero.astype(np.uint8)

    def _symmetric(self, amax: F32, divisors: Sequence[float]) -> None:
        zero = self.zero.copy()
        for divisor in divisors:
            self._try(_to_scale(amax / np.float32(divisor)), zero)

    def _asymmetric(self, divisors: Sequence[float], margin: float = 1.0) -> None:
        low = np.minimum(self.low, 0)
        # Halved before the difference: it must not overflow.
        half = np.maximum(self.high, 0) / 2 - low / 2
        for divisor in divisors:
            scale = _to_scale(half / np.float32(divisor / 2))
            # Where the extremes are clipped, both ends give way alike.
            shrink = np.float32(min(1.0, self.levels / divisor))
            self._try(scale, np.clip(np.rint(-low * shrink / scale), 0, self.levels), margin)

    def _refine(self, scheme: Scheme) -> None:
        for _ in range(_REFINEMENTS[self.bits]):
            self._refine_once(scheme)

    def _refine_once(self, scheme: Scheme) -> None:
        signed = self._signed(self.scale, self.zero).copy()
        cross = np.einsum("ij,ij->j", self.w, signed)
        power = np.einsum("ij,ij->j", signed, signed)
        good = (power > 0) & (cross > 0) & np.isfinite(cross)
        scale = np.divide(cross, power, out=self.scale.copy(), where=good)
        self._try(_to_scale(scale), self.zero.copy())
        if scheme == "asymmetric":
            signed = self._signed(self.scale, self.zero)
            shift = signed.mean(axis=0) - self.w.mean(axis=0) / self.scale
            self._try(self.scale.copy(), np.clip(self.zero + np.rint(shift), 0, self.levels))

    def _signed(self, scale: F32, zero: F32) -> F32:
        """`code - zero` [group_size, n] for that scale; a buffer that the next call overwrites."""
        t = self._t
        np.multiply(self.w, 1 / scale, out=t)
        np.rint(t, out=t)
        np.maximum(t, -zero, out=t)
        np.minimum(t, np.float32(self.levels) - zero, out=t)
        return t

    def _try(self, scale: F32, zero: F32, margin: float = 1.0) -> None:
        """Keep this scale and zero point for the groups whose squared error they lower `margin` times."""
        t = self._signed(scale, zero)
        t *= scale
        t -= self.w
        error = np.einsum("ij,ij->j", t, t)
        better = error * np.float32(margin) < self.error
        # The first candidate counts even where the error of enormous weights is infinite.
        better |= ~np.isfinite(self.error) & ~np.isfinite(error)
        self.error = np.where(better, error, self.error)
        self.scale = np.where(better, scale, self.scale)
        self.zero = np.where(better, zero, self.zero)


def _to_scale(scale: F32) -> F32:
    """Rounded to float16, positive, normal and finite; as float32."""
    return np.clip(scale, SCALE_MIN, F16_MAX).astype(np.float16).astype(np.float32)
