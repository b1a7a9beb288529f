"""Graph + weights + policy -> what a page loads, cached by the hash of everything that determines it.

Under the cache's `bundles/` stand three kinds of folders, each written to a temporary name and renamed
whole, so that two processes may make the same bundle at once:

- `weights-KEY/weights.safetensors`: for a quantized matrix W `W.codes` uint32 [N, Kp * bits / 32], `W.scales`
  float16 [N, G], for the asymmetric scheme `W.zeros` uint32 [N, ceil(G * bits / 32)]; for a 16-bit matrix
  `W.codes` uint32 [N, ceil(K / 2)], two halves a word; for a vector `W` float16. Its metadata `exponents` is
  a JSON object: matrix -> exponent of the power of two that all its values are multiplied with, where it is
  not 0. No batch or sequence in it.
- `shape-KEY/graph.json, inputs.safetensors, reference.safetensors`: one batch size and sequence length.
- `fp32-KEY/outputs.safetensors`: the unquantized model's outputs, shared by all precisions.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from bench.errors import InputError
from bench.models.catalog import ModelSource
from bench.models.fetch import Progress
from bench.models.files import file_sha256
from bench.models.graph import Graph
from bench.models.speech import CLIP, WORDS
from bench.plan.request import Scheme
from bench.quantize.methods import Quantized, dequantize, quantize
from bench.quantize.packing import f16_exponent, pack, pack_f16, to_f16, unpack, unpack_f16
from bench.quantize.policy import bits_mean, matrices, plan_bits
from bench.reference.execute import run
from bench.settings import cache_root

FORMAT = "webquant.bundle/2"  # part of every key: another quantizer, reference or layout is another format
INPUT_SETS = 2
MAX_BYTES = 8 << 30
_FRESH_SECONDS = 3600.0  # a folder used so recently may be another process's
_JOINT_ROWS = 4096  # up to so many rows both input sets run as one batch, so weights are unpacked once

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Bundle:
    """What a page loads for one model, policy and shape.

    Attributes:
        key: hash of everything that determines the bundle.
        graph: the graph, as in `graph_path`.
        graph_path: `graph.json`: the graph and `quantization`, weight name -> bits, group_size, scheme, k,
            kp, exponent.
        weights_path: `weights.safetensors`.
        inputs_path: `inputs.safetensors`: `0.input_ids`, `1.input_ids`, ... int32 [B, T], or
            float32 features.
        reference_path: `reference.safetensors`: `0.last_hidden_state`, ... from the same quantized weights
            and `fp32.0.last_hidden_state`, ... from the unquantized ones, float32.
        weight_bytes: bytes of all tensors the page uploads.
        weight_bytes_fp16: two bytes a parameter.
        bits_mean: parameter-weighted mean bits of the matrices.
        parameters: of the graph.
    """

    key: str
    graph: Graph
    graph_path: Path
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

    def inputs(self) -> list[dict[str, NDArray[Any]]]:
        """The input sets by input name, in the graph's shapes and types."""
        return _split(load_file(self.inputs_path), "")

    def reference(self) -> list[dict[str, NDArray[np.float32]]]:
        """Outputs of each input set from the same quantized weights."""
        return _split(load_file(self.reference_path), "")

    def fp32(self) -> list[dict[str, NDArray[np.float32]]]:
        """Outputs of each input set from the unquantized weights."""
        return _split(load_file(self.reference_path), "fp32.")


def make(
    source: ModelSource,
    *,
    bits: int,
    mixed: bool = False,
    group_size: int = 32,
    scheme: Scheme = "symmetric",
    batch: int = 1,
    sequence: int = 128,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Make a bundle, or find it in the cache. A new one may push out the least recently used (see `prune`).

    Args:
        source: the model.
        bits: 16, 8, 4 or 2, for the matrices.
        mixed: 8 bits for attention and embeddings (see `bench.quantize.policy`).
        group_size: weights a scale, along K.
        scheme: `symmetric` or `asymmetric`.
        batch: sentences.
        sequence: tokens a sentence.
        cache: root of the cache; `cache_root()` by default.
        progress: told in a few words what takes time.

    Raises:
        InputError: config, weights and shape contradict each other, or a weight is not finite.
    """
    say = progress or (lambda _: None)
    root = (cache if cache is not None else cache_root()) / "bundles"
    graph = source.graph(batch, sequence)
    plan = plan_bits(graph, bits, mixed)
    table = _quantization(graph, plan, group_size, scheme)
    weights_key = _hash(source.sha256, [[w.name, w.shape, w.role] for w in graph.weights], table)
    text_key = _hash(source.sha256, graph.to_json(), _speech_digest(source))
    key = _hash(weights_key, text_key)

    def write_weights(folder: Path) -> None:
        say(f"quantizing {source.name} to {bits} bits")
        tensors, exponents = _pack_weights(source, graph, table)
        metadata = {"exponents": json.dumps(exponents)}
        save_file(tensors, folder / "weights.safetensors", metadata=metadata)

    def write_fp32(folder: Path) -> None:
        say(f"running {source.name} unquantized in NumPy")
        lazy = _Lazy(lambda name: source.load(name).reshape(graph.weight(name).shape))
        save_file(_execute(source, graph, lazy, batch, sequence), folder / "outputs.safetensors")

    weights = _cached(root / f"weights-{weights_key}", write_weights) / "weights.safetensors"

    def write_shape(folder: Path) -> None:
        truth = load_file(_cached(root / f"fp32-{text_key}", write_fp32) / "outputs.safetensors")
        say(f"running {source.name} at {bits} bits in NumPy")
        with _PackedWeights(weights, graph, table) as packed:
            outputs = _execute(source, graph, packed, batch, sequence)
            exponents = packed.exponents
        stored = {name: {**how, "exponent": exponents.get(name, 0)} for name, how in table.items()}
        described = {**graph.to_json(), "quantization": stored}
        (folder / "graph.json").write_text(json.dumps(described), encoding="utf-8")
        inputs = _join([source.inputs(graph, batch, seed) for seed in range(INPUT_SETS)])
        save_file(inputs, folder / "inputs.safetensors")
        outputs.update({f"fp32.{name}": value for name, value in truth.items()})
        save_file(outputs, folder / "reference.safetensors")

    is_new = not (root / f"shape-{key}").is_dir()
    shape = _cached(root / f"shape-{key}", write_shape)
    if is_new:
        prune(cache=root.parent)
    return Bundle(
        key=key,
        graph=graph,
        graph_path=shape / "graph.json",
        weights_path=weights,
        inputs_path=shape / "inputs.safetensors",
        reference_path=shape / "reference.safetensors",
        weight_bytes=_data_bytes(weights),
        weight_bytes_fp16=2 * graph.parameters,
        bits_mean=bits_mean(graph, plan),
        parameters=graph.parameters,
    )


def beside(bundle: Bundle, kind: str, write: Callable[[Path], None]) -> Path:
    """A folder that an engine makes of a bundle, kept and pruned with the bundles; `write` fills it once."""
    return _cached(bundle.graph_path.parent.parent / f"{kind}-{bundle.key}", write)


def prune(
    max_bytes: int = MAX_BYTES, cache: Path | None = None, fresh_seconds: float = _FRESH_SECONDS
) -> int:
    """Remove the least recently used bundles until `max_bytes` are left; how many bytes were removed.

    What was used within `fresh_seconds` stays, whatever its size: a page may be loading it.
    """
    root = (cache if cache is not None else cache_root()) / "bundles"
    if not root.is_dir():
        return 0
    found = []
    for folder in root.iterdir():
        try:
            size = sum(file.stat().st_size for file in folder.iterdir())
            found.append((folder.stat().st_mtime, size, folder))
        except OSError:  # another process removes it just now
            continue
    total, removed = sum(size for _, size, _ in found), 0
    for used, size, folder in sorted(found):
        abandoned = folder.name.startswith(".")
        if time.time() - used < fresh_seconds or (total <= max_bytes and not abandoned):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        total, removed = total - size, removed + size
    return removed


# --- weights


def _quantization(
    graph: Graph, plan: Mapping[str, int], group_size: int, scheme: Scheme
) -> dict[str, dict[str, Any]]:
    """How each matrix is stored; `kp` is the padded row length. 16-bit rows have neither group nor scheme."""
    table: dict[str, dict[str, Any]] = {}
    for weight in matrices(graph):
        bits, k = plan[weight.name], weight.shape[1]
        whole = bits == 16
        step = 2 if whole else group_size
        table[weight.name] = {
            "bits": bits,
            "group_size": None if whole else group_size,
            "scheme": None if whole else scheme,
            "k": k,
            "kp": -(-k // step) * step,
        }
    return table


def _pack_weights(
    source: ModelSource, graph: Graph, table: Mapping[str, Mapping[str, Any]]
) -> tuple[Tensors, dict[str, int]]:
    """The tensors of `weights.safetensors`, and the exponents that are not 0."""
    tensors: Tensors = {}
    exponents: dict[str, int] = {}
    for weight in graph.weights:
        name, how = weight.name, table.get(weight.name)
        values = source.load(name).reshape(weight.shape)  # a convolution's has an axis more in the file
        try:
            if how is None:
                tensors[name] = to_f16(values)
            elif how["bits"] == 16:
                exponents[name] = f16_exponent(values)
                tensors[f"{name}.codes"] = pack_f16(np.ldexp(values, -exponents[name]))
            else:
                q = quantize(values, how["bits"], how["group_size"], how["scheme"])
                exponents[name] = q.exponent
                tensors[f"{name}.codes"] = pack(q.codes, q.bits)
                tensors[f"{name}.scales"] = q.scales
                if q.zeros is not None:
                    tensors[f"{name}.zeros"] = pack(q.zeros, q.bits)
        except ValueError as error:
            raise InputError(f"{source.folder or source.name}: tensor {name}: {error}") from error
    return tensors, {name: exponent for name, exponent in exponents.items() if exponent}


class _Lazy(Mapping[str, NDArray[np.float32]]):
    """A mapping that loads each weight when it is looked up, and keeps none."""

    def __init__(self, load: Callable[[str], NDArray[np.float32]]) -> None:
        self._load = load

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self._load(name)

    def __iter__(self) -> Iterator[str]:  # pragma: no cover - a mapping must have it; nothing iterates
        return iter(())

    def __len__(self) -> int:  # pragma: no cover
        return 0


class _PackedWeights(_Lazy):
    """The float32 values of a `weights.safetensors`, exactly as the kernels see them."""

    def __init__(self, path: Path, graph: Graph, table: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(self._unpack)
        self._file: Any = safe_open(str(path), framework="numpy")
        self._table = table

    def __enter__(self) -> _PackedWeights:
        self._stream = self._file.__enter__()
        self.exponents: dict[str, int] = json.loads(self._stream.metadata()["exponents"])
        return self

    def __exit__(self, *details: object) -> None:
        self._file.__exit__(*details)

    def _unpack(self, name: str) -> NDArray[np.float32]:
        how = self._table.get(name)
        if how is None:
            return np.asarray(self._stream.get_tensor(name)).astype(np.float32)
        words = self._stream.get_tensor(f"{name}.codes")
        bits, k, exponent = how["bits"], how["k"], self.exponents.get(name, 0)
        if bits == 16:
            return np.ldexp(unpack_f16(words, k).astype(np.float32), exponent)
        scales = self._stream.get_tensor(f"{name}.scales")
        zeros = None
        if how["scheme"] == "asymmetric":
            zeros = unpack(self._stream.get_tensor(f"{name}.zeros"), bits, scales.shape[1])
        return dequantize(
            Quantized(unpack(words, bits, how["kp"]), scales, zeros, bits, how["group_size"], k, exponent)
        )


def _data_bytes(path: Path) -> int:
    # The format: u64 length of the header, the header, the tensors' bytes without gaps.
    with path.open("rb") as stream:
        return path.stat().st_size - 8 - int.from_bytes(stream.read(8), "little")


# --- inputs and references


def _execute(
    source: ModelSource, graph: Graph, weights: Mapping[str, NDArray[np.float32]], batch: int, sequence: int
) -> Tensors:
    """Outputs for every input set, `0.NAME`, `1.NAME`, ...; float32."""
    sets = [source.inputs(graph, batch, seed) for seed in range(INPUT_SETS)]
    if INPUT_SETS * batch * sequence > _JOINT_ROWS:
        return _join([run(graph, weights, one) for one in sets])
    joint = source.graph(INPUT_SETS * batch, sequence)
    outputs = run(joint, weights, {name: np.concatenate([one[name] for one in sets]) for name in sets[0]})
    parts = {name: np.split(value, INPUT_SETS) for name, value in outputs.items()}
    return _join([{name: part[index] for name, part in parts.items()} for index in range(INPUT_SETS)])


def _join(sets: list[dict[str, Any]]) -> Tensors:
    return {
        f"{index}.{name}": np.ascontiguousarray(value)
        for index, one in enumerate(sets)
        for name, value in one.items()
    }


def _split(tensors: Tensors, prefix: str) -> list[dict[str, Any]]:
    return [
        {
            name.removeprefix(f"{prefix}{index}."): value
            for name, value in tensors.items()
            if name.startswith(f"{prefix}{index}.")
        }
        for index in range(INPUT_SETS)
    ]


# --- cache


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([FORMAT, *parts], sort_keys=True).encode()).hexdigest()[:32]


def _speech_digest(source: ModelSource) -> list[str]:
    """Of what is heard and said; the tokenizer is part of the model's identity."""
    files = [source.root / name for name in (CLIP, WORDS)] if source.root is not None else []
    return [file_sha256(file) for file in files if file.is_file()]


def _cached(folder: Path, write: Callable[[Path], None]) -> Path:
    """`folder`, written by `write` unless it is there; its time of change says when it was last used."""
    try:
        os.utime(folder)
        return folder
    except FileNotFoundError:
        pass
    with _temporary(folder) as work:
        write(work)
        try:
            work.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same bytes
                raise
    return folder


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
