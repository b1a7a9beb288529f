"""A bundle by the bits that a request names."""

from bench.bundle import make
from bench.quantize.recipe import mixed as raised
from bench.quantize.recipe import uniform


def recipe(source, bits, *, mixed=False, group_size=32, scheme="symmetric"):
    """What a request of that kind comes down to."""
    if mixed:
        return raised(source.program(1, 1).weights, bits, group_size, scheme)
    return uniform(bits, group_size, scheme)


def bundled(source, *, bits, mixed=False, group_size=32, scheme="symmetric", **how):
    """`make` with the recipe of a request."""
    return make(source, recipe(source, bits, mixed=mixed, group_size=group_size, scheme=scheme), **how)
