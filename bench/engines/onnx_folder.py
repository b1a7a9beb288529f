"""A folder with a model in ONNX, as transformers.js and its like load one: `onnx/`, config and tokenizer."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from safetensors.numpy import load_file

from bench.bundle import make
from bench.errors import InputError
from bench.export.onnx_graph import to_onnx
from bench.export.onnx_nodes import Form
from bench.export.onnx_weights import NotInOnnx
from bench.models.bert_config import KINDS
from bench.models.catalog import ModelSource
from bench.plan.request import Scheme
from bench.quantize.recipe import planned

# Bits -> the name that transformers.js gives the type, and what it appends to `model`.
DTYPES = {16: ("fp16", "_fp16"), 8: ("q8", "_quantized"), 4: ("q4", "_q4"), 2: ("q2", "_q2")}
_LENGTH = 8  # of the program that is written with free shapes; any would do


def check_folder(folder: Path) -> None:
    """Raise InputError where the folder cannot be written, or holds anything."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output {folder}: is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"--output {folder}: is not empty; name a new folder")


def write_folder(
    source: ModelSource,
    folder: Path,
    *,
    bits: int,
    mixed: bool = False,
    group_size: int = 32,
    scheme: Scheme = "symmetric",
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Write the folder, whole or not at all; the path of its .onnx file.

    16 bits compute in float16, the others in float32. Inputs are int64, outputs float32; batch and length are
    free.

    Raises:
        InputError: the folder is not empty, the model has no weights of its own, or ONNX cannot say it.
    """
    check_folder(folder)
    _check_source(source)
    length = min(_LENGTH, _most(source))
    weights = source.program(1, 1).weights
    recipe = planned(weights, bits, raised=mixed, group_size=group_size, scheme=scheme)
    bundle = make(source, recipe, batch=1, sequence=length, progress=progress)
    table = json.loads(bundle.program_path.read_text(encoding="utf-8"))["quantization"]
    form = Form(
        activations="f16" if bits == 16 else "f32",
        dynamic=True,
        ids="int64",
        float_outputs=True,
        positions=_positions(source),
    )
    made = to_onnx(bundle.program, table, load_file(bundle.weights_path), form)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
            whole = Path(name) / "whole"
            _fill(whole, source, bits, made)
            if folder.is_dir():
                folder.rmdir()
            whole.rename(folder)
    except OSError as error:
        raise InputError(f"--output {folder}: {error.strerror or error}; name another folder") from None
    return folder / "onnx" / f"model{DTYPES[bits][1]}.onnx"


def _check_source(source: ModelSource) -> None:
    if source.root is None:
        raise InputError(
            f"{source.name}: synthetic weights have no tokenizer to export; name a model with weights, see "
            "bench models list"
        )
    kind = source.config.get("model_type")
    if kind not in KINDS:
        raise NotInOnnx(
            f"{source.name}: model type {kind} is not exported: transformers.js wants several files with a "
            f"cache; allowed: {', '.join(KINDS)}"
        )


def _fill(folder: Path, source: ModelSource, bits: int, model: bytes) -> None:
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / f"model{DTYPES[bits][1]}.onnx").write_bytes(model)
    (folder / "config.json").write_text(json.dumps(source.config, indent=2) + "\n", encoding="utf-8")
    assert source.root is not None
    names = {path.name for path in source.tokenizer_files} | {
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
    }  # fmt: skip
    for name in sorted(names):
        if (source.root / name).is_file():
            shutil.copyfile(source.root / name, folder / name)


def _positions(source: ModelSource) -> Literal["counted"] | int:
    kind = KINDS[str(source.config["model_type"])]
    return int(source.config.get("pad_token_id") or 0) if kind.positions_after_padding else "counted"


def _most(source: ModelSource) -> int:
    return int(source.config.get("max_position_embeddings") or _LENGTH)
