"""A bundle by the bits that a request names."""

from bench.bundle import make
from bench.quantize.recipe import planned


def bundled(source, *, bits, mixed=False, group_size=32, scheme="symmetric", **how):
    """`make` with the recipe of a request."""
    weights = source.program(1, 1).weights
    return make(source, planned(weights, bits, raised=mixed, group_size=group_size, scheme=scheme), **how)
