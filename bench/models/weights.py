"""A model's folder as Hugging Face lays it out: `config.json`, safetensors, sentence-transformers modules."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from bench.errors import InputError
from bench.models.bert_config import Pooling
from bench.models.families import family_of
from bench.models.files import file_sha256, read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_DTYPES = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class ModelFolder:
    """An opened folder; tensors are read when asked for.

    Attributes:
        path: the folder.
        config: parsed `config.json`, of a supported model type.
        tensors: name -> shape, of floating point tensors.
        pooling: what sentence-transformers appends to the encoder, or None.
    """

    path: Path
    config: dict[str, Any]
    tensors: dict[str, tuple[int, ...]]
    pooling: Pooling | None
    _files: dict[str, Path] = field(repr=False)

    def load(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32; KeyError for a name that is not there."""
        return _read(self._files[name], name)

    @property
    def files(self) -> tuple[Path, ...]:
        """The weights files, sorted by name."""
        return tuple(sorted(set(self._files.values())))

    @property
    def sha256(self) -> str:
        """Of the weights file, or of the shards' digests one after the other."""
        digests = [file_sha256(path) for path in self.files]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def open_folder(path: Path | str) -> ModelFolder:
    """Open a folder with `config.json` and `model.safetensors` (or its shards' index).

    Raises:
        InputError: something is missing, truncated, malformed or of an unsupported model type; one line that
            names the file and what was expected.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected one with config.json and {SINGLE}")
    config = read_json(folder / "config.json")
    place = str(folder / "config.json")
    family_of(config, place).check(config, place)
    tensors: dict[str, tuple[int, ...]] = {}
    files: dict[str, Path] = {}
    for file in _weight_files(folder):
        for name, shape in _shapes(file).items():
            tensors[name], files[name] = shape, file
    return ModelFolder(folder, config, tensors, _read_pooling(folder), files)


def _weight_files(folder: Path) -> list[Path]:
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    if not (folder / INDEX).exists():
        raise InputError(f"{folder / SINGLE} is missing; expected it or {INDEX} beside config.json")
    table = read_json(folder / INDEX).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise InputError(f"{folder / INDEX} has no weight_map; expected tensor names and their files")
    names = sorted({str(name) for name in table.values()})
    for name in names:
        # A shard stands beside its index; an index that points elsewhere is not followed.
        if Path(name).name != name or not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing; {INDEX} names it")
    return [folder / name for name in names]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(str(path), framework="numpy") as stream:
            yield stream
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from error


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    found = {}
    with _opened(path) as stream:
        for name in stream.keys():  # noqa: SIM118 - not a mapping
            part = stream.get_slice(name)
            # Checkpoints also carry integer buffers (position_ids); no graph has a use for them.
            if part.get_dtype() in _DTYPES:
                found[name] = tuple(part.get_shape())
    return found


def _read(path: Path, name: str) -> NDArray[np.float32]:
    with _opened(path) as stream:
        part = stream.get_slice(name)
        if part.get_dtype() != "BF16":
            return np.asarray(stream.get_tensor(name)).astype(np.float32, copy=False)
        shape = tuple(part.get_shape())
    return _read_bf16(path, name, shape)


def _read_bf16(path: Path, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    # NumPy has no bfloat16, so the library cannot hand it over; the bits are the upper half of a float32.
    # Layout (safetensors format): u64 length of the header, the header as JSON, then the data.
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        begin, end = json.loads(stream.read(length))[name]["data_offsets"]
        stream.seek(8 + length + begin)
        bits = np.frombuffer(stream.read(end - begin), "<u2")
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(shape)


def _read_pooling(folder: Path) -> Pooling | None:
    """Read `modules.json` and the pooling module's config, where the folder has them."""
    listing = folder / "modules.json"
    if not listing.exists():
        return None
    try:
        modules = json.loads(listing.read_text(encoding="utf-8"))
        kinds = {str(m["type"]).rpartition(".")[2]: str(m["path"]) for m in modules}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{listing} is not a list of sentence-transformers modules: {error!r}") from error
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise InputError(
            f"{listing}: module {unknown[0]} is not supported; allowed: Transformer, Pooling, Normalize"
        )
    if "Pooling" not in kinds:
        return None
    place = folder / kinds["Pooling"] / "config.json"
    return Pooling(_pooling_mode(read_json(place), place), "Normalize" in kinds)


def _pooling_mode(config: Mapping[str, Any], place: Path) -> str:
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if chosen == ["pooling_mode_mean_tokens"]:
        return "mean"
    if chosen == ["pooling_mode_cls_token"]:
        return "cls"
    raise InputError(f"{place}: pooling {chosen} is not supported; allowed: mean tokens, cls token")
