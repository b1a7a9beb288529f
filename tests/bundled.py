"""A bundle by the bits that a request names, and its packed weights in memory."""

from bench.bundle import make
from bench.bundle.weights import pack_weight
from bench.quantize.recipe import planned


def bundled(source, *, bits, mixed=False, group_size=32, scheme="symmetric", **how):
    """`make` with the recipe of a request."""
    weights = source.program(1, 1).weights
    return make(source, planned(weights, bits, raised=mixed, group_size=group_size, scheme=scheme), **how)


def pack_weights(source, weights, recipe):
    """The tensors of a `weights.safetensors`, and the exponents that are not 0."""
    tensors, exponents = {}, {}
    for weight in weights:
        stored, exponent = pack_weight(source, weight, recipe)
        tensors |= stored
        if exponent:
            exponents[weight.name] = exponent
    return tensors, exponents
