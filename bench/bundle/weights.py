"""`weights.safetensors`: a model's weights in the formats that a recipe gives them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from bench.bundle.streamed import Place, StreamedFile
from bench.bundle.workers import Processes, on_all_cores
from bench.errors import InputError
from bench.models.catalog import ModelSource
from bench.models.graph import Weight
from bench.quantize import formats
from bench.quantize.packing import to_f16
from bench.quantize.recipe import Format, Recipe

Tensors = dict[str, NDArray[Any]]
F32 = NDArray[np.float32]
_WORKED = 16  # bytes of a parameter while its matrix is packed: float32 a few times over
_MANY = 1 << 27  # parameters from which on processes pay for their start
_METADATA = 64  # of the metadata, beside the exponents


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


def pack_weight(source: ModelSource, weight: Weight, recipe: Recipe) -> tuple[Tensors, int]:
    """What one weight is stored as: tensors by their names in the file, and its exponent.

    Raises:
        InputError: it is not finite.
    """
    name, how = weight.name, recipe.formats([weight]).get(weight.name)
    values = source.load(name).reshape(weight.shape)  # a convolution's has an axis more in the file
    try:
        if how is None:
            return {name: values if weight.role == "constant" else to_f16(values)}, 0
        parts, exponent = formats.store(values, how, recipe.method)
    except ValueError as error:
        raise InputError(f"{source.folder or source.name}: tensor {name}: {error}") from error
    return {f"{name}.{part}": stored for part, stored in parts.items()}, exponent


def _layout(weight: Weight, recipe: Recipe) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Types and shapes of what `pack_weight` gives."""
    how = recipe.formats([weight]).get(weight.name)
    if how is None:
        return {weight.name: (np.dtype("<f4" if weight.role == "constant" else "<f2"), weight.shape)}
    parts = formats.layout(weight.shape[0], weight.shape[1], how, recipe.method)
    return {f"{weight.name}.{part}": described for part, described in parts.items()}


def _write_weight(shared: tuple[ModelSource, Recipe, Place], weight: Weight) -> int:
    """Pack one weight into its place in the file; its exponent."""
    source, recipe, place = shared
    tensors, exponent = pack_weight(source, weight, recipe)
    for name, stored in tensors.items():
        place.write(name, stored)
    return exponent


def write_weights(
    source: ModelSource,
    weights: Iterable[Weight],
    recipe: Recipe,
    path: Path,
    processes: bool | None = None,
) -> None:
    """Write `weights.safetensors`, a tensor on each core at a time: no whole model is ever in memory.

    Args:
        source: the model.
        weights: all that the file is to hold.
        recipe: which matrix is stored how.
        path: the file; made anew.
        processes: whether each core gets a process instead of a thread; by default where that pays.

    Raises:
        InputError: a weight is not finite.
    """
    weights = tuple(weights)
    layout = {name: what for weight in weights for name, what in _layout(weight, recipe).items()}
    exponents: dict[str, int] = {}
    if processes is None:
        processes = sum(math.prod(one.shape) for one in weights) >= _MANY

    names = [weight.name for weight in weights]
    # Quoted once more within the metadata, so that each quotation mark takes two bytes.
    room = sum(len(json.dumps(json.dumps({name: -120}))) for name in names) + _METADATA
    with StreamedFile(path, layout, room) as file, ExitStack() as opened:
        shared = (source, recipe, file.place)
        write: Callable[[Weight], int] = partial(_write_weight, shared)
        if processes:
            write = opened.enter_context(Processes(_write_weight, shared))

        def pack(weight: Weight) -> None:
            exponent = write(weight)
            file.written(_layout(weight, recipe))
            if exponent:
                exponents[weight.name] = exponent

        on_all_cores([(weight, _WORKED * math.prod(weight.shape)) for weight in weights], pack)
        told = {name: exponents[name] for name in names if name in exponents}
        file.metadata["exponents"] = json.dumps(told)


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
