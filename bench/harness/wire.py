"""Messages between a worker and its runner: JSON objects, each with its length before it."""

from __future__ import annotations

import json
import struct
import threading
from typing import IO, Any

Message = dict[str, Any]

_LENGTH = struct.Struct(">I")
_MOST = 256 * 1024 * 1024


class Channel:
    """The writing end; threads may share it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Write one message; OSError where nobody reads any more."""
        data = json.dumps(message).encode()
        with self._lock:
            self._stream.write(_LENGTH.pack(len(data)) + data)
            self._stream.flush()

    def close(self) -> None:
        """Tell the reader that nothing more comes."""
        self._stream.close()


def receive(stream: IO[bytes]) -> Message | None:
    """The next message; None at the end, and where the writer died within a message."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > _MOST:
        return None
    data = stream.read(length)
    if len(data) < length:
        return None
    try:
        message = json.loads(data)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
