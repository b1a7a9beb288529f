"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from bench.errors import InputError


def write_file(path: Path, content: bytes, *, flag: str = "--output") -> None:
    """Write through a temporary file beside `path`, so that no reader ever sees half of it.

    What is no plain file (a device, a pipe, `/dev/stdout`) is written into: root could replace it by a file,
    for everybody on the machine. A link stays, and what it leads to is replaced. `flag` named it.

    Raises:
        InputError: it cannot be written there; nothing is left behind.
    """
    if _written_into(path):
        try:
            with path.open("wb") as file:
                file.write(content)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}; choose another with {flag}") from None
        return
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # said below, where it is opened
        path = path.resolve() if path.is_symlink() else path
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
        raise InputError(f"cannot write {path}: {words}; choose another with {flag}") from None
    finally:
        with contextlib.suppress(OSError, ValueError):
            part.unlink(missing_ok=True)


def _written_into(path: Path) -> bool:
    """Whether it is there and must not be replaced."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    ours = not str(path.absolute()).startswith(("/dev/", "/proc/"))
    return not (stat.S_ISREG(mode) and ours) and not stat.S_ISDIR(mode)
