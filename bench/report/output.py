"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from bench.errors import InputError


def write_file(path: Path, content: bytes) -> None:
    """Write through a temporary file beside `path`, so that no reader ever sees half of it.

    Raises:
        InputError: it cannot be written there; nothing is left behind.
    """
    part = path.parent / f".{path.name[:100]}.{secrets.token_hex(4)}.part"  # `/` has no name to change
    try:
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a folder; name a file in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot write {path}: {words}; choose another with --output") from None
    finally:
        with contextlib.suppress(OSError, ValueError):
            part.unlink(missing_ok=True)
