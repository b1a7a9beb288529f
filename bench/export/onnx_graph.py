"""Our graph as an ONNX model with onnxruntime's own operators (`com.microsoft`) where they say it better.

A sequence's values are [B, T, H] here, which are the same bytes as the graph's [B * T, H]; a sentence's are
[B, H]. Graph inputs and outputs keep their names. What is joined is what onnxruntime's own tools join:
`add` + `layer_norm` to `SkipLayerNormalization`, a bias + gelu to `BiasGelu` or `FastGelu`, `unfold` +
`linear` to `Conv`, attention to `MultiHeadAttention`.

A product with an unpacked matrix is summed in float32 whatever the activations are: onnxruntime's kernel for
WebGPU sums in the type of its inputs, and some hundred products summed in float16 miss our bound of 5e-3
(MiniLM, 16 bits: 7.9e-3; in float32 2.4e-3).

The same graph, table and tensors give the same bytes. Not said here: zeros for a query of whose keys none
counts. ONNX gives the mean of all values there; no input of ours has such a query.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from bench.export.onnx_nodes import Form, Writer
from bench.export.onnx_weights import NotInOnnx, Table, Tensors
from bench.models.graph import Node
from bench.models.program import Program

OPSET = 17
IR_VERSION = 8
MICROSOFT = "com.microsoft"
MAX_BYTES = 2**31 - 1  # of one protobuf message
_MASKED = {"f32": -1e30, "f16": -30000.0}  # added to the score of a key that does not count
_STANDARD = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
_GELUS = {"gelu": ("Gelu", "BiasGelu"), "gelu_tanh": ("FastGelu", "FastGelu")}


def to_onnx(program: Program, table: Table, tensors: Tensors, form: Form | None = None) -> bytes:
    """The model as the bytes of an .onnx file.

    Args:
        program: what to say.
        table: matrix -> `bits, group_size, scheme, k, kp, exponent`, as in a bundle's `program.json`.
        tensors: the bundle's packed tensors by name.
        form: shapes and types; by default the graph's own shapes in float32.

    Raises:
        NotInOnnx: an operator, a value or a size that ONNX cannot say, by its name.
    """
    check(program, 1)
    model = exporter_of(program)(program, table, tensors, form or Form()).model()
    size = sum(len(proto.raw_data) for proto in model.graph.initializer)
    if size > MAX_BYTES:
        raise NotInOnnx(f"{program.name}: {size / 1e9:.1f} GB of weights do not fit one ONNX file of 2 GiB")
    made: bytes = model.SerializeToString(deterministic=True)
    return made


def check(program: Program, bits: int) -> None:
    """Raise NotInOnnx for what can be told of a program before its weights are packed, by its name."""
    exporter = exporter_of(program)
    for node in program.main.nodes:
        if not hasattr(exporter, f"_{node.op}"):
            raise NotInOnnx(f"{node.name}: ONNX has no form for operator {node.op}")
        exporter.refuse(node)
    if program.parameters * bits // 8 > MAX_BYTES:
        raise NotInOnnx(
            f"{program.name}: {program.parameters} parameters of {bits} bits do not fit one ONNX file of 2 "
            "GiB; fewer bits may, or engine native"
        )


def exporter_of(program: Program) -> type[Exporter]:
    """Who says a program: one entry, or a language model's two.

    Raises:
        NotInOnnx: it has states and chooses no tokens, or other entries.
    """
    if program.transcript is not None and program.phases[0].name == "prefill":
        from bench.export.onnx_decoder import DecoderExporter  # which is one of these

        return DecoderExporter
    if program.states or len(program.entries) > 1:
        held = ", ".join([*(state.name for state in program.states), *list(program.entries)[1:]])
        raise NotInOnnx(f"{program.name}: states and several entries ({held}) are not exported")
    return Exporter


class Exporter(Writer):
    """Walks the graph once; every operator appends its ONNX nodes."""

    def __init__(self, program: Program, table: Table, tensors: Tensors, form: Form) -> None:
        super().__init__(program.main, table, tensors, form)
        self.program = program
        self.tensors = tensors
        self.biases: dict[str, str] = {}  # values whose bias is still to be added -> that bias
        self.done: set[str] = set()
        self.readers: dict[str, list[Node]] = {}
        for node in program.main.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    @classmethod
    def refuse(cls, node: Node) -> None:
        """Raise NotInOnnx for a node that onnxruntime is known not to run: none here."""

    def model(self) -> onnx.ModelProto:
        """The whole of it."""
        inputs = self.inputs()
        for node in self.graph.nodes:
            if node.name not in self.done:
                getattr(self, f"_{node.op}")(node)
        outputs = [self.output(name) for name in self.graph.outputs]
        self.finish(inputs, outputs)
        graph = helper.make_graph(
            self.nodes,
            self.program.name,
            inputs,
            outputs,
            list(self.weights.protos.values()),
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
            ir_version=IR_VERSION,
            producer_name="webquant-bench",
        )

    def inputs(self) -> list[onnx.ValueInfoProto]:
        """The graph's inputs, declared."""
        found = [self.input(item.name) for item in self.graph.inputs]
        return [one for one in found if one is not None]

    def finish(self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> None:
        """What is declared once all nodes are known: nothing here."""

    def only_reader(self, name: str) -> Node | None:
        """The one node that reads a value which is no output of the graph."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.graph.outputs else None

    # --- operators

    def _embedding(self, node: Node) -> None:
        (ids,), (table,) = node.inputs, node.weights
        self.ranks[node.output] = 3
        packed = self.weights.bits(table) < 16 and not self.form.webnn
        found = self.weights.gathered(table) if packed else None
        if found is None:
            self.emit("Gather", [self.table(table), ids], node.output, axis=0)
            return
        (data, scales, zeros), attrs = found
        inputs = [data, ids, scales, zeros]
        self.emit("GatherBlockQuantized", inputs, node.output, domain=MICROSOFT, **attrs)

    def _add(self, node: Node) -> None:
        a, b = node.inputs
        self.ranks[node.output] = max(self.ranks[a], self.ranks[b])
        norms = [one for one in self.readers.get(node.output, []) if one.op == "layer_norm"]
        if len(norms) != 1:
            self.emit("Add", [a, b], node.output)
            return
        (norm,) = norms
        biases = [self.biases.pop(name) for name in (a, b) if name in self.biases]
        if len(biases) == 2:
            b = self.emit("Add", [b, biases.pop()], f"{b}.biased")
        gamma, beta = (self.weights.vector(name) for name in norm.weights)
        keeps_sum = self.only_reader(node.output) is None
        self.emit(
            "SkipLayerNormalization",
            [a, b, gamma, beta, *biases],
            [norm.output, "", "", node.output] if keeps_sum else norm.output,
            domain=MICROSOFT,
            epsilon=float(norm.attrs["epsilon"]),
        )
        self.ranks[norm.output] = self.ranks[node.output]
        self.done.add(norm.name)

    def _layer_norm(self, node: Node) -> None:
        gamma, beta = (self.weights.vector(name) for name in node.weights)
        epsilon = float(node.attrs["epsilon"])
        x = node.inputs[0]
        self.ranks[node.output] = self.ranks[x]
        self.emit("LayerNormalization", [x, gamma, beta], node.output, axis=-1, epsilon=epsilon)

    def _linear(self, node: Node) -> None:
        x, weight = node.inputs[0], node.weights[0]
        self.ranks[node.output] = self.ranks[x]
        packed = self.weights.bits(weight) < 16
        gemm = not packed and self.ranks[x] == 2
        bias = self.weights.vector(node.weights[1]) if len(node.weights) > 1 and not gemm else ""
        if packed:
            matrix, attrs = self.weights.packed(weight)
            self.emit("MatMulNBits", [x, *matrix, "", bias], node.output, domain=MICROSOFT, **attrs)
        elif gemm:
            added = [self.weights.wide_vector(name) for name in node.weights[1:]]
            self.product("Gemm", x, [self.wide_matrix(weight), *added], node.output, transB=1)
        else:
            later = bool(bias) and self._reader_adds_bias(node)
            output = node.output if later or not bias else f"{node.output}.product"
            self.product("MatMul", x, [self.wide_matrix(weight, transposed=True)], output)
            if later:
                self.biases[output] = bias
            elif bias:
                self.emit("Add", [output, bias], node.output)

    def _reader_adds_bias(self, node: Node) -> bool:
        """Whether what comes next is an operator of onnxruntime that takes the bias along."""
        reader = self.only_reader(node.output)
        if reader is None or reader.inputs.count(node.output) != 1:
            return False
        if reader.op == "activation":
            return str(reader.attrs["kind"]) in _GELUS and not self.form.webnn
        norms = [one for one in self.readers.get(reader.output, []) if one.op == "layer_norm"]
        return reader.op == "add" and len(norms) == 1

    def _activation(self, node: Node) -> None:
        x, kind = node.inputs[0], str(node.attrs["kind"])
        self.ranks[node.output] = self.ranks[x]
        if kind in _STANDARD:
            self.emit(_STANDARD[kind], [x], node.output)
        elif kind in _GELUS:
            plain, biased = _GELUS[kind]
            bias = self.biases.pop(x, None)
            inputs = [x] if bias is None else [x, bias]
            self.emit(plain if bias is None else biased, inputs, node.output, domain=MICROSOFT)
        else:
            raise NotInOnnx(f"{node.name}: ONNX has no form for activation {kind}")

    def _attention(self, node: Node) -> None:
        q, k, v = node.inputs[:3]
        if self.ranks[q] != 3 or self.ranks[k] != 3 or self.ranks[v] != 3:
            raise NotInOnnx(f"{node.name}: attention over values that are no sequence")
        self.ranks[node.output] = 3
        self.emit(
            "MultiHeadAttention",
            [q, k, v, "", "", self._attention_bias(node)],
            node.output,
            domain=MICROSOFT,
            num_heads=int(node.attrs["heads"]),
            scale=float(node.attrs["scale"]),
        )

    def _attention_bias(self, node: Node) -> str:
        """What is added to the scores [B, 1, T, S], "" for nothing.

        The kernel for WebGPU has neither `key_padding_mask` nor `unidirectional`, so both are said so.
        """
        sequence = int(node.attrs["sequence"])
        keys = int(node.attrs.get("keys", sequence))
        lowest = _MASKED[self.form.activations]
        causal = ""
        if node.attrs.get("causal"):
            if self.form.dynamic:
                raise NotInOnnx(f"{node.name}: causal attention with free shapes")
            future = np.triu(np.full((sequence, keys), lowest, self.weights.scalar), 1)[None, None]
            causal = self.weights.constant(f"causal.{sequence}.{keys}", future)
        if len(node.inputs) < 4:
            return causal
        if sequence != keys:
            raise NotInOnnx(f"{node.name}: a mask over {keys} keys of {sequence} queries")
        mask = node.inputs[3]
        bias = f"{mask}.bias"
        if not any(bias in one.output for one in self.nodes):
            self._mask_bias(mask, bias, lowest)
        if not causal:
            return bias
        both = f"{node.output}.mask"
        return self.emit("Add", [bias, causal], both)

    def _mask_bias(self, mask: str, bias: str, lowest: float) -> None:
        """0 where a key counts, else `lowest`: [B, 1, 1, S], spread over the queries by adding zeros."""
        flags = self.emit("Cast", [mask], f"{mask}.float", to=self.float)
        one, low = self.weights.number("one", 1.0), self.weights.number("masked", lowest)
        scores = self.emit("Mul", [self.emit("Sub", [one, flags], f"{mask}.off"), low], f"{mask}.scores")
        row = self.emit("Unsqueeze", [scores, self.indices("axes.keys", [1, 2])], f"{mask}.keys")
        nothing = self.emit("Mul", [flags, self.weights.number("zero", 0.0)], f"{mask}.nothing")
        column = self.emit("Unsqueeze", [nothing, self.indices("axes.queries", [1, 3])], f"{mask}.queries")
        self.emit("Add", [row, column], bias)

    def _unfold(self, node: Node) -> None:
        linear = self.only_reader(node.output)
        if linear is None or linear.op != "linear" or self.form.dynamic:
            raise NotInOnnx(
                f"{node.name}: ONNX has no form for unfold but before one linear, at a fixed shape"
            )
        x, weight = node.inputs[0], linear.weights[0]
        batch, sequence, kernel, stride, padding = (
            int(node.attrs[key]) for key in ("batch", "sequence", "kernel", "stride", "padding")
        )
        channels = node.shape[1] // kernel
        if self.ranks[x] == 2:
            shape = self.indices(f"{x}.shape", [batch, sequence, channels])
            x = self.emit("Reshape", [x, shape], f"{x}.sequence")
        x = self.emit("Transpose", [x], f"{node.output}.channels", perm=[0, 2, 1])
        # No kernel convolves packed weights, so they are stored as they are computed with.
        kernels = self.weights.dequantized(weight, (linear.shape[1], channels, kernel), wide=True)
        added = [self.weights.wide_vector(name) for name in linear.weights[1:]]
        pads, strides = [padding, padding], [stride]
        name = f"{linear.output}.channels"
        out = self.product("Conv", x, [kernels, *added], name, pads=pads, strides=strides)
        self.emit("Transpose", [out], linear.output, perm=[0, 2, 1])
        self.ranks[linear.output] = 3
        self.done.add(linear.name)

    def _mean_pool(self, node: Node) -> None:
        x, mask = node.inputs
        name, axis = node.output, self.indices("axis.1", [1])
        flags = self.emit("Cast", [mask], f"{name}.flags", to=self.float)
        column = self.emit("Unsqueeze", [flags, self.indices("axis.2", [2])], f"{name}.column")
        kept = self.emit("Mul", [x, column], f"{name}.kept")
        total = self.emit("ReduceSum", [kept, axis], f"{name}.sum", keepdims=0)
        count = self.emit("ReduceSum", [flags, axis], f"{name}.count", keepdims=1)
        # A count is a whole number; over no token the sum is 0, and so is the mean.
        least = self.emit("Max", [count, self.weights.number("one", 1.0)], f"{name}.least")
        self.emit("Div", [total, least], name)
        self.ranks[name] = 2

    def _first_token(self, node: Node) -> None:
        first = self.weights.constant("first", np.array(0, np.int64))
        self.emit("Gather", [node.inputs[0], first], node.output, axis=1)
        self.ranks[node.output] = 2

    def _l2_normalize(self, node: Node) -> None:
        x, name = node.inputs[0], node.output
        # The least float16 stands for an epsilon below it.
        least = 6e-8 if self.float == TensorProto.FLOAT16 else 0.0
        floor = self.weights.number(f"{name}.floor", max(float(node.attrs["epsilon"]), least))
        length = self.emit("ReduceL2", [x], f"{name}.length", axes=[-1], keepdims=1)
        self.emit("Div", [x, self.emit("Max", [length, floor], f"{name}.least")], name)
        self.ranks[name] = self.ranks[x]

    def _softmax(self, node: Node) -> None:
        self.emit("Softmax", [node.inputs[0]], node.output, axis=-1)
        self.ranks[node.output] = self.ranks[node.inputs[0]]
