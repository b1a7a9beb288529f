"""A safetensors file that is written tensor by tensor, from many threads, with none of it held.

Format (https://huggingface.co/docs/safetensors): u64 length of the header, the header as JSON, then the
tensors' bytes without gaps. Spaces may end the header: what is known only at the end finds its room there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {"U32": np.dtype("<u4"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
_NAMES = {kind: name for name, kind in _TYPES.items()}
_ALIGNED = 8

# Name -> type and shape.
Layout = Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]


@dataclass(frozen=True)
class Place:
    """Where the tensors of a file begin, for whoever writes them: other processes too.

    Attributes:
        path: the file, of its full length already.
        layout: name -> type and shape.
        offsets: name -> first byte in the file.
    """

    path: Path
    layout: Layout
    offsets: Mapping[str, int]

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Write one tensor; other threads and processes may write others meanwhile.

        Raises:
            ValueError: the type or shape is not that of the layout.
            KeyError: it is not of the layout.
        """
        kind, shape = self.layout[name]
        if values.dtype != kind or values.shape != shape:
            raise ValueError(f"{name} is {values.dtype} {values.shape}, not {kind} {shape}")
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        at = self.offsets[name]
        file = os.open(self.path, os.O_WRONLY)
        try:
            while data.size:
                done = os.pwrite(file, data.data, at)  # a call writes 2 GiB at most
                data, at = data[done:], at + done
        finally:
            os.close(file)


class StreamedFile:
    """Writes the tensors of a layout in any order. Use as a context manager.

    Wide types come first, so that every tensor begins at a multiple of its type's size.

    Args:
        path: the file; made anew.
        layout: name -> type (uint32, float32 or float16) and shape of every tensor.
        room: bytes that the metadata will take at most, as JSON.
    """

    def __init__(self, path: Path, layout: Layout, room: int = 0) -> None:
        self.layout = dict(layout)
        self.metadata: dict[str, str] = {}
        self._offsets: dict[str, tuple[int, int]] = {}
        self._missing = set(self.layout)
        at = 0
        for name, (kind, shape) in sorted(self.layout.items(), key=lambda one: -one[1][0].itemsize):
            if kind not in _NAMES:
                raise ValueError(f"{name}: type {kind} is not written here; allowed: {', '.join(_TYPES)}")
            size = kind.itemsize * int(np.prod(shape, dtype=np.int64))
            self._offsets[name] = (at, at + size)
            at += size
        self._header = -(-(len(self._told()) + room) // _ALIGNED) * _ALIGNED
        self._path, self._end = path, 8 + self._header + at

    def __enter__(self) -> StreamedFile:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.truncate(self._file, self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            os.close(self._file)

    @property
    def place(self) -> Place:
        """What it takes to write the tensors; whoever did says so (`written`)."""
        begin = 8 + self._header
        return Place(self._path, self.layout, {name: begin + at for name, (at, _) in self._offsets.items()})

    def written(self, names: Iterable[str]) -> None:
        """These tensors were written, each once.

        Raises:
            KeyError: one is not of the layout, or was written already.
        """
        for name in names:
            self._missing.remove(name)

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Write one tensor, once; other threads may write others meanwhile.

        Raises:
            ValueError: the type or shape is not that of the layout.
            KeyError: it is not of the layout, or was written already.
        """
        if name in self.layout and name not in self._missing:
            raise KeyError(f"{name} was written already")
        self.place.write(name, values)
        self.written([name])

    def _finish(self) -> None:
        if self._missing:
            raise ValueError(f"{self._path.name}: {sorted(self._missing)[0]} was not written")
        told = self._told()
        if len(told) > self._header:
            raise ValueError(f"{self._path.name}: the metadata take more room than was kept for them")
        os.pwrite(self._file, self._header.to_bytes(8, "little") + told.ljust(self._header), 0)

    def _told(self) -> bytes:
        header: dict[str, Any] = {"__metadata__": self.metadata} if self.metadata else {}
        for name, (begin, end) in self._offsets.items():
            kind, shape = self.layout[name]
            header[name] = {"dtype": _NAMES[kind], "shape": list(shape), "data_offsets": [begin, end]}
        return json.dumps(header, separators=(",", ":")).encode()
