"""Which matrix gets how many bits."""

from __future__ import annotations

from collections.abc import Mapping

from bench.models.graph import Graph, Weight

CRITICAL = ("attention", "embedding")  # what mixed precision protects
CRITICAL_BITS = 8


def matrices(graph: Graph) -> tuple[Weight, ...]:
    """The weights that quantization concerns: everything but vectors, embedding tables included."""
    return tuple(weight for weight in graph.weights if weight.role != "vector")


def plan_bits(graph: Graph, bits: int, mixed: bool) -> dict[str, int]:
    """Bits of every matrix of the graph, by weight name. Vectors are not in it: they are always float16.

    Uniform: `bits` everywhere. Mixed: 8 for attention projections and embedding tables, `bits` for the rest;
    at 16 and 8 bits there is nothing to raise, so mixed changes nothing.
    """
    plan = {}
    for weight in matrices(graph):
        critical = mixed and weight.role in CRITICAL
        plan[weight.name] = max(bits, CRITICAL_BITS) if critical else bits
    return plan


def bits_mean(graph: Graph, plan: Mapping[str, int]) -> float:
    """Mean bits over the matrices, weighted by parameters; scales and zero points are not counted."""
    total = sum(weight.parameters for weight in matrices(graph))
    if not total:
        raise ValueError(f"graph {graph.name} has no matrix")
    return sum(weight.parameters * plan[weight.name] for weight in matrices(graph)) / total
