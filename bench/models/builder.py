"""What every family's builder shares: weights held against the file, and the nodes that use them."""

from __future__ import annotations

from collections.abc import Mapping

from bench.errors import InputError
from bench.models.graph import Graph, Input, Node, Op, Role, Weight
from bench.models.program import Program, single

Shapes = Mapping[str, tuple[int, ...]]


class Builder:
    """Collects weights and nodes.

    Args:
        tensors: name -> shape of what the weights file holds; None takes every tensor to exist.
        where: the weights file, for error messages.
    """

    def __init__(self, tensors: Shapes | None, where: str) -> None:
        self.tensors = tensors
        self.where = where
        self.weights: dict[str, Weight] = {}
        self.nodes: list[Node] = []
        self._shapes: dict[str, tuple[int, int]] = {}
        self._in_file: dict[str, tuple[int, ...]] = {}

    def program(self, name: str, family: str, inputs: tuple[Input, ...], outputs: tuple[str, ...]) -> Program:
        """What was collected, as a program of one entry, checked."""
        graph = Graph(inputs, tuple(self.nodes), outputs)
        return single(name, family, tuple(self.weights.values()), graph)

    def layout(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every tensor as a checkpoint has it."""
        return {name: self._in_file.get(name, weight.shape) for name, weight in self.weights.items()}

    def node(
        self,
        op: Op,
        name: str,
        inputs: tuple[str, ...],
        shape: tuple[int, int],
        weights: tuple[str, ...] = (),
        attrs: Mapping[str, int | float | str] | None = None,
        *,
        output: str | None = None,
        updates: tuple[str, ...] = (),
    ) -> str:
        """Append an operator; the name of its output."""
        node = Node(op, name, inputs, output or name, shape, weights, dict(attrs or {}), updates)
        self.nodes.append(node)
        self._shapes[node.output] = shape
        return node.output

    def shape_of(self, output: str) -> tuple[int, int]:
        """The shape of an earlier node's output."""
        return self._shapes[output]

    def embedding(self, name: str, ids: str, weight: str, shape: tuple[int, int], rows: int) -> str:
        """`rows` rows of a table [V, H]."""
        table = self.take(weight, shape, "embedding")
        return self.node("embedding", name, (ids,), (rows, shape[1]), (table,))

    def linear(
        self,
        name: str,
        x: str,
        base: str,
        n: int,
        role: Role,
        *,
        bias: bool = True,
        output: str | None = None,
        wide: bool = False,
    ) -> str:
        """x W^T (+ b) with the tensors `base.weight` [n, K] and `base.bias`."""
        rows, k = self.shape_of(x)
        weights = [self.take(f"{base}.weight", (n, k), role)]
        if bias:
            weights.append(self.take(f"{base}.bias", (n,), "vector"))
        attrs = {"wide": 1} if wide else None
        return self.node("linear", name, (x,), (rows, n), tuple(weights), attrs, output=output)

    def norm(self, name: str, x: str, base: str, epsilon: float, output: str | None = None) -> str:
        """Layer normalization with the tensors `base.weight` and `base.bias`, or TensorFlow's old names."""
        rows, hidden = self.shape_of(x)
        old = self.tensors is not None and f"{base}.gamma" in self.tensors
        gamma, beta = ("gamma", "beta") if old else ("weight", "bias")
        weights = tuple(self.take(f"{base}.{part}", (hidden,), "vector") for part in (gamma, beta))
        attrs = {"epsilon": epsilon}
        return self.node("layer_norm", name, (x,), (rows, hidden), weights, attrs, output=output)

    def add(self, name: str, a: str, b: str) -> str:
        """a + b."""
        return self.node("add", name, (a, b), self.shape_of(a))

    def activation(self, name: str, x: str, kind: str, *, output: str | None = None) -> str:
        """An activation of the graph's kinds."""
        return self.node("activation", name, (x,), self.shape_of(x), attrs={"kind": kind}, output=output)

    def constant(self, name: str, shape: tuple[int, ...]) -> str:
        """Declare a table that the family computes."""
        self.weights[name] = Weight(name, shape, "constant")
        return name

    def take(
        self, name: str, shape: tuple[int, ...], role: Role, in_file: tuple[int, ...] | None = None
    ) -> str:
        """Declare a weight after holding the file's shape against the config's.

        Args:
            name: as in the file.
            shape: as the graph reads it.
            role: what mixed precision decides by.
            in_file: the file's shape where it has more axes (a convolution's [N, C, kernel]).

        Raises:
            InputError: the file lacks the tensor or has it in another shape.
        """
        wanted = in_file or shape
        found = wanted if self.tensors is None else self.tensors.get(name)
        if found is None:
            raise InputError(f"{self.where}: tensor {name} of shape {list(wanted)} is missing")
        if tuple(found) != wanted:
            raise InputError(
                f"{self.where}: tensor {name} has shape {list(found)}, "
                f"but config.json asks for {list(wanted)}"
            )
        self.weights[name] = Weight(name, shape, role)
        if in_file:
            self._in_file[name] = in_file
        return name
