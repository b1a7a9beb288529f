"""A model's folder as Hugging Face lays it out: `config.json`, safetensors, sentence-transformers modules."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from bench.errors import InputError
from bench.models.families import family_of
from bench.models.files import file_sha256, read_json, refuse_pointer
from bench.models.finite import EXPONENTS, not_finite
from bench.models.remembered import remembered
from bench.models.sentence_modules import Pooling, read_modules
from bench.models.stored import Stored

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_DTYPES = ("F64", "F32", "F16", "BF16")
# What wrapped a model when it was saved; every tensor then begins so.
_WRAPPERS = ("_orig_mod.", "module.", "auto_model.")
# Weights in other forms, and what makes ours of them.
_OTHER_FORMS = {
    "pytorch_model*.bin*": "load it with transformers and save_pretrained(DIR), which writes safetensors",
    "tf_model.h5": "load it with transformers (from_tf=True) and save_pretrained(DIR)",
    "flax_model.msgpack": "load it with transformers (from_flax=True) and save_pretrained(DIR)",
    "*.onnx": "take the original checkpoint",
    "adapter_model.*": "it holds an adapter alone: merge it into its model (peft's merge_and_unload)",
}


@dataclass(frozen=True)
class ModelFolder:
    """An opened folder; tensors are read when asked for.

    Attributes:
        path: the folder.
        root: where in it the encoder and its tokenizer lie; mostly `path` itself.
        config: parsed `config.json`, of a supported model type.
        stored: every tensor of the files, by its name without a wrapper's prefix.
        tensors: name -> shape of those that a graph may use: floating point, and no copies of others.
        pooling: what sentence-transformers appends to the encoder, or None.
    """

    path: Path
    root: Path
    config: dict[str, Any]
    stored: dict[str, Stored] = field(repr=False)
    tensors: dict[str, tuple[int, ...]]
    pooling: Pooling | None

    def load(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32; KeyError for a name that is not there."""
        found = self.stored[name]
        return _read(found.file, found.name)

    def is_finite(self, name: str) -> bool:
        """Whether a tensor holds no infinity and no NaN; a file is read for it once, and remembered."""
        found = self.stored[name]
        return found.name not in remembered(found.file, "not_finite", lambda: _not_finite(found.file))

    @property
    def files(self) -> tuple[Path, ...]:
        """The weights files, sorted by name."""
        return tuple(sorted({one.file for one in self.stored.values()}))

    @property
    def sha256(self) -> str:
        """Of the weights file, or of the shards' digests one after the other."""
        digests = [file_sha256(path) for path in self.files]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def open_folder(path: Path | str) -> ModelFolder:
    """Open a folder with `config.json` and safetensors (`model.safetensors`, its shards, or one other).

    Raises:
        InputError: something is missing, truncated, malformed or of an unsupported model type; one line that
            names the file and what was expected.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected one with config.json and {SINGLE}")
    root, pooling = read_modules(folder)
    place = root / "config.json"
    config = read_json(place)
    family = family_of(config, str(place))
    # Pooling takes the place of the head, whatever architecture the encoder was saved with.
    family.check(config if pooling is None else {**config, "architectures": None}, str(place))
    if (root / "adapter_config.json").exists():
        raise InputError(
            f"{root / 'adapter_config.json'}: an adapter belongs to this model, and would be left out; "
            "merge it (peft's merge_and_unload), or take its files out of a copy of the folder"
        )
    stored: dict[str, Stored] = {}
    for file in _weight_files(root):
        stored |= {name: Stored(file, name, *what) for name, what in _listed(file).items()}
    stored = _unwrapped(stored)
    for name, one in stored.items():
        # Checkpoints also carry integer buffers (position_ids); no graph has a use for them.
        if one.dtype not in _DTYPES and not name.endswith("_ids"):
            raise InputError(
                f"{one.file}: tensor {one.name} is stored as {one.dtype}, as another tool quantized it; take "
                f"the original checkpoint (allowed: {', '.join(_DTYPES)})"
            )
    opened = ModelFolder(folder, root, config, stored, {}, pooling)
    copies = _copies(opened, family.copies)
    if copies:
        config["tie_word_embeddings"] = True  # whatever it says: the two tables are one
    opened.tensors.update(
        (name, one.shape) for name, one in stored.items() if name not in copies and one.dtype in _DTYPES
    )
    return opened


def _weight_files(folder: Path) -> list[Path]:
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    indices = sorted(folder.glob("*.safetensors.index*.json"))
    if not indices:
        return [_only(folder)]
    if len(indices) > 1 and folder / INDEX not in indices:
        raise InputError(f"{folder} has several indices: {_names(indices)}; keep one, as {INDEX}")
    index = folder / INDEX if folder / INDEX in indices else indices[0]
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise InputError(f"{index} has no weight_map; expected tensor names and their files")
    names = sorted({str(name) for name in table.values()})
    for name in names:
        # A shard stands beside its index; an index that points elsewhere is not followed.
        if Path(name).name != name or not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing; {index.name} names it")
    return [folder / name for name in names]


def _only(folder: Path) -> Path:
    """The one safetensors file under another name (`model.fp16.safetensors`)."""
    found = sorted(p for p in folder.glob("*.safetensors") if not p.name.startswith("adapter_"))
    if len(found) == 1:
        return found[0]
    missing = f"{folder / SINGLE} is missing; expected it or {INDEX} beside config.json"
    if found:
        raise InputError(f"{missing}, and there are several others: {_names(found)}; rename the one to use")
    for pattern, remedy in _OTHER_FORMS.items():
        for other in sorted(folder.glob(pattern)):
            raise InputError(f"{missing}; {other.name} is there: {remedy}")
    raise InputError(missing)


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        refuse_pointer(path)
        with safe_open(str(path), framework="numpy") as stream:
            yield stream
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from error


def _listed(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name -> type and shape."""
    found = {}
    with _opened(path) as stream:
        for name in stream.keys():  # noqa: SIM118 - not a mapping
            part = stream.get_slice(name)
            found[name] = (str(part.get_dtype()), tuple(part.get_shape()))
    return found


def _unwrapped(stored: dict[str, Stored]) -> dict[str, Stored]:
    """The same without the prefix that a wrapper gave to every name."""
    while stored:
        prefix = next((p for p in _WRAPPERS if all(name.startswith(p) for name in stored)), None)
        if prefix is None:
            break
        stored = {name.removeprefix(prefix): one for name, one in stored.items()}
    return stored


def _copies(folder: ModelFolder, pairs: tuple[tuple[str, str], ...]) -> set[str]:
    """Projections that hold the very numbers of the table that they may be tied to."""
    found = set()
    for copy, ending in pairs:
        table = next((name for name in folder.stored if name.endswith(ending)), None)
        if table is None or copy not in folder.stored:
            continue
        one, other = folder.stored[copy], folder.stored[table]
        floats = one.dtype in _DTYPES and other.dtype in _DTYPES
        if floats and one.shape == other.shape and np.array_equal(folder.load(copy), folder.load(table)):
            found.add(copy)
    return found


def _not_finite(path: Path) -> list[str]:
    data = np.memmap(path, np.uint8, mode="r")
    begin = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:begin].tobytes())
    return not_finite(
        (name, one["dtype"], data[begin + one["data_offsets"][0] : begin + one["data_offsets"][1]])
        for name, one in header.items()
        if name != "__metadata__" and one["dtype"] in EXPONENTS
    )


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
