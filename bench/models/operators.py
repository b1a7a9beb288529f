"""One operator at a time, as a program: what `bench kernels` runs on every engine.

A program has several copies of the operator, each with weights, inputs and caches of its own, so that a call
takes long enough to be timed and reads more than a cache holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import InputError
from bench.models.graph import Graph, Input, Node, Op, State, Weight
from bench.models.program import FORWARD, Phase, Program, single

EPSILON = 1e-5
_MOST = 1 << 20  # of a size
_MOST_ELEMENTS = 1 << 31  # of a matrix, or of an output
# Kind -> the names of its sizes, as they are typed and as they stand in the names of rows.
KINDS: Mapping[str, tuple[str, ...]] = {
    "matmul": ("M", "N", "K"),
    "attention": ("TOKENS", "HEADS", "SIZE"),
    "decode": ("LENGTH", "HEADS", "KV_HEADS", "SIZE"),
    "layer-norm": ("ROWS", "HIDDEN"),
    "rms-norm": ("ROWS", "HIDDEN"),
    "convolution": ("STEPS", "IN", "OUT", "KERNEL", "STRIDE"),
    "embedding": ("ROWS", "VOCAB", "HIDDEN"),
}
PACKED = ("matmul", "convolution", "embedding")  # those with a matrix, whose bits matter
ABOUT: Mapping[str, str] = {
    "matmul": "x [M, K] times a matrix [N, K]",
    "attention": "of every token to every token, as in an encoder or a prompt",
    "decode": "of one token to LENGTH of them in a cache",
    "layer-norm": "of a sum of two",
    "rms-norm": "of a sum of two",
    "convolution": "of one dimension, as in Whisper's encoder",
    "embedding": "ROWS rows of a table",
}


@dataclass(frozen=True)
class Operator:
    """One operator at one shape; `kind` and `sizes` as in `KINDS`."""

    kind: str
    sizes: tuple[int, ...]

    @classmethod
    def parse(cls, kind: str, text: str) -> Operator:
        """Read `M,N,K` as it is typed.

        Raises:
            InputError: not so many numbers, one that cannot be, or sizes that do not fit each other.
        """
        names, flag = KINDS[kind], f"--{kind} {text}"
        parts = text.replace("x", ",").split(",")
        if len(parts) != len(names) or not all(re.fullmatch(r"\d{1,9}", part.strip()) for part in parts):
            raise InputError(f"{flag}: not allowed; allowed: {','.join(names)}, {len(names)} whole numbers")
        sizes = tuple(int(part) for part in parts)
        if not all(0 < size <= _MOST for size in sizes):
            raise InputError(f"{flag}: each of {','.join(names)} must be from 1 to {_MOST}")
        made = cls(kind, sizes)
        made._check(flag)
        return made

    def _check(self, flag: str) -> None:
        n = self.named
        if max(self.weight_elements, self.rows * self.columns) > _MOST_ELEMENTS:
            raise InputError(f"{flag}: more than {_MOST_ELEMENTS} numbers in one tensor")
        if self.kind == "decode" and n["HEADS"] % n["KV_HEADS"]:
            raise InputError(f"{flag}: HEADS must be a multiple of KV_HEADS")
        if self.kind == "convolution" and not n["KERNEL"] % 2:
            raise InputError(f"{flag}: KERNEL must be odd, for the same padding on both sides")

    @property
    def named(self) -> dict[str, int]:
        """Name of a size -> the size."""
        return dict(zip(KINDS[self.kind], self.sizes, strict=True))

    @property
    def name(self) -> str:
        """As a row's model: `matmul 512x4096x4096`."""
        return f"{self.kind} {'x'.join(map(str, self.sizes))}"

    @property
    def packed(self) -> bool:
        """Whether it has a matrix that is stored in bits."""
        return self.kind in PACKED

    @property
    def rows(self) -> int:
        """Rows of its output."""
        n = self.named
        if self.kind == "convolution":
            return (n["STEPS"] + 2 * (n["KERNEL"] // 2) - n["KERNEL"]) // n["STRIDE"] + 1
        return 1 if self.kind == "decode" else self.sizes[0]

    @property
    def columns(self) -> int:
        """Columns of its output."""
        n = self.named
        if self.kind in ("attention", "decode"):
            return n["HEADS"] * n["SIZE"]
        return n[{"matmul": "N", "convolution": "OUT"}.get(self.kind, "HIDDEN")]

    @property
    def weight_elements(self) -> int:
        """Numbers of its matrix, or of its caches: what is read once a call and not computed before it."""
        n = self.named
        if self.kind == "matmul":
            return n["N"] * n["K"]
        if self.kind == "convolution":
            return n["OUT"] * n["IN"] * n["KERNEL"]
        if self.kind == "embedding":
            return n["VOCAB"] * n["HIDDEN"]
        return 2 * n["LENGTH"] * n["KV_HEADS"] * n["SIZE"] if self.kind == "decode" else 0

    @property
    def input_elements(self) -> int:
        """Numbers of its inputs of one copy."""
        n = self.named
        if self.kind == "matmul":
            return n["M"] * n["K"]
        if self.kind == "convolution":
            return n["STEPS"] * n["IN"]
        if self.kind == "embedding":
            return n["ROWS"]
        return {"attention": 3, "decode": 3}.get(self.kind, 2) * self.rows * self.columns

    @property
    def flops(self) -> int:
        """Arithmetic of one copy: multiplications and additions each; eight a number of a norm."""
        n = self.named
        if self.kind == "attention":
            return 4 * n["TOKENS"] ** 2 * self.columns
        if self.kind == "decode":
            return 4 * n["LENGTH"] * self.columns
        if self.kind.endswith("norm"):
            return 8 * self.rows * self.columns
        return 0 if self.kind == "embedding" else 2 * self.rows * self.weight_elements

    def moved(self, matrix: int, scalar: int) -> int:
        """Bytes that one copy must read and write once.

        Args:
            matrix: bytes of its matrix as it is packed; of a table only the rows that are asked for count.
            scalar: bytes of an activation.
        """
        if self.kind == "embedding":
            matrix = matrix * self.rows // self.named["VOCAB"]
        caches = scalar * self.weight_elements if self.kind == "decode" else 0
        inputs = 4 * self.rows if self.kind == "embedding" else scalar * self.input_elements
        return matrix + caches + inputs + scalar * self.rows * self.columns

    def bytes_of(self, bits: int) -> int:
        """About what one copy holds on a GPU: its matrix at these bits, caches and inputs as halves."""
        return math.ceil(self.weight_elements * (bits if self.packed else 16) / 8) + 2 * self.input_elements

    def program(self, copies: int) -> Program:
        """So many copies side by side; inputs, weights, states and outputs of copy i end in `.i`.

        Inputs: x [rows, features] (matmul, convolution), ids int32 [1, ROWS], a and b (norms), q, k and v.
        States of `decode`: key and value [LENGTH, KV_HEADS * SIZE], and length [1], shared.
        """
        inputs: list[Input] = []
        weights: list[Weight] = []
        states: list[State] = [State("length", (1,), "int32")] if self.kind == "decode" else []
        nodes: list[Node] = []
        for copy in range(copies):
            made = getattr(self, f"_{self.kind.replace('-', '_')}")(copy)
            inputs += made.inputs
            weights += made.weights
            states += made.states
            nodes += made.nodes
        graph = Graph(tuple(inputs), tuple(nodes), tuple(f"y.{copy}" for copy in range(copies)))
        if not states:
            return single(self.name, self.kind, tuple(weights), graph)
        phase = Phase(FORWARD, FORWARD)
        program = Program(self.name, self.kind, tuple(weights), {FORWARD: graph}, (phase,), tuple(states))
        program.check()
        return program

    def _matmul(self, copy: int) -> _Copy:
        m, n, k = self.sizes
        node = Node("linear", f"matmul.{copy}", (f"x.{copy}",), f"y.{copy}", (m, n), (f"W.{copy}",))
        return _Copy([_real(f"x.{copy}", m, k)], [Weight(f"W.{copy}", (n, k), "feed_forward")], [node])

    def _convolution(self, copy: int) -> _Copy:
        n = self.named
        width = n["IN"] * n["KERNEL"]
        attrs = {
            "kernel": n["KERNEL"], "stride": n["STRIDE"], "padding": n["KERNEL"] // 2,
            "batch": 1, "sequence": n["STEPS"],
        }  # fmt: skip
        windows = f"windows.{copy}"
        nodes = [
            Node("unfold", f"unfold.{copy}", (f"x.{copy}",), windows, (self.rows, width), (), attrs),
            Node("linear", f"product.{copy}", (windows,), f"y.{copy}", (self.rows, n["OUT"]), (f"W.{copy}",)),
        ]
        weight = Weight(f"W.{copy}", (n["OUT"], width), "feed_forward")
        return _Copy([_real(f"x.{copy}", n["STEPS"], n["IN"])], [weight], nodes)

    def _embedding(self, copy: int) -> _Copy:
        rows, vocab, hidden = self.sizes
        ids = Input(f"ids.{copy}", (1, rows), vocab)
        shape = (rows, hidden)
        node = Node("embedding", f"embedding.{copy}", (ids.name,), f"y.{copy}", shape, (f"W.{copy}",))
        return _Copy([ids], [Weight(f"W.{copy}", (vocab, hidden), "embedding")], [node])

    def _layer_norm(self, copy: int) -> _Copy:
        return self._norm(copy, "layer_norm", ("gamma", "beta"))

    def _rms_norm(self, copy: int) -> _Copy:
        return self._norm(copy, "rms_norm", ("gamma",))

    def _norm(self, copy: int, op: Op, vectors: tuple[str, ...]) -> _Copy:
        shape = (self.rows, self.columns)
        weights = [Weight(f"{name}.{copy}", shape[1:], "vector") for name in vectors]
        names = tuple(weight.name for weight in weights)
        attrs = {"epsilon": EPSILON}
        norm = Node(op, f"norm.{copy}", (f"sum.{copy}",), f"y.{copy}", shape, names, attrs)
        add = Node("add", f"add.{copy}", (f"a.{copy}", f"b.{copy}"), f"sum.{copy}", shape)
        return _Copy([_real(f"{name}.{copy}", *shape) for name in "ab"], weights, [add, norm])

    def _attention(self, copy: int) -> _Copy:
        n = self.named
        shape = (n["TOKENS"], self.columns)
        attrs = {"heads": n["HEADS"], "scale": n["SIZE"] ** -0.5, "batch": 1, "sequence": n["TOKENS"]}
        names = tuple(f"{name}.{copy}" for name in "qkv")
        node = Node("attention", f"attention.{copy}", names, f"y.{copy}", shape, (), attrs)
        return _Copy([_real(name, *shape) for name in names], [], [node])

    def _decode(self, copy: int) -> _Copy:
        n = self.named
        width = n["KV_HEADS"] * n["SIZE"]
        attrs = {"heads": n["HEADS"], "kv_heads": n["KV_HEADS"], "scale": n["SIZE"] ** -0.5}
        caches = (f"key.{copy}", f"value.{copy}")
        names = tuple(f"{name}.{copy}" for name in "qkv")
        shape = (1, self.columns)
        node = Node(
            "cached_attention", f"decode.{copy}", (*names, *caches, "length"), f"y.{copy}", shape, (), attrs,
            caches,
        )  # fmt: skip
        inputs = [_real(name, 1, size) for name, size in zip(names, (shape[1], width, width), strict=True)]
        return _Copy(inputs, [], [node], [State(name, (n["LENGTH"], width)) for name in caches])


@dataclass(frozen=True)
class _Copy:
    inputs: list[Input]
    weights: list[Weight]
    nodes: list[Node]
    states: tuple[State, ...] | list[State] = ()


def _real(name: str, rows: int, columns: int) -> Input:
    return Input(name, (rows, columns), 0, "float32")


def of(name: str) -> Operator:
    """The operator of a row's model, `matmul 512x4096x4096`.

    Raises:
        InputError: it is none.
    """
    kind, _, sizes = name.partition(" ")
    if kind not in KINDS:
        raise InputError(f"{name}: no operator; allowed: {', '.join(KINDS)}")
    return Operator.parse(kind, sizes)


# What is measured where no shape is named: of BERT-base, Whisper-tiny and Llama 3; less on a processor.
ON_GPU = (
    *("matmul 512x4096x4096", "matmul 128x768x768", "matmul 128x3072x768", "matmul 128x768x3072"),
    *("matmul 1x4096x4096", "matmul 1x14336x4096", "attention 512x32x128", "decode 2048x32x8x128"),
    *("layer-norm 512x768", "rms-norm 512x4096", "convolution 3000x80x384x3x1", "embedding 512x30522x768"),
)
ON_PROCESSOR = (
    *("matmul 16x384x384", "matmul 1x1024x1024", "attention 32x6x64", "decode 128x8x2x64"),
    *("layer-norm 16x384", "rms-norm 16x384", "convolution 64x16x32x3x1", "embedding 16x1000x384"),
)
