"""One operator in several copies as an ONNX model, in the form that is onnxruntime's fastest for it.

Weights lie beside the model in one file, of which every copy reads the same bytes into a tensor of its own.
As in `bench.export.onnx_graph`, a product of halves is summed in float32 unless more rounding is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bench.export.onnx_graph import IR_VERSION, MICROSOFT, OPSET
from bench.export.onnx_weights import Activations, Initializers, Table, Tensors
from bench.models.operators import EPSILON, Operator

WEIGHTS = "weights.bin"  # the name by which the model knows the file beside it
_INSIDE = 1024  # bytes; a smaller tensor stands in the model
_ALIGNED = 64


@dataclass(frozen=True)
class Written:
    """A model and the file beside it.

    Attributes:
        model: bytes of the .onnx file.
        weights: bytes of the file that it names `WEIGHTS`.
        channels_first: whether the first input [T, C] and the output are read as [1, C, T].
    """

    model: bytes
    weights: bytes
    channels_first: bool


def write(
    operator: Operator,
    copies: int,
    table: Table,
    tensors: Tensors,
    activations: Activations,
    accuracy_level: int = 0,
) -> Written:
    """The model of `Operator.program`, with its names: `y.0`, `x.0`, `past_key.0`, and so on.

    Args:
        operator: which, at which shape.
        copies: of it, side by side.
        table: how the matrix `W` is stored, as in a bundle's `program.json`.
        tensors: its parts by name; `gamma` and `beta` of a norm.
        activations: type of inputs and outputs.
        accuracy_level: 4 lets products round more: those of packed matrices round their activations to 8 bits
            (`MatMulNBits`), those of 16-bit ones sum in float16 where activations are that.

    Raises:
        NotInOnnx: a value or a scale leaves float16.
    """
    return _Model(operator, copies, Initializers(table, tensors, activations), accuracy_level).written()


class _Model:
    def __init__(self, operator: Operator, copies: int, weights: Initializers, accuracy_level: int) -> None:
        self.operator = operator
        self.copies = copies
        self.weights = weights
        self.accuracy_level = accuracy_level
        self.float = TensorProto.FLOAT16 if weights.scalar is np.float16 else TensorProto.FLOAT
        self.matrix: str | None = None
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def written(self) -> Written:
        operator = self.operator
        for copy in range(self.copies):
            getattr(self, f"_{operator.kind.replace('-', '_')}")(copy)
        outside, beside = self._outside()
        graph = helper.make_graph(self.nodes, operator.name, self.inputs, self.outputs, outside)
        sets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(
            graph, opset_imports=sets, ir_version=IR_VERSION, producer_name="webquant-bench"
        )
        made: bytes = model.SerializeToString(deterministic=True)
        return Written(made, beside, operator.kind == "convolution")

    def _outside(self) -> tuple[list[onnx.TensorProto], bytes]:
        """The initializers, a copy each; the bytes of the large ones once, in one file."""
        file = bytearray()
        found: list[onnx.TensorProto] = []
        for name, proto in self.weights.protos.items():
            place = (len(file), len(proto.raw_data))
            large = len(proto.raw_data) > _INSIDE
            if large:
                file += proto.raw_data + bytes(-len(proto.raw_data) % _ALIGNED)
            for copy in range(self.copies):
                one = onnx.TensorProto()
                one.name, one.data_type = f"{name}.{copy}", proto.data_type
                one.dims.extend(proto.dims)
                if large:
                    one.data_location = TensorProto.EXTERNAL
                    for key, value in zip(("location", "offset", "length"), (WEIGHTS, *place), strict=True):
                        one.external_data.add(key=key, value=str(value))
                else:
                    one.raw_data = proto.raw_data
                found.append(one)
        return found, bytes(file)

    def _emit(
        self,
        op: str,
        copy: int,
        inputs: Mapping[str, bool],
        attrs: Mapping[str, Any],
        outputs: tuple[str, ...] = ("y",),
    ) -> None:
        """A node of one copy. `inputs` are names without the copy's number; False for one that is absent."""
        names = [f"{name}.{copy}" if there else "" for name, there in inputs.items()]
        while names and not names[-1]:
            names.pop()
        domain = "" if op in ("MatMul", "Conv", "Gather", "Cast") else MICROSOFT
        results = [f"{name}.{copy}" for name in outputs]
        self.nodes.append(helper.make_node(op, names, results, f"{op}.{results[0]}", domain=domain, **attrs))

    def _declare(self, copy: int, inputs: Mapping[str, tuple[int, ...]], output: tuple[int, ...]) -> None:
        for name, shape in inputs.items():
            kind = TensorProto.INT32 if name == "ids" else self.float
            self.inputs.append(helper.make_tensor_value_info(f"{name}.{copy}", kind, shape))
        self.outputs.append(helper.make_tensor_value_info(f"y.{copy}", self.float, output))

    def _matmul(self, copy: int) -> None:
        m, n, k = self.operator.sizes
        self._declare(copy, {"x": (m, k)}, (m, n))
        if self.weights.bits("W") == 16:
            self._halves(copy, n, k)
            return
        (codes, scales, zeros), attrs = self.weights.packed("W")
        inputs = {"x": True, codes: True, scales: True, zeros: bool(zeros)}
        self._emit("MatMulNBits", copy, inputs, {**attrs, "accuracy_level": self.accuracy_level})

    def _halves(self, copy: int, n: int, k: int) -> None:
        """The product with a 16-bit matrix."""
        wide = self.float == TensorProto.FLOAT16 and not self.accuracy_level
        matrix = self._values((n, k), transposed=True, wide=wide)
        if not wide:
            self._emit("MatMul", copy, {"x": True, matrix: True}, {})
            return
        self._emit("Cast", copy, {"x": True}, {"to": TensorProto.FLOAT}, ("x_wide",))
        self._emit("MatMul", copy, {"x_wide": True, matrix: True}, {}, ("y_wide",))
        self._emit("Cast", copy, {"y_wide": True}, {"to": self.float})

    def _values(self, shape: tuple[int, ...], *, transposed: bool = False, wide: bool = False) -> str:
        """The matrix unpacked, in the activations' type, or `wide` as float32."""
        if self.matrix is None:
            self.matrix = self.weights.dequantized("W", shape, wide=wide)
            if transposed:
                values: NDArray[Any] = numpy_helper.to_array(self.weights.protos.pop(self.matrix))
                self.matrix = self.weights.constant(f"{self.matrix}.transposed", values.T)
        return self.matrix

    def _convolution(self, copy: int) -> None:
        n = self.operator.named
        shapes = (1, n["IN"], n["STEPS"]), (1, n["OUT"], self.operator.rows)
        self._declare(copy, {"x": shapes[0]}, shapes[1])
        kernels = self._values((n["OUT"], n["IN"], n["KERNEL"]))
        pad = n["KERNEL"] // 2
        self._emit("Conv", copy, {"x": True, kernels: True}, {"pads": [pad, pad], "strides": [n["STRIDE"]]})

    def _embedding(self, copy: int) -> None:
        rows, vocab, hidden = self.operator.sizes
        self._declare(copy, {"ids": (1, rows)}, (1, rows, hidden))
        found = self.weights.gathered("W") if self.weights.bits("W") < 16 else None
        if found is None:
            self._emit("Gather", copy, {self._values((vocab, hidden)): True, "ids": True}, {"axis": 0})
            return
        (data, scales, zeros), attrs = found
        inputs = {data: True, "ids": True, scales: True, zeros: bool(zeros)}
        self._emit("GatherBlockQuantized", copy, inputs, attrs)

    def _layer_norm(self, copy: int) -> None:
        self._norm(copy, "SkipLayerNormalization", ("gamma", "beta"))

    def _rms_norm(self, copy: int) -> None:
        self._norm(copy, "SkipSimplifiedLayerNormalization", ("gamma",))

    def _norm(self, copy: int, op: str, vectors: tuple[str, ...]) -> None:
        shape = (1, *self.operator.sizes)
        self._declare(copy, {"a": shape, "b": shape}, shape)
        inputs = dict.fromkeys(("a", "b", *(self.weights.vector(one) for one in vectors)), True)
        self._emit(op, copy, inputs, {"epsilon": EPSILON})

    def _attention(self, copy: int) -> None:
        tokens, heads, size = self.operator.sizes
        shape = (1, tokens, heads * size)
        self._declare(copy, dict.fromkeys("qkv", shape), shape)
        inputs = dict.fromkeys("qkv", True)
        self._emit("MultiHeadAttention", copy, inputs, {"num_heads": heads, "scale": size**-0.5})

    def _decode(self, copy: int) -> None:
        length, heads, kv_heads, size = self.operator.sizes
        cache = (1, kv_heads, length, size)
        one, shared = (1, 1, heads * size), (1, 1, kv_heads * size)
        pasts = dict.fromkeys(("past_key", "past_value"), cache)
        self._declare(copy, {"q": one, "k": shared, "v": shared, **pasts}, one)
        for name in ("present_key", "present_value"):
            self.outputs.append(helper.make_tensor_value_info(f"{name}.{copy}", self.float, cache))
        lengths = [
            self.weights.constant("seqlens_k", np.array([length - 1], np.int32)),
            self.weights.constant("total_sequence_length", np.array([length], np.int32)),
        ]
        names = ("q", "k", "v", "past_key", "past_value", *lengths)
        self._emit(
            "GroupQueryAttention",
            copy,
            dict.fromkeys(names, True),
            {"num_heads": heads, "kv_num_heads": kv_heads, "scale": size**-0.5},
            ("y", "present_key", "present_value"),
        )
