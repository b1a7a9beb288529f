"""`weights.safetensors`: a model's weights in the formats that a recipe gives them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from bench.errors import InputError
from bench.models.catalog import ModelSource
from bench.models.graph import Weight
from bench.quantize import formats
from bench.quantize.packing import to_f16
from bench.quantize.recipe import Format, Recipe

Tensors = dict[str, NDArray[Any]]
F32 = NDArray[np.float32]


def quantization(weights: Iterable[Weight], recipe: Recipe) -> dict[str, dict[str, Any]]:
    """How each matrix is stored, as a page reads it: bits, group_size, scheme, k and the padded kp."""
    shapes = {weight.name: weight.shape for weight in weights}
    return {name: _described(how, shapes[name][1]) for name, how in recipe.formats(weights).items()}


def _described(how: Format, k: int) -> dict[str, Any]:
    return {
        "bits": how.bits,
        "group_size": how.group_size,
        "scheme": how.scheme,
        "k": k,
        "kp": -(-k // how.step) * how.step,
    }


def pack_weights(
    source: ModelSource, weights: Iterable[Weight], recipe: Recipe
) -> tuple[Tensors, dict[str, int]]:
    """The tensors of `weights.safetensors`, and the exponents that are not 0.

    Raises:
        InputError: a weight is not finite.
    """
    weights = tuple(weights)
    tensors: Tensors = {}
    exponents: dict[str, int] = {}
    table = recipe.formats(weights)
    for weight in weights:
        name = weight.name
        values = source.load(name).reshape(weight.shape)  # a convolution's has an axis more in the file
        try:
            if name not in table:
                tensors[name] = values if weight.role == "constant" else to_f16(values)
                continue
            parts, exponent = formats.store(values, table[name], recipe.method)
        except ValueError as error:
            raise InputError(f"{source.folder or source.name}: tensor {name}: {error}") from error
        tensors.update({f"{name}.{part}": stored for part, stored in parts.items()})
        if exponent:
            exponents[name] = exponent
    return tensors, exponents


class Lazy(Mapping[str, F32]):
    """A mapping that loads each weight when it is looked up, and keeps none."""

    def __init__(self, load: Callable[[str], F32]) -> None:
        self._load = load

    def __getitem__(self, name: str) -> F32:
        return self._load(name)

    def __iter__(self) -> Iterator[str]:  # pragma: no cover - a mapping must have it; nothing iterates
        return iter(())

    def __len__(self) -> int:  # pragma: no cover
        return 0


class PackedWeights(Lazy):
    """The float32 values of a `weights.safetensors`, exactly as the kernels see them."""

    def __init__(self, path: Path, weights: Iterable[Weight], recipe: Recipe) -> None:
        super().__init__(self._unpack)
        weights = tuple(weights)
        self._file: Any = safe_open(str(path), framework="numpy")
        self._table = recipe.formats(weights)
        self._columns = {weight.name: weight.shape[-1] for weight in weights}

    def __enter__(self) -> PackedWeights:
        self._stream = self._file.__enter__()
        self._names = set(self._stream.keys())
        self.exponents: dict[str, int] = json.loads(self._stream.metadata()["exponents"])
        return self

    def __exit__(self, *details: object) -> None:
        self._file.__exit__(*details)

    def _unpack(self, name: str) -> F32:
        how = self._table.get(name)
        if how is None:
            return np.asarray(self._stream.get_tensor(name)).astype(np.float32)
        names = [one for one in self._names if one.rpartition(".")[0] == name]
        parts = {one.rpartition(".")[2]: self._stream.get_tensor(one) for one in names}
        return formats.restore(parts, how, self._columns[name], self.exponents.get(name, 0))


def data_bytes(path: Path, weights: Iterable[Weight]) -> int:
    """Bytes of all tensors of a file, but for the computed tables of `weights`, which no model stores."""
    # The format: u64 length of the header, the header, the tensors' bytes without gaps.
    with path.open("rb") as stream:
        whole = path.stat().st_size - 8 - int.from_bytes(stream.read(8), "little")
    return whole - sum(4 * math.prod(weight.shape) for weight in weights if weight.role == "constant")
