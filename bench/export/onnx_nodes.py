"""How an ONNX file is written: its form, its inputs and outputs, nodes and matrices by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from bench.export.onnx_weights import Activations, Initializers, NotInOnnx, Table, Tensors
from bench.models.graph import Graph, Node

_TYPES = {"int32": TensorProto.INT32, "int64": TensorProto.INT64}


@dataclass(frozen=True)
class Form:
    """How the file is to be used.

    Attributes:
        activations: type of everything that is computed.
        dynamic: batch and sequence are free, for a library that loads the file; else the graph's own.
        ids: type of the integer inputs.
        float_outputs: outputs are float32 whatever the activations are.
        positions: `position_ids` are no input but counted: from 0, or after this padding token.
        webnn: only what onnxruntime's WebNN provider takes: no `GatherBlockQuantized` (tables are stored
            dequantized), and gelu without a bias.
    """

    activations: Activations = "f32"
    dynamic: bool = False
    ids: Literal["int32", "int64"] = "int32"
    float_outputs: bool = False
    positions: Literal["input", "counted"] | int = "input"
    webnn: bool = False


class Writer:
    """Collects the ONNX nodes of a graph.

    Attributes:
        nodes: in order.
        ranks: of each value: 3 for [B, T, H], 2 for [B, H] and for inputs.
        weights: the initializers.
        float: the ONNX type of the activations.
    """

    def __init__(self, graph: Graph, table: Table, tensors: Tensors, form: Form) -> None:
        self.graph = graph
        self.form = form
        self.weights = Initializers(table, tensors, form.activations)
        self.float = TensorProto.FLOAT if form.activations == "f32" else TensorProto.FLOAT16
        self.nodes: list[onnx.NodeProto] = []
        self.ranks: dict[str, int] = {}

    def emit(
        self, op: str, inputs: Sequence[str], output: str | Sequence[str], *, domain: str = "", **attrs: Any
    ) -> str:
        """Append a node named as its first output; that name."""
        outputs = [output] if isinstance(output, str) else list(output)
        names = list(inputs)
        while names and not names[-1]:
            names.pop()
        self.nodes.append(helper.make_node(op, names, outputs, name=outputs[0], domain=domain, **attrs))
        return outputs[0]

    def indices(self, name: str, values: Sequence[int]) -> str:
        """An int64 initializer, for axes and shapes; its name."""
        return self.weights.constant(name, np.array(values, np.int64))

    def _dims(self, node_or_shape: Node | tuple[int, ...], rank: int) -> list[int | str]:
        """The ONNX shape of a value: of the first dimension [B * T] both its parts."""
        shape = node_or_shape.shape if isinstance(node_or_shape, Node) else node_or_shape
        batch = next(item.shape[0] for item in self.graph.inputs if item.dtype == "int32")
        if rank == 3:
            sizes: list[int | str] = [batch, shape[0] // batch, shape[1]]
            return ["batch_size", "sequence_length", shape[1]] if self.form.dynamic else sizes
        return ["batch_size", shape[1]] if self.form.dynamic else list(shape)

    def input(self, name: str) -> onnx.ValueInfoProto | None:
        """Declare a graph input; None where it is counted from another.

        Raises:
            NotInOnnx: free shapes are wanted of an input that is no tokens.
        """
        item = next(one for one in self.graph.inputs if one.name == name)
        self.ranks[name] = 2
        if item.dtype == "float32":
            if self.form.dynamic:
                raise NotInOnnx(f"input {name}: a file with free shapes takes tokens only")
            return helper.make_tensor_value_info(name, self.float, item.shape)
        if name == "position_ids" and self.form.positions != "input":
            self._count_positions(name)
            return None
        shape = ["batch_size", "sequence_length"] if self.form.dynamic else list(item.shape)
        return helper.make_tensor_value_info(name, _TYPES[self.form.ids], shape)

    def _count_positions(self, name: str) -> None:
        """Positions from 0, or after the padding token's with padding at that itself, as RoBERTa counts."""
        kind, pad = _TYPES[self.form.ids], self.form.positions
        number = np.dtype(self.form.ids).type
        axis = self.indices(f"{name}.axis", [1])
        if pad == "counted":
            zero = self.weights.constant(f"{name}.zero", np.array(0, number))
            one = self.weights.constant(f"{name}.one", np.array(1, number))
            zeros = self.emit("Mul", ["input_ids", zero], f"{name}.zeros")
            ones = self.emit("Add", [zeros, one], f"{name}.ones")
            count = self.emit("CumSum", [ones, axis], f"{name}.count")
            self.emit("Sub", [count, one], name)
            return
        padding = self.weights.constant(f"{name}.padding", np.array(pad, number))
        padded = self.emit("Equal", ["input_ids", padding], f"{name}.is_padding")
        kept = self.emit("Cast", [self.emit("Not", [padded], f"{name}.is_token")], f"{name}.kept", to=kind)
        count = self.emit("CumSum", [kept, axis], f"{name}.count")
        self.emit("Add", [self.emit("Mul", [count, kept], f"{name}.counted"), padding], name)

    def output(self, name: str) -> onnx.ValueInfoProto:
        """Declare a graph output, after all nodes; cast where the form wants float32."""
        node = next(one for one in self.graph.nodes if one.output == name)
        shape = self._dims(node, self.ranks[name])
        if self.form.float_outputs and self.float != TensorProto.FLOAT:
            self._rename(name, f"{name}.half")
            self.emit("Cast", [f"{name}.half"], name, to=TensorProto.FLOAT)
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        return helper.make_tensor_value_info(name, self.float, shape)

    def _rename(self, old: str, new: str) -> None:
        for node in self.nodes:
            if node.name == old:
                node.name = new
            for names in (node.input, node.output):
                renamed = [new if name == old else name for name in names]
                del names[:]
                names.extend(renamed)

    # --- weights

    def table(self, weight: str) -> str:
        """A table in the activations' type; 16-bit ones are halves, cast where those are float32."""
        if self.weights.bits(weight) < 16:
            return self.weights.dequantized(weight)
        if self.float == TensorProto.FLOAT:
            return self.wide_matrix(weight)
        return self.weights.halves(weight, exact=True)[0]

    def wide_matrix(self, weight: str, *, transposed: bool = False) -> str:
        """A 16-bit matrix as float32: halves, cast once when the session is made."""
        stored, exponent = self.weights.halves(weight, transposed=transposed)
        cast = self.wide(stored)
        if not exponent:
            return cast
        if not self.known(f"{cast}.scaled"):
            factor = self.weights.constant(f"{stored}.factor", np.array(2.0**exponent, np.float32))
            self.emit("Mul", [cast, factor], f"{cast}.scaled")
        return f"{cast}.scaled"

    def known(self, name: str) -> bool:
        """Whether a node gives that value already."""
        return any(name in node.output for node in self.nodes)

    def wide(self, name: str) -> str:
        """A float16 value as float32, cast once."""
        if not self.known(f"{name}.f32"):
            self.emit("Cast", [name], f"{name}.f32", to=TensorProto.FLOAT)
        return f"{name}.f32"

    def product(self, op: str, x: str, others: Sequence[str], output: str, **attrs: Any) -> str:
        """A product of x with float32 tensors, summed in float32; in the activations' type."""
        if self.float == TensorProto.FLOAT:
            return self.emit(op, [x, *others], output, **attrs)
        wide = self.emit(op, [self.wide(x), *others], f"{output}.wide", **attrs)
        return self.emit("Cast", [wide], output, to=self.float)
