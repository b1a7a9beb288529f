"""Inputs for a model that hears: a recorded clip with its words where there is one, else a seeded sound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.models.audio import HOP, RATE, log_mel, read_wave, synthetic_speech
from bench.models.graph import Graph
from bench.models.tokenize import open_tokenizer
from bench.models.whisper import read_geometry

CLIP = "speech.wav"
WORDS = "speech.txt"
_LEAD_SECONDS = 0.06  # each clip begins so much later than the one before, so that no two inputs are alike


def without_speech(folder: Path) -> str | None:
    """Why a folder's inputs are made up, in a few words; None where it has speech."""
    missing = [name for name in (CLIP, WORDS, "tokenizer.json") if not (folder / name).is_file()]
    return f"the folder has no {' and no '.join(missing)}" if missing else None


def speech_inputs(
    config: Mapping[str, Any], folder: Path | None, graph: Graph, batch: int, seed: int
) -> dict[str, NDArray[Any]]:
    """Inputs of a Whisper graph by name.

    With a tokenizer, `speech.wav` and `speech.txt` in `folder`, row r hears the clip after a short silence
    of its own and reads its words; without them, a seeded sound and seeded tokens.

    Args:
        config: a parsed `config.json`.
        folder: a model's folder, or None.
        graph: what the inputs are for.
        batch: clips.
        seed: two seeds give different inputs.

    Raises:
        InputError: the clip or the tokenizer cannot be read, or knows more tokens than the model.
    """
    geometry = read_geometry(config)
    items = {item.name: item for item in graph.inputs}
    frames = items["input_features"].shape[0] // batch
    tokens = items["decoder_input_ids"].shape[1]
    rng = np.random.default_rng([0x77717562, seed])
    has_speech = folder is not None and without_speech(folder) is None
    tokenizer = open_tokenizer(folder) if folder is not None and has_speech else None
    clips, rows = [], []
    for row in range(batch):
        if folder is not None and tokenizer is not None:
            lead = np.zeros(int((seed * batch + row) * _LEAD_SECONDS * RATE), np.float32)
            sound = np.concatenate([lead, read_wave(folder / CLIP)])
            ids = tokenizer.encode((folder / WORDS).read_text(encoding="utf-8").rstrip()).ids
            if max(ids) >= geometry.vocab:
                raise InputError(
                    f"{folder}: the tokenizer gives token {max(ids)}, but the model knows {geometry.vocab}"
                )
        else:
            sound = synthetic_speech(rng, frames * HOP)
            ids = [geometry.start_id, *rng.integers(0, geometry.vocab, tokens).tolist()]
        clips.append(log_mel(_fitted(sound, frames * HOP), geometry.mels))
        rows.append((ids + [geometry.end_id] * tokens)[:tokens])
    counted = {
        name: np.tile(np.arange(items[name].shape[1], dtype=np.int32), (batch, 1))
        for name in ("audio_position_ids", "decoder_position_ids")
    }
    return {
        "input_features": np.concatenate(clips),
        "audio_position_ids": counted["audio_position_ids"],
        "decoder_input_ids": np.array(rows, np.int32),
        "decoder_position_ids": counted["decoder_position_ids"],
    }


def _fitted(sound: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    return np.pad(sound[:count], (0, max(0, count - len(sound))))
