"""Reading a model's small files and their values, and the digest of its large ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.models.remembered import remembered

_POINTER = b"version https://git-lfs.github.com/spec/"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; InputError, one line that names the file."""
    data = read_any_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{path} must hold a JSON object, not {type(data).__name__}")
    return data


def read_any_json(path: Path) -> Any:
    """JSON from a file, with or without a byte order mark; InputError, one line that names the file."""
    try:
        refuse_pointer(path)
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; expected a JSON object") from error
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError
        raise InputError(f"{path} is not JSON: {error}") from error


def refuse_pointer(path: Path) -> None:
    """Refuse what Git LFS leaves in the place of a file that it did not fetch.

    Raises:
        InputError: one line that says what the file is and what to type.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            raise InputError(
                f"{path} is a Git LFS pointer of {path.stat().st_size} bytes, not the file itself; "
                f"type: git -C {path.parent} lfs pull"
            )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, remembered by path, size and time of change (`bench.models.remembered`)."""
    digest: str = remembered(path, "sha256", lambda: _digest(path))
    return digest


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def whole_number(
    config: Mapping[str, Any], file: str, key: str, least: int = 1, default: int | None = None
) -> int:
    """A whole number of a config; null means the default, as in the transformers library.

    Raises:
        InputError: it is none, or below `least`; one line naming `file`, the key and the value.
    """
    value = default if config.get(key) is None else config[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{file}: {key} must be a whole number of at least {least}, not {value!r}")
    return value
