"""Inputs and outputs of runs as .npy files, where the user asked for them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.errors import InputError
from bench.plan.request import Request


def save_tensors(
    folder: Path, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], request: Request
) -> None:
    """Write inputs and outputs of the first input set as .npy, sequences as [batch, tokens, features]."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in {**inputs, **outputs}.items():
        shaped = values
        if name == "last_hidden_state":
            shaped = values.reshape(request.batch_size, request.sequence_length, -1)
        np.save(folder / f"{name}.npy", shaped)


def check_output_folder(folder: Path) -> None:
    """Make sure that outputs can be written there, and make nothing yet: what follows may still be refused.

    Raises:
        InputError: they cannot.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"--save-outputs {folder}: {nearest} is a file; name a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"--save-outputs {folder}: {nearest} cannot be written; name another folder")
