"""Program + weights + recipe -> what a page loads, cached by the hash of everything that determines it.

Under the cache's `bundles/` stand three kinds of folders, each written to a temporary name and renamed
whole, so that two processes may make the same bundle at once:

- `weights-KEY/weights.safetensors`: for a quantized matrix W `W.codes` uint32 [N, Kp * bits / 32], `W.scales`
  float16 [N, G], for the asymmetric scheme `W.zeros` uint32 [N, ceil(G * bits / 32)]; for a 16-bit matrix
  `W.codes` uint32 [N, ceil(K / 2)], two halves a word; for a vector `W` float16. Its metadata `exponents` is
  a JSON object: matrix -> exponent of the power of two that all its values are multiplied with, where it is
  not 0. No batch or sequence in it.
- `shape-KEY/program.json, inputs.safetensors, reference.safetensors`: one batch size and sequence length.
- `fp32-KEY/outputs.safetensors`: what the unquantized model gives, shared by all precisions.

A model is verified by calls in an order (`bench.models.program.Call`), for each of some input sets from a
reset on. Call c of set s is known as `s`, or `s+c` after the first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from bench.bundle.cache import bundles_root, cached, prune
from bench.bundle.calls import INPUT_SETS, Held, answers, labelled, written
from bench.bundle.weights import F32, Lazy, PackedWeights, Tensors, data_bytes, quantization, write_weights
from bench.models.catalog import ModelSource
from bench.models.fetch import Progress
from bench.models.files import file_sha256
from bench.models.program import Call, Program
from bench.quantize.recipe import LEAST_SQUARES, Recipe, bits_mean

FORMAT = "webquant.bundle/2"  # part of every key: another quantizer, reference or layout is another format
_WEIGHTS, _OUTPUTS = "weights.safetensors", "outputs.safetensors"
_WRITTEN = "written"
__all__ = ["INPUT_SETS", "Bundle", "Verified", "beside", "make", "prune"]


@dataclass(frozen=True)
class Verified:
    """One call whose answer is verified.

    Attributes:
        label: `SET`, or `SET+CALL` after the first call of a set.
        entry: the graph that runs.
        first: whether the states are reset before it.
        forced: states that are given the unquantized model's values before it.
        verified: whether its answer is held to the reference.
    """

    label: str
    entry: str
    first: bool
    forced: tuple[str, ...]
    verified: bool = True


@dataclass(frozen=True)
class Bundle:
    """What a page loads for one model, recipe and shape.

    Attributes:
        key: hash of everything that determines the bundle.
        program: the program, as in `program_path`.
        recipe: the formats of its matrices.
        calls: what is verified, in order.
        program_path: `program.json`: the program and `quantization`, weight name -> bits, group_size, scheme,
            k, kp, exponent.
        weights_path: `weights.safetensors`.
        inputs_path: `inputs.safetensors`: `LABEL.input_ids` int32 [B, T] or float32 features, and
            `LABEL.=NAME` for a forced state.
        reference_path: `reference.safetensors`: `LABEL.last_hidden_state`, ... from the same quantized
            weights and `fp32.LABEL.last_hidden_state`, ... from the unquantized ones, float32.
        weight_bytes: bytes of all tensors the page uploads.
        weight_bytes_fp16: two bytes a parameter.
        bits_mean: parameter-weighted mean bits of the matrices.
        parameters: of the program.
    """

    key: str
    program: Program
    recipe: Recipe
    calls: tuple[Verified, ...]
    program_path: Path
    weights_path: Path
    inputs_path: Path
    reference_path: Path
    weight_bytes: int
    weight_bytes_fp16: int
    bits_mean: float
    parameters: int

    @property
    def memory_reduction(self) -> float:
        """Share of the FP16 size that is saved; scales, zero points and vectors are counted."""
        return 1 - self.weight_bytes / self.weight_bytes_fp16

    def inputs(self) -> dict[str, Tensors]:
        """The inputs of each call by its label, in the program's shapes and types."""
        return self._of_calls(load_file(self.inputs_path), "")

    def reference(self) -> dict[str, Tensors]:
        """Outputs of each call by its label, float32, from the same quantized weights."""
        return self._of_calls(load_file(self.reference_path), "")

    def fp32(self) -> dict[str, Tensors]:
        """Outputs of each call by its label, float32, from the unquantized weights."""
        return self._of_calls(load_file(self.reference_path), "fp32.")

    def written(self, prefix: str = "") -> Tensors:
        """What the model writes by itself, as `bench.bundle.calls.written` gives it; empty for other models.

        Args:
            prefix: `fp32.` for what the unquantized model writes.
        """
        start = f"{prefix}{_WRITTEN}."
        return {
            name.removeprefix(start): value
            for name, value in load_file(self.reference_path).items()
            if name.startswith(start)
        }

    def _of_calls(self, tensors: Tensors, prefix: str) -> dict[str, Tensors]:
        found: dict[str, Tensors] = {}
        for call in self.calls:
            start = f"{prefix}{call.label}."
            found[call.label] = {
                name.removeprefix(start): value
                for name, value in tensors.items()
                if name.startswith(start) and not name.startswith(f"{start}=")
            }
        return found


def make(
    source: ModelSource,
    recipe: Recipe,
    *,
    batch: int = 1,
    sequence: int = 128,
    generate: int | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Make a bundle, or find it in the cache. A new one may push out the least recently used (see `prune`).

    Args:
        source: the model.
        recipe: which matrix is stored how.
        batch: sentences.
        sequence: tokens a sentence.
        generate: tokens that a language model writes; its default where None.
        cache: root of the cache; `cache_root()` by default.
        progress: told in a few words what takes time.

    Raises:
        InputError: config, weights and shape contradict each other, or a weight is not finite.
    """
    root = bundles_root(cache)
    program = source.program(batch, sequence, generate)
    sets = [source.calls(program, batch, seed) for seed in range(INPUT_SETS)]
    work = _Work(source, recipe, program, sets, batch, sequence, progress or (lambda _: None))
    method = [] if recipe.method == LEAST_SQUARES else [recipe.method]
    described = [[w.name, w.shape, w.role] for w in program.weights]
    weights_key = _hash(source.sha256, described, work.table, *method)
    text_key = _hash(source.sha256, program.to_json(), [file_sha256(file) for file in source.input_files])
    key = _hash(weights_key, text_key)

    weights = cached(root / f"weights-{weights_key}", work.write_weights) / _WEIGHTS

    def write_shape(folder: Path) -> None:
        work.write_shape(folder, weights, cached(root / f"fp32-{text_key}", work.write_fp32) / _OUTPUTS)

    is_new = not (root / f"shape-{key}").is_dir()
    shape = cached(root / f"shape-{key}", write_shape)
    if is_new:
        prune(cache=root.parent)
    return Bundle(
        key=key,
        program=program,
        recipe=recipe,
        calls=tuple(
            Verified(n, call.entry, "+" not in n, call.forced, call.verified) for n, call in labelled(sets)
        ),
        program_path=shape / "program.json",
        weights_path=weights,
        inputs_path=shape / "inputs.safetensors",
        reference_path=shape / "reference.safetensors",
        weight_bytes=data_bytes(weights, program.weights),
        weight_bytes_fp16=2 * program.parameters,
        bits_mean=bits_mean(program.weights, recipe),
        parameters=program.parameters,
    )


def beside(bundle: Bundle, kind: str, write: Callable[[Path], None]) -> Path:
    """A folder that an engine makes of a bundle, kept and pruned with the bundles; `write` fills it once."""
    return cached(bundle.program_path.parent.parent / f"{kind}-{bundle.key}", write)


@dataclass(frozen=True)
class _Work:
    """What is written of one bundle, each into a folder of its own."""

    source: ModelSource
    recipe: Recipe
    program: Program
    sets: list[list[Call]]
    batch: int
    sequence: int
    say: Progress

    @property
    def table(self) -> dict[str, dict[str, Any]]:
        return quantization(self.program.weights, self.recipe)

    def answers(self, weights: Mapping[str, F32], forced: Tensors | None = None) -> Tensors:
        held = Held(weights, self.program)
        found = answers(self.source, self.program, held, self.sets, self.batch, self.sequence, forced)
        own = written(self.program, held, self.sets)
        return {**found, **{f"{_WRITTEN}.{name}": value for name, value in own.items()}}

    def write_weights(self, folder: Path) -> None:
        self.say(f"quantizing {self.source.name} to {self.recipe.default.bits} bits")
        write_weights(self.source, self.program.weights, self.recipe, folder / _WEIGHTS)

    def write_fp32(self, folder: Path) -> None:
        self.say(f"running {self.source.name} unquantized in NumPy")
        shapes = {weight.name: weight.shape for weight in self.program.weights}
        lazy = Lazy(lambda name: self.source.load(name).reshape(shapes[name]))
        save_file(self.answers(lazy), folder / _OUTPUTS)

    def write_shape(self, folder: Path, weights: Path, fp32: Path) -> None:
        truth = load_file(fp32)
        forced = {name: value for name, value in truth.items() if ".=" in name}
        self.say(f"running {self.source.name} at {self.recipe.default.bits} bits in NumPy")
        with PackedWeights(weights, self.program.weights, self.recipe) as packed:
            outputs = self.answers(packed, forced)
            exponents = packed.exponents
        stored = {name: {**how, "exponent": exponents.get(name, 0)} for name, how in self.table.items()}
        described = {**self.program.to_json(), "quantization": stored}
        (folder / "program.json").write_text(json.dumps(described), encoding="utf-8")
        inputs = {
            f"{label}.{name}": np.ascontiguousarray(value)
            for label, call in labelled(self.sets)
            for name, value in call.inputs.items()
        }
        save_file({**inputs, **forced}, folder / "inputs.safetensors")
        reference = {name: value for name, value in outputs.items() if name not in forced}
        reference.update({f"fp32.{name}": value for name, value in truth.items() if name not in forced})
        save_file(reference, folder / "reference.safetensors")


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([FORMAT, *parts], sort_keys=True).encode()).hexdigest()[:32]
