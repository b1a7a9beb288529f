"""A language model as one ONNX model, as onnxruntime's own tools leave it: caches in and out, a free length.

Both entries of the program are calls of it: with the prompt, then with a token at a time. Beside `input_ids`
it takes, for each layer I, `past_key_values.I.key` and `.value` [1, KV, capacity, D], and gives
`present.I.key` and `.value`, which may be the same buffers; `seqlens_k` int32 [1] is the length after the
call less 1, and `total_sequence_length` int32 [1] that length. It gives `logits` [1, 1, V] of the last token
and `next_token` int64 [1, 1], the index of the largest.

Attention with its rotation and cache is `GroupQueryAttention`, a residual with its norm
`SkipSimplifiedLayerNormalization`, silu a `Sigmoid` and a `Mul`.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from bench.export.onnx_graph import MICROSOFT, Exporter
from bench.export.onnx_nodes import Form
from bench.export.onnx_weights import NotInOnnx, Table, Tensors
from bench.models.graph import Node
from bench.models.program import Program


class DecoderExporter(Exporter):
    """Walks the entry that takes the prompt; its rows become a free dimension."""

    def __init__(self, program: Program, table: Table, tensors: Tensors, form: Form) -> None:
        super().__init__(program, table, tensors, form)
        self.turned: dict[str, Node] = {}  # outputs of rotations that an attention takes along
        self.cached: list[tuple[str, str, tuple[int, ...]]] = []  # past, present, shape
        self.states = {state.name: state for state in program.states}

    @classmethod
    def refuse(cls, node: Node) -> None:
        """Raise NotInOnnx for heads that onnxruntime's attention with a cache does not take."""
        if node.op != "cached_attention":
            return
        size = node.shape[1] // int(node.attrs["heads"])
        if size % 8:
            raise NotInOnnx(
                f"{node.name}: heads of {size} features; onnxruntime's GroupQueryAttention takes multiples "
                "of 8; engine native runs it"
            )

    def inputs(self) -> list[onnx.ValueInfoProto]:
        """Those of the module's docstring."""
        whole = TensorProto.INT32
        ids = TensorProto.INT64 if self.form.ids == "int64" else whole
        self.ranks["input_ids"] = 2
        return [
            helper.make_tensor_value_info("input_ids", ids, [1, "sequence_length"]),
            helper.make_tensor_value_info("seqlens_k", whole, [1]),
            helper.make_tensor_value_info("total_sequence_length", whole, [1]),
        ]

    def finish(self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> None:
        """Declare the caches and the token."""
        for past, present, shape in self.cached:
            inputs.append(helper.make_tensor_value_info(past, self.float, shape))
            outputs.append(helper.make_tensor_value_info(present, self.float, shape))
        outputs.append(helper.make_tensor_value_info("next_token", TensorProto.INT64, [1, 1]))

    def output(self, name: str) -> onnx.ValueInfoProto:
        """`logits`, in the activations' type."""
        node = next(one for one in self.graph.nodes if one.output == name)
        return helper.make_tensor_value_info(name, self.float, [1, 1, node.shape[1]])

    # --- operators

    def _rms_norm(self, node: Node) -> None:
        x, groups = node.inputs[0], int(node.attrs.get("groups", 1))
        gamma, epsilon = self.weights.vector(node.weights[0]), float(node.attrs["epsilon"])
        self.ranks[node.output] = self.ranks[x]
        if groups == 1:
            self._norm(x, gamma, epsilon, node.output)
            return
        shape = self.indices(f"{node.output}.heads", [0, 0, groups, node.shape[1] // groups])
        apart = self.emit("Reshape", [x, shape], f"{node.output}.apart")
        self._norm(apart, gamma, epsilon, f"{node.output}.normal")
        whole = self.indices(f"{node.output}.whole", [0, 0, node.shape[1]])
        self.emit("Reshape", [f"{node.output}.normal", whole], node.output)

    def _norm(self, x: str, gamma: str, epsilon: float, output: str) -> None:
        self.emit("SimplifiedLayerNormalization", [x, gamma], output, axis=-1, epsilon=epsilon, stash_type=1)

    def _add(self, node: Node) -> None:
        a, b = node.inputs
        self.ranks[node.output] = self.ranks[a]
        readers = self.readers.get(node.output, [])
        norm = next((one for one in readers if one.op == "rms_norm" and "groups" not in one.attrs), None)
        if norm is None or norm.name in self.done:
            self.emit("Add", [a, b], node.output)
            return
        kept = len(readers) > 1 or node.output in self.graph.outputs
        self.emit(
            "SkipSimplifiedLayerNormalization",
            [a, b, self.weights.vector(norm.weights[0])],
            [norm.output, "", "", node.output] if kept else norm.output,
            domain=MICROSOFT,
            epsilon=float(norm.attrs["epsilon"]),
        )
        self.ranks[norm.output] = self.ranks[a]
        self.done.add(norm.name)

    def _activation(self, node: Node) -> None:
        if node.attrs["kind"] != "silu":
            super()._activation(node)
            return
        x = node.inputs[0]
        self.ranks[node.output] = self.ranks[x]
        self.emit("Mul", [x, self.emit("Sigmoid", [x], f"{node.output}.sigmoid")], node.output)

    def _multiply(self, node: Node) -> None:
        self.ranks[node.output] = self.ranks[node.inputs[0]]
        self.emit("Mul", list(node.inputs), node.output)

    def _rope(self, node: Node) -> None:
        reader = self.only_reader(node.output)
        if reader is None or reader.op != "cached_attention":
            raise NotInOnnx(f"{node.name}: ONNX has a form for rope only before an attention with a cache")
        self.turned[node.output] = node

    def _cached_attention(self, node: Node) -> None:
        q, k, v, key_cache, value_cache, _ = node.inputs
        ropes = [self.turned.get(name) for name in (q, k)]
        if (ropes[0] is None) != (ropes[1] is None):
            raise NotInOnnx(f"{node.name}: only one of queries and keys is turned")
        kv_heads = int(node.attrs["kv_heads"])
        caches = []
        for name, kind in ((key_cache, "key"), (value_cache, "value")):
            capacity, width = self.states[name].shape
            index = name.rpartition(".")[2]
            shape = (1, kv_heads, capacity, width // kv_heads)
            caches.append((f"past_key_values.{index}.{kind}", f"present.{index}.{kind}", shape))
        self.cached += caches
        inputs = [one.inputs[0] if one else name for one, name in zip(ropes, (q, k), strict=True)]
        inputs += [v, caches[0][0], caches[1][0], "seqlens_k", "total_sequence_length"]
        if ropes[0] is not None:
            table = np.asarray(self.tensors[ropes[0].weights[0]])
            halves = np.split(table.astype(self.weights.scalar), 2, axis=1)
            inputs += [self.weights.constant(n, half) for n, half in zip(("cos", "sin"), halves, strict=True)]
        self.ranks[node.output] = 3
        self.emit(
            "GroupQueryAttention",
            inputs,
            [node.output, caches[0][1], caches[1][1]],
            domain=MICROSOFT,
            num_heads=int(node.attrs["heads"]),
            kv_num_heads=kv_heads,
            scale=float(node.attrs["scale"]),
            do_rotary=int(ropes[0] is not None),
            rotary_interleaved=0,
        )

    def _last_token(self, node: Node) -> None:
        last = self.indices("last", [-1])
        self.emit("Gather", [node.inputs[0], last], node.output, axis=1)
        self.ranks[node.output] = 3

    def _next_token(self, node: Node) -> None:
        self.emit("ArgMax", [node.inputs[0]], "next_token", axis=-1, keepdims=0)
