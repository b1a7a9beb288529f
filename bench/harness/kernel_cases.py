"""One operator at one precision, ready for a page: its files, and what must come out of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from bench.bundle.weights import quantization
from bench.export.onnx_operators import write
from bench.export.onnx_weights import Activations, NotInOnnx
from bench.models.graph import Weight
from bench.models.operators import Operator
from bench.plan.request import Scheme
from bench.quantize import formats
from bench.quantize.packing import to_f16
from bench.quantize.recipe import Format, planned
from bench.reference.execute import OPERATORS

F64 = NDArray[np.float64]
_DRAWN = 64  # rows of a matrix that are drawn; a larger one repeats them, for speed
_MOST_COPIES = 32


@dataclass(frozen=True)
class Case:
    """An operator at some bits; `group_size` and `scheme` are of its matrix below 16 bits."""

    operator: Operator
    bits: int
    group_size: int
    scheme: Scheme

    @property
    def label(self) -> str:
        """`matmul 512x4096x4096 4-bit`."""
        return f"{self.operator.name} {self.bits}-bit" if self.operator.packed else self.operator.name

    def copies(self, spread: float) -> int:
        """Copies that hold `spread` MiB together, at least two."""
        each = self.operator.bytes_of(self.bits)
        return max(2, min(_MOST_COPIES, math.ceil(spread * 2**20 / each)))


@dataclass
class Prepared:
    """A case's files.

    Attributes:
        files: name under the run's `bundle/` -> file.
        task: what the page is told of it.
        expected: output [rows, columns] in float64; every copy gives the same.
        bytes: of its matrix as packed, one copy.
        bytes_fp16: of its matrix at 16 bits.
        refused: accuracy level -> why onnxruntime has no form for it.
    """

    files: dict[str, Path]
    task: dict[str, Any]
    expected: F64
    bytes: int
    bytes_fp16: int
    refused: dict[int, str] = field(default_factory=dict)


def prepare(
    case: Case, copies: int, activations: Activations, levels: Sequence[int], folder: Path
) -> Prepared:
    """Draw weights and inputs, pack them, write the files of every engine into a folder.

    Args:
        case: which operator.
        copies: of it.
        activations: of the device; inputs are rounded to halves where those are.
        levels: accuracy levels that onnxruntime is measured at; none where it is not.
        folder: empty.
    """
    operator = case.operator
    rng = np.random.default_rng([*operator.sizes, case.bits])
    one, program = operator.program(1), operator.program(copies)
    tensors, table, values = _weights(case, one.weights, rng)
    given = _inputs(operator, activations, rng)
    save_file(tensors, folder / "weights.safetensors")
    save_file(
        {name: np.ascontiguousarray(array) for name, array in given.items()}, folder / "inputs.safetensors"
    )
    described = {**program.to_json(), "quantization": _repeated(table, copies)}
    (folder / "program.json").write_text(json.dumps(described), encoding="utf-8")
    prepared = Prepared(
        {name: folder / name for name in ("weights.safetensors", "inputs.safetensors", "program.json")},
        {"copies": copies, "rows": operator.rows, "columns": operator.columns, "models": {}, **_first(given)},
        _expected(operator, given, values),
        sum(array.nbytes for name, array in tensors.items() if name.startswith("W.")),
        2 * operator.weight_elements if operator.packed else 0,
    )
    for level in levels:
        try:
            made = write(operator, copies, table, tensors, activations, level)
        except NotInOnnx as error:
            prepared.refused[level] = str(error)
            continue
        names = f"model.{level}.onnx", f"external.{level}.onnx"
        for name, data in zip(names, (made.model, made.weights), strict=True):
            (folder / name).write_bytes(data)
            prepared.files[name] = folder / name
        prepared.task["models"][str(level)] = {
            "model": names[0],
            "weights": names[1],
            "channels_first": made.channels_first,
        }
    return prepared


def _weights(
    case: Case, weights: Sequence[Weight], rng: np.random.Generator
) -> tuple[dict[str, NDArray[Any]], dict[str, dict[str, Any]], dict[str, F64]]:
    """The packed tensors of one copy and their table, by names without its number; the values in float64."""
    tensors: dict[str, NDArray[Any]] = {}
    values: dict[str, F64] = {}
    matrices = {weight.name: weight for weight in weights if weight.role != "vector"}
    recipe = planned(
        tuple(matrices.values()), case.bits, raised=False, group_size=case.group_size, scheme=case.scheme
    )
    for weight in weights:
        name = weight.name.partition(".")[0]
        if weight.role == "vector":
            tensors[name] = to_f16(rng.normal(1.0 if name == "gamma" else 0.0, 0.1, weight.shape))
            values[name] = tensors[name].astype(np.float64)
            continue
        how = recipe.formats([weight])[weight.name]
        parts, known, exponent = _matrix(weight, how, recipe.method, rng)
        assert exponent == 0, "values near 1 need no power of two"
        tensors |= {f"{name}.{part}": stored for part, stored in parts.items()}
        values[name] = known
    table = quantization(matrices.values(), recipe)
    return tensors, {name.partition(".")[0]: how for name, how in table.items()}, values


def _matrix(
    weight: Weight, how: Format, method: str, rng: np.random.Generator
) -> tuple[dict[str, NDArray[Any]], F64, int]:
    rows, columns = weight.shape
    drawn = rng.normal(0, 1, (min(rows, _DRAWN), columns)).astype(np.float32) / np.float32(columns**0.5)
    stored, exponent = formats.store(drawn, how, method)
    restored = formats.restore(stored, how, columns, exponent).astype(np.float64)
    times = -(-rows // len(drawn))
    parts = {
        name: np.ascontiguousarray(np.tile(part, (times, *(1 for _ in part.shape[1:])))[:rows])
        for name, part in stored.items()
    }
    return parts, np.tile(restored, (times, 1))[:rows], exponent


def _inputs(
    operator: Operator, activations: Activations, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Inputs and caches of one copy, by names without its number."""
    found: dict[str, NDArray[Any]] = {}
    program = operator.program(1)
    for item in program.main.inputs:
        name = item.name.partition(".")[0]
        if item.dtype == "int32":
            found[name] = rng.integers(0, item.maximum, item.shape, dtype=np.int32)
        else:
            found[name] = _rounded(rng.normal(0, 1, item.shape), activations)
    for state in program.states:
        if state.name == "length":
            found["length"] = np.array([operator.named["LENGTH"] - 1], np.int32)
        else:
            found[state.name.partition(".")[0]] = _rounded(rng.normal(0, 1, state.shape), activations)
    return found


def _rounded(values: F64, activations: Activations) -> NDArray[np.float32]:
    kind: Any = np.float16 if activations == "f16" else np.float32
    return values.astype(kind).astype(np.float32)


def _first(given: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Rows of the first input, by which a page turns it."""
    return {"input_rows": next(iter(given.values())).shape[0]}


def _repeated(table: Mapping[str, Any], copies: int) -> dict[str, Any]:
    return {f"{name}.{copy}": how for name, how in table.items() for copy in range(copies)}


def _expected(operator: Operator, given: Mapping[str, NDArray[Any]], weights: Mapping[str, F64]) -> F64:
    """The output in float64: the reference's own operators, fed with that."""
    values: dict[str, NDArray[Any]] = {
        f"{name}.0" if name != "length" else name: array
        if np.issubdtype(array.dtype, np.integer)
        else array.astype(np.float64)
        for name, array in given.items()
    }
    for node in operator.program(1).main.nodes:
        inputs: list[Any] = [values[name] for name in node.inputs]
        params: list[Any] = [weights[name.partition(".")[0]] for name in node.weights]
        values[node.output] = OPERATORS[node.op](node, inputs, params)
    return values["y.0"].astype(np.float64)
