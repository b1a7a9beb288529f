"""What a GGUF file says of itself: its metadata and where its tensors lie, read by the library `gguf`.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.models.files import refuse_pointer

SUFFIX = ".gguf"
_MAGIC = b"GGUF"


@dataclass(frozen=True)
class Described:
    """One tensor of a file.

    Attributes:
        type: as llama.cpp names it: `F32`, `Q4_1`, `Q6_K`.
        shape: as a checkpoint has it, output features first.
        data: its bytes, on the disk until they are read.
    """

    type: str
    shape: tuple[int, ...]
    data: NDArray[Any] = field(repr=False)


@dataclass(frozen=True)
class Gguf:
    """An opened file.

    Attributes:
        path: the file.
        fields: key -> value, a plain number, string, bool or list.
        tensors: llama.cpp's name -> what is stored.
    """

    path: Path
    fields: Mapping[str, Any] = field(repr=False)
    tensors: Mapping[str, Described] = field(repr=False)

    def load(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32, its rows in the file's order; KeyError for a name that is not there."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        found = self.tensors[name]
        values = dequantize(found.data, GGMLQuantizationType[found.type])
        return np.asarray(values, np.float32).reshape(found.shape)


def is_gguf(path: Path) -> bool:
    """Whether a path names a GGUF file, by its suffix."""
    return path.suffix.lower() == SUFFIX and not path.is_dir()


def read_gguf(path: Path) -> Gguf:
    """Read a file's metadata; its tensors stay on the disk. Remembered by path, size and time of change.

    Raises:
        InputError: it is missing, no GGUF, truncated, one part of several, or holds a type that is not read;
            one line that names the file.
    """
    try:
        refuse_pointer(path)
        stat = path.stat()
        with path.open("rb") as stream:
            magic = stream.read(len(_MAGIC))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; expected a GGUF file") from error
    if magic != _MAGIC:
        raise InputError(f"{path} is not a GGUF file: it does not begin with GGUF")
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)  # a reader holds all strings of a vocabulary
def _read(path: Path, _mtime_ns: int, _size: int) -> Gguf:
    try:
        reader = _whole(path)
        fields = {name: one.contents() for name, one in reader.fields.items()}
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, OSError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path} is not a whole GGUF file that is read here: {reason}") from error
    parts = fields.get("split.count", 0)
    if isinstance(parts, int) and parts > 1:
        raise InputError(f"{path} is one of {parts} parts; merge them with llama-gguf-split --merge")
    tensors = {
        one.name: Described(
            one.tensor_type.name, tuple(int(size) for size in reversed(one.shape.tolist())), one.data
        )
        for one in reader.tensors
    }
    _refuse_unread(path, tensors)
    return Gguf(path, fields, tensors)


def _whole(path: Path) -> Any:
    """The library's reader of a file; InputError where the file ends before what its header lists.

    The library itself reads on in what is not there, and ends in NumPy's words about shapes.
    """
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader

    size = path.stat().st_size

    def need(end: int, words: str) -> None:
        if end > size:
            raise InputError(
                f"{path} is not whole: it has {size:,} bytes, and its header {words} {end:,}; "
                "fetch or copy it again"
            )

    class Reader(GGUFReader):
        def _get(self, offset: int, dtype: Any, count: int = 1, *order: Any, **more: Any) -> Any:
            need(int(offset) + np.dtype(dtype).itemsize * int(count), "lists at least")
            return super()._get(offset, dtype, count, *order, **more)

        def _build_tensors(self, start_offs: int, fields: list[Any]) -> None:
            ends = [start_offs]
            for one in fields:
                *_, dims, kind, offset = one.parts
                per, stored = GGML_QUANT_SIZES[GGMLQuantizationType(kind[0])]
                ends.append(start_offs + int(offset[0]) + math.prod(dims.tolist()) * stored // per)
            need(max(ends), "says")
            super()._build_tensors(start_offs, fields)

    return Reader(path)


def _refuse_unread(path: Path, tensors: Mapping[str, Described]) -> None:
    """Refuse a type that the library does not turn into numbers, before anything else is done."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    tried: set[str] = set()
    for name, one in tensors.items():
        if one.type in tried:
            continue
        tried.add(one.type)
        try:
            dequantize(one.data[:1], GGMLQuantizationType[one.type])
        except NotImplementedError as error:
            raise InputError(
                f"{path}: tensor {name} is stored as {one.type}, which is not read here; allowed: F32, F16, "
                "BF16, Q4_0 to Q8_0, Q2_K to Q6_K and what else the library gguf reads"
            ) from error
