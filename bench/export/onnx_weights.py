"""Packed weights of a bundle as ONNX initializers.

The codes are the bundle's own bytes: `MatMulNBits` reads groups along K, low bits first, with the zero point
`2**(bits - 1)` where none is given, which is how `bench.quantize.packing` writes them. Its scales have the
type of the activations, so they are float32 beside float32; a matrix's exponent is multiplied into them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from bench.errors import InputError
from bench.quantize.methods import Quantized, dequantize
from bench.quantize.packing import pack, unpack, unpack_f16

Activations = Literal["f32", "f16"]
Table = Mapping[str, Mapping[str, Any]]
Tensors = Mapping[str, NDArray[Any]]

CARRIER_BITS = 4  # what 2-bit tables are gathered as; no kernel of the processor gathers 2 bits


class NotInOnnx(InputError):
    """ONNX, or onnxruntime's operators beside it, have no form for this."""


class Initializers:
    """The initializers of one model, each made when it is first asked for.

    Args:
        table: quantization of each matrix, as a bundle's `program.json` has it.
        tensors: of `weights.safetensors`, by name; looked up when needed.
        activations: `f32` or `f16`.

    Attributes:
        protos: initializer name -> tensor, in the order of first use.
    """

    def __init__(self, table: Table, tensors: Tensors, activations: Activations) -> None:
        self.table = table
        self.tensors = tensors
        self.scalar: type[np.float32 | np.float16] = np.float32 if activations == "f32" else np.float16
        self.protos: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """An initializer of these values under that name, once; the name."""
        if name not in self.protos:
            stored = np.ascontiguousarray(values).reshape(values.shape)  # which makes a scalar a vector
            stored = stored.astype(stored.dtype.newbyteorder("<"), copy=False)
            self.protos[name] = numpy_helper.from_array(stored, name)
        return name

    def number(self, name: str, value: float) -> str:
        """A scalar of the activations' type."""
        return self.constant(name, np.array(value, self.scalar))

    def vector(self, name: str) -> str:
        """A bias, gamma or beta, in the activations' type."""
        return self.constant(name, np.asarray(self.tensors[name]).astype(self.scalar))

    def wide_vector(self, name: str) -> str:
        """A bias as float32."""
        return self.constant(f"{name}.f32" if self.scalar is np.float16 else name, self._f32(name))

    def _f32(self, name: str) -> NDArray[np.float32]:
        return np.asarray(self.tensors[name]).astype(np.float32)

    def bits(self, name: str) -> int:
        """Bits of a matrix. NotInOnnx where ONNX cannot say its format."""
        how = self.table[name]
        if how["scheme"] not in (None, "symmetric", "asymmetric"):
            raise NotInOnnx(f"{name}: ONNX has no form for weights that are {how['scheme']}")
        return int(how["bits"])

    def packed(self, name: str) -> tuple[list[str], dict[str, int]]:
        """Inputs B, scales, zero points ("" for none) and attributes of a `MatMulNBits`.

        Raises:
            NotInOnnx: a scale leaves float16 when the exponent is multiplied in.
        """
        how = self.table[name]
        bits, group = int(how["bits"]), int(how["group_size"])
        words = self.tensors[f"{name}.codes"]
        rows, groups = self.tensors[f"{name}.scales"].shape
        octets = _octets(words).reshape(rows, groups, group * bits // 8)
        zeros = ""
        if how["scheme"] == "asymmetric":
            packed = _octets(self.tensors[f"{name}.zeros"])[:, : -(-groups * bits // 8)]
            zeros = self.constant(f"{name}.zeros", packed)
        inputs = [self.constant(f"{name}.codes", octets), self._scales(name), zeros]
        return inputs, {"K": int(how["k"]), "N": rows, "bits": bits, "block_size": group}

    def gathered(self, name: str) -> tuple[list[str], dict[str, int]] | None:
        """Data, scales, zero points ("" for none) and attributes of a `GatherBlockQuantized`.

        None where it cannot read the table: a row that does not end on a byte, or an odd count of 4-bit zero
        points a row, which the kernels for the processor and for WebGPU read each in its own way.
        """
        how = self.table[name]
        bits, group, k = int(how["bits"]), int(how["group_size"]), int(how["k"])
        stored = max(bits, CARRIER_BITS)
        groups = self.tensors[f"{name}.scales"].shape[1]
        asymmetric = how["scheme"] == "asymmetric"
        if k * stored % 8 or (asymmetric and groups * stored % 8):
            return None
        codes = unpack(self.tensors[f"{name}.codes"], bits, int(how["kp"]))[:, :k]
        zeros = ""
        if asymmetric:
            values = unpack(self.tensors[f"{name}.zeros"], bits, groups)
            zeros = self.constant(
                f"{name}.table_zeros", _octets(pack(values, stored))[:, : groups * stored // 8]
            )
        elif stored > bits:
            codes = codes + np.uint8(
                (1 << (stored - 1)) - (1 << (bits - 1))
            )  # around the carrier's zero point
        data = _octets(pack(codes, stored))[:, : k * stored // 8]
        inputs = [self.constant(f"{name}.table", data), self._scales(name), zeros]
        return inputs, {"bits": stored, "block_size": group, "gather_axis": 0, "quantize_axis": 1}

    def halves(self, name: str, *, transposed: bool = False, exact: bool = False) -> tuple[str, int]:
        """A 16-bit matrix as float16, [N, K] or [K, N], and the exponent that is still to be multiplied in.

        Raises:
            NotInOnnx: `exact` leaves nothing to be multiplied in, and the product is no float16.
        """
        how = self.table[name]
        values = unpack_f16(self.tensors[f"{name}.codes"], int(how["k"]))
        exponent = int(how.get("exponent", 0))
        suffix = ".transposed" if transposed else ".halves"
        if exponent and exact:
            values, exponent, suffix = _scaled(name, values, exponent), 0, ".values"
        return self.constant(name + suffix, values.T if transposed else values), exponent

    def values(self, name: str) -> NDArray[np.float32]:
        """A matrix as float32 [N, K], exactly as the kernels see it."""
        how = self.table[name]
        words, bits, exponent = self.tensors[f"{name}.codes"], self.bits(name), int(how.get("exponent", 0))
        if bits == 16:
            return np.ldexp(unpack_f16(words, int(how["k"])).astype(np.float32), exponent)
        scales = self.tensors[f"{name}.scales"]
        zeros = None
        if how["scheme"] == "asymmetric":
            zeros = unpack(self.tensors[f"{name}.zeros"], bits, scales.shape[1])
        codes = unpack(words, bits, int(how["kp"]))
        return dequantize(Quantized(codes, scales, zeros, bits, how["group_size"], int(how["k"]), exponent))

    def dequantized(self, name: str, shape: tuple[int, ...] | None = None, *, wide: bool = False) -> str:
        """A matrix in the activations' type, or `wide` as float32, unpacked.

        Raises:
            NotInOnnx: a value leaves float16.
        """
        values = self.values(name)
        scalar = np.float32 if wide else self.scalar
        if scalar is np.float16 and float(np.abs(values).max()) > np.finfo(np.float16).max:
            raise NotInOnnx(f"tensor {name}: a value leaves float16; float32 activations can hold it")
        return self.constant(f"{name}.values", values.astype(scalar).reshape(shape or values.shape))

    def _scales(self, name: str) -> str:
        scales, exponent = self.tensors[f"{name}.scales"], int(self.table[name].get("exponent", 0))
        if self.scalar is np.float16:
            return self.constant(f"{name}.scales", _scaled(name, scales, exponent))
        return self.constant(f"{name}.scales", np.ldexp(scales.astype(np.float32), exponent))


def _scaled(name: str, values: NDArray[np.float16], exponent: int) -> NDArray[np.float16]:
    """Float16 values times 2**exponent, exactly; NotInOnnx where the product is no float16."""
    wide = np.ldexp(values.astype(np.float32), exponent)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float16)
    if not np.array_equal(narrow.astype(np.float32), wide):
        raise NotInOnnx(
            f"tensor {name}: its values times 2**{exponent} leave float16; float32 activations can hold them"
        )
    return narrow


def _octets(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Words [N, W] as their bytes [N, 4 W], the lowest first."""
    return np.ascontiguousarray(words, dtype="<u4").view(np.uint8)
