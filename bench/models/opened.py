"""A model's weights, whichever form they come in."""

from __future__ import annotations

from pathlib import Path

from bench.errors import InputError
from bench.models.gguf_file import GgufFile, open_gguf
from bench.models.gguf_reader import SUFFIX, is_gguf
from bench.models.weights import ModelFolder, open_folder

Opened = ModelFolder | GgufFile


def open_model(path: Path) -> Opened:
    """Open a Hugging Face folder, a GGUF file, or a folder whose only weights are one GGUF file.

    Raises:
        InputError: it cannot be used, or a folder holds several GGUF files; one line that says why.
    """
    if is_gguf(path):
        return open_gguf(path)
    if path.is_dir() and not any(path.glob("*.safetensors*")):
        files = sorted(one for one in path.iterdir() if is_gguf(one))
        if len(files) > 1:
            names = ", ".join(one.name for one in files)
            raise InputError(f"{path} holds several {SUFFIX} files: {names}; pass the one to use")
        if files:
            return open_gguf(files[0])
    return open_folder(path)
