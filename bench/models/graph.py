"""The graph (IR): one entry of a program, its nodes in the order that every engine executes them.

Activations are two-dimensional float tensors `[rows, features]`; a sequence of B sentences with T tokens has
`B * T` rows. Graph inputs are int32 `[B, T]`, or float32 `[rows, features]` where a model takes a
spectrogram. Weights stand by name; matrices are `[out, in]` (or `[vocab, hidden]` for tables) and may be
quantized along their last axis, vectors never are. One weight may serve twice (tied embeddings).

A node may read a state of the program among its inputs, and write it in place where `updates` names it too:
the state then holds the new value for whoever comes after, in this call and in the next.

Operators (inputs -> output; weights; attrs):

| op             | inputs                        | weights           | attrs                                 |
|----------------|-------------------------------|-------------------|---------------------------------------|
| embedding      | ids [B,T] -> [B*T,H]          | table [V,H]       |                                       |
| add            | a, b -> same shape            |                   |                                       |
| layer_norm     | x [R,H] -> [R,H]              | gamma [H], beta   | epsilon                               |
| linear         | x [R,K] -> [R,N]              | W [N,K], (bias N) |                                       |
| activation     | x -> same shape               |                   | kind: gelu, gelu_tanh, relu, tanh,    |
|                |                               |                   | sigmoid, silu                         |
| attention      | q [B*T,H], k, v [B*S,H],      |                   | heads, scale, batch, sequence (T),    |
|                | (mask [B,S])                  |                   | (keys: S, else T), (causal: 0 or 1)   |
| unfold         | x [B*S,C] -> [B*T,C*kernel]   |                   | kernel, stride, padding, batch,       |
|                |                               |                   | sequence (S)                          |
| mean_pool      | x [B*T,H], mask [B,T] -> [B,H]|                   | batch, sequence                       |
| first_token    | x [B*T,H] -> [B,H]            |                   | batch, sequence                       |
| l2_normalize   | x [R,H] -> [R,H]              |                   | epsilon                               |
| softmax        | x [R,H] -> [R,H] (last axis)  |                   |                                       |
| multiply       | a, b -> same shape            |                   |                                       |
| rms_norm       | x [R,G*H] -> same shape       | gamma [H]         | epsilon, (groups: G, else 1)          |
| rope           | x [T,heads*D], length [1]     | table [P,D]       | heads                                 |
| cached_        | q [T,heads*D], k, v [T,KV*D], |                   | heads, kv_heads (KV), scale           |
|  attention     | key and value cache [C,KV*D], |                   |                                       |
|                | length [1] -> [T,heads*D]     |                   |                                       |
| last_token     | x [T,H] -> [1,H]              |                   |                                       |
| next_token     | logits [1,V], token [1],      |                   | count                                 |
|                | tokens [C+1], length [1] ->   |                   |                                       |
|                | [1,1]                         |                   |                                       |

`embedding`, `add`, `rms_norm` and `linear` may be `wide` (1): their output is float32 even where activations
are halves.

`rope` turns pairs (i, i + D/2) of each head by the angle whose cosine and sine the table has in columns i and
i + D/2 (arXiv 2104.09864, in the order of the Hugging Face checkpoints); row t stands at position length + t.
`cached_attention` writes k and v to the rows from `length` on of its caches, then attends: query t sees the
rows 0 .. length + t, and heads / kv_heads neighbouring heads share a head of keys (arXiv 2305.13245). What
would stand beyond the cache is left out. `next_token` adds `count` to `length`, and writes the index of the
largest logit (the first of equals) to `token` and, at the new length, to `tokens`; its output is that logit.

Every backend gives the same at the edges. A query of whose keys none counts (padding, or later ones under
`causal`) gets zeros, however large the scores of those that do not count. So do a softmax of nothing but -inf
and a mean over no token. `l2_normalize` of a row shorter than epsilon is the row divided by epsilon, a
`layer_norm` of equal values is beta. Values whose squares leave float32 (beyond 1e18) are out of every bound.

`unfold` lays the windows of a one-dimensional convolution side by side, column c * kernel + i being channel c
of the window's i-th row: followed by `linear` it is the convolution, with the weight [N, C, kernel] read as
[N, C * kernel]. T = (S + 2 padding - kernel) / stride + 1, rounded down.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Op = Literal[
    "embedding",
    "add",
    "layer_norm",
    "linear",
    "activation",
    "attention",
    "mean_pool",
    "first_token",
    "l2_normalize",
    "softmax",
    "unfold",
    "multiply",
    "rms_norm",
    "rope",
    "cached_attention",
    "last_token",
    "next_token",
]
Role = Literal["attention", "embedding", "feed_forward", "head", "vector", "constant"]


@dataclass(frozen=True)
class Input:
    """A graph input. `maximum` is the first value that is out of range; floats have no range (0)."""

    name: str
    shape: tuple[int, ...]
    maximum: int
    dtype: Literal["int32", "float32"] = "int32"


@dataclass(frozen=True)
class Weight:
    """A parameter. `role` is what mixed precision decides by; a `vector` is never quantized.

    A `constant` is a table that the family computes: no parameter, kept in float32.
    """

    name: str
    shape: tuple[int, ...]
    role: Role

    @property
    def parameters(self) -> int:
        """Number of elements; a constant has none that were learnt."""
        if self.role == "constant":
            return 0
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True)
class State:
    """What lives on the device between calls, zeros after a reset.

    Attributes:
        name: as nodes read it.
        shape: any.
        dtype: `float` is the engine's type of activations; `int32` holds tokens and lengths.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float", "int32"] = "float"


@dataclass(frozen=True)
class Node:
    """One operator. `inputs` are graph inputs, outputs of earlier nodes, or states.

    `updates` are the states among `inputs` that it writes in place.
    """

    op: Op
    name: str
    inputs: tuple[str, ...]
    output: str
    shape: tuple[int, int]
    weights: tuple[str, ...] = ()
    attrs: Mapping[str, int | float | str] = field(default_factory=dict)
    updates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """One entry of a program at one batch size and sequence length. Nodes stand in execution order."""

    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    def check(self, weights: Collection[str], states: Collection[str] = ()) -> None:
        """Raise ValueError unless each name is defined once and before its use.

        Args:
            weights: names of the program's weights.
            states: names of its states.
        """
        known = {item.name for item in self.inputs} | set(states)
        if len(known) != len(self.inputs) + len(states):
            raise ValueError("an input stands twice or has the name of a state")
        for node in self.nodes:
            for name in node.inputs:
                if name not in known:
                    raise ValueError(f"{node.name}: input {name} is not defined before it")
            for name in node.weights:
                if name not in weights:
                    raise ValueError(f"{node.name}: weight {name} is not declared")
            for name in node.updates:
                if name not in states or name not in node.inputs:
                    raise ValueError(f"{node.name}: it updates {name}, which is no state that it reads")
            if node.output in known:
                raise ValueError(f"{node.name}: {node.output} is defined twice")
            known.add(node.output)
        for name in self.outputs:
            if name not in known or name in states:
                raise ValueError(f"output {name} is not defined")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Graph:
        """Read what `dataclasses.asdict` gave."""
        return cls(
            inputs=tuple(
                Input(i["name"], tuple(i["shape"]), i["maximum"], i["dtype"]) for i in data["inputs"]
            ),
            nodes=tuple(
                Node(
                    n["op"],
                    n["name"],
                    tuple(n["inputs"]),
                    n["output"],
                    (n["shape"][0], n["shape"][1]),
                    tuple(n["weights"]),
                    n["attrs"],
                    tuple(n["updates"]),
                )
                for n in data["nodes"]
            ),
            outputs=tuple(data["outputs"]),
        )
