"""Recipes: which matrix is stored how.

Bits, mixed precision, scheme and groups of a request all come down to a recipe; whatever decides layer by
layer makes one of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from bench.models.graph import Weight
from bench.plan.request import Request, Scheme

Zero = Literal["middle", "integer"]

LEAST_SQUARES = "least-squares"  # see `bench.quantize.methods`
CRITICAL = ("attention", "embedding")  # what mixed precision protects
CRITICAL_BITS = 8
_ZEROS: Mapping[Scheme, Zero] = {"symmetric": "middle", "asymmetric": "integer"}
_SCHEMES: Mapping[Zero, Scheme] = {zero: scheme for scheme, zero in _ZEROS.items()}  # the other way


@dataclass(frozen=True)
class Format:
    """How one matrix is stored.

    Attributes:
        bits: of a code; 16 are half floats.
        group_size: weights that share a scale, along K; None for half floats.
        zero: the zero point of a group: `middle` of the codes and not stored, or an `integer` of its own;
            None for half floats.
    """

    bits: int
    group_size: int | None = None
    zero: Zero | None = None

    @property
    def scheme(self) -> Scheme | None:
        """`symmetric` or `asymmetric`; None for half floats."""
        return None if self.zero is None else _SCHEMES[self.zero]

    @property
    def step(self) -> int:
        """Rows are padded to whole multiples of it: a group, or a word of half floats."""
        return 2 if self.group_size is None else self.group_size


@dataclass(frozen=True)
class Recipe:
    """The formats of a model's matrices.

    Attributes:
        method: how codes and scales are found.
        default: of every matrix without a word of its own.
        overrides: matrix -> its format.
    """

    method: str
    default: Format
    overrides: Mapping[str, Format] = field(default_factory=dict)

    def of(self, weight: Weight) -> Format:
        """The format of a matrix."""
        return self.overrides.get(weight.name, self.default)

    def formats(self, weights: Iterable[Weight]) -> dict[str, Format]:
        """Matrix -> its format; vectors (always float16) and constants (float32) are not in it."""
        return {weight.name: self.of(weight) for weight in matrices(weights)}


def matrices(weights: Iterable[Weight]) -> tuple[Weight, ...]:
    """The weights that quantization concerns: all but vectors and computed tables."""
    return tuple(weight for weight in weights if weight.role not in ("vector", "constant"))


def uniform(bits: int, group_size: int = 32, scheme: Scheme = "symmetric") -> Recipe:
    """The same for every matrix."""
    return Recipe(LEAST_SQUARES, _format(bits, group_size, scheme))


def mixed(weights: Iterable[Weight], bits: int, group_size: int = 32, scheme: Scheme = "symmetric") -> Recipe:
    """8 bits for attention projections and embedding tables, `bits` for the rest.

    At 16 and 8 bits there is nothing to raise, so it is the uniform recipe.
    """
    recipe = uniform(bits, group_size, scheme)
    raised = _format(max(bits, CRITICAL_BITS), group_size, scheme)
    if raised == recipe.default:
        return recipe
    critical = [weight.name for weight in matrices(weights) if weight.role in CRITICAL]
    return Recipe(recipe.method, recipe.default, dict.fromkeys(critical, raised))


def planned(
    weights: Iterable[Weight], bits: int, *, raised: bool, group_size: int = 32, scheme: Scheme = "symmetric"
) -> Recipe:
    """The mixed recipe where critical matrices are to be `raised`, else the uniform one."""
    if raised:
        return mixed(weights, bits, group_size, scheme)
    return uniform(bits, group_size, scheme)


def recipe_of(request: Request, weights: Iterable[Weight], bits: int | None = None) -> Recipe:
    """The recipe that a request comes down to, at its own bits or at others."""
    return planned(
        weights,
        request.bits if bits is None else bits,
        raised=request.mixed_precision,
        group_size=request.group_size,
        scheme=request.scheme,
    )


def by_row(recipe: Recipe, weights: Iterable[Weight]) -> Recipe:
    """The same with one scale for a whole row of each matrix, in place of groups.

    A row is padded to whole words of every precision: to a multiple of 32.
    """
    rows = {
        weight.name: replace(how, group_size=-(-weight.shape[1] // 32) * 32)
        for weight in matrices(weights)
        if (how := recipe.of(weight)).group_size is not None
    }
    return Recipe(recipe.method, recipe.default, rows)


def bits_mean(weights: Iterable[Weight], recipe: Recipe) -> float:
    """Mean bits over the matrices, weighted by parameters; scales and zero points are not counted.

    Raises:
        ValueError: there is no matrix.
    """
    counted = [(weight.parameters, recipe.of(weight).bits) for weight in matrices(weights)]
    if not counted:
        raise ValueError("a mean of bits needs a matrix, and there is none")
    return sum(parameters * bits for parameters, bits in counted) / sum(p for p, _ in counted)


def _format(bits: int, group_size: int, scheme: Scheme) -> Format:
    return Format(bits) if bits == 16 else Format(bits, group_size, _ZEROS[scheme])
