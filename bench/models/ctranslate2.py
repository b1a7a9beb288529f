"""Reads a Whisper in CTranslate2's `model.bin` and writes it as the Hugging Face folder the rest of us reads.

The file (CTranslate2's `python/ctranslate2/specs/model_spec.py`, binary version 6): u32 version, the spec's
name, u32 revision, u32 count, then for each variable its name, u8 rank, u32 dims, u8 type, u32 bytes, data;
then aliases. A string is u16 length with its closing zero, then the bytes. All little-endian.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

_VERSION = 6
_TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}
_HEADS_WIDE = 64  # every Whisper has heads of 64

Tensors = dict[str, NDArray[Any]]


def read(data: bytes) -> tuple[str, Tensors]:
    """The spec's name and every variable; ValueError for another version or a truncated file."""
    reader = _Reader(data)
    version = reader.number("I")
    if version != _VERSION:
        raise ValueError(f"CTranslate2 binary version {version}; expected {_VERSION}")
    spec, _revision = reader.text(), reader.number("I")
    found: Tensors = {}
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = tuple(reader.number("I") for _ in range(reader.number("B")))
        kind, size = reader.number("B"), reader.number("I")
        if kind not in _TYPES:
            raise ValueError(f"{name} has the unknown type {kind}")
        found[name] = np.frombuffer(reader.take(size), _TYPES[kind]).reshape(shape)
    return spec, found


def convert_whisper(folder: Path) -> None:
    """Turn `model.bin` in a folder into `config.json` and `model.safetensors`, and remove it.

    Raises:
        ValueError: not a Whisper of this format, or a tensor is missing.
    """
    spec, stored = read((folder / "model.bin").read_bytes())
    if spec != "WhisperSpec":
        raise ValueError(f"the model is a {spec}, not a WhisperSpec")
    try:
        tensors = _tensors(stored)
    except KeyError as error:
        raise ValueError(f"the model lacks {error}") from error
    save_file(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps(_config(tensors), indent=1), encoding="utf-8")
    (folder / "model.bin").unlink()


def _tensors(stored: Tensors) -> Tensors:
    """By the names of the transformers library, fused projections taken apart."""
    found: Tensors = {
        f"model.encoder.{conv}.{part}": stored[f"encoder/{conv}/{part}"]
        for conv in ("conv1", "conv2")
        for part in ("weight", "bias")
    }
    found["model.decoder.embed_tokens.weight"] = stored["decoder/embeddings/weight"]
    for side in ("encoder", "decoder"):
        found[f"model.{side}.embed_positions.weight"] = stored[f"{side}/position_encodings/encodings"]
        _copy_norm(found, f"model.{side}.layer_norm", stored, f"{side}/layer_norm")
        layers = len({name.split("/")[1] for name in stored if name.startswith(f"{side}/layer_")}) - 1
        for index in range(layers):
            ours, theirs = f"model.{side}.layers.{index}.", f"{side}/layer_{index}/"
            _copy_attention(found, f"{ours}self_attn", stored, f"{theirs}self_attention")
            if side == "decoder":
                _copy_attention(found, f"{ours}encoder_attn", stored, f"{theirs}attention")
            _copy_norm(found, f"{ours}final_layer_norm", stored, f"{theirs}ffn/layer_norm")
            for part in ("weight", "bias"):
                found[f"{ours}fc1.{part}"] = stored[f"{theirs}ffn/linear_0/{part}"]
                found[f"{ours}fc2.{part}"] = stored[f"{theirs}ffn/linear_1/{part}"]
    return found


def _copy_norm(found: Tensors, ours: str, stored: Tensors, theirs: str) -> None:
    found[f"{ours}.weight"], found[f"{ours}.bias"] = stored[f"{theirs}/gamma"], stored[f"{theirs}/beta"]


def _copy_attention(found: Tensors, ours: str, stored: Tensors, theirs: str) -> None:
    _copy_norm(found, f"{ours}_layer_norm", stored, f"{theirs}/layer_norm")
    crossed = f"{theirs}/linear_2/weight" in stored
    last = "linear_2" if crossed else "linear_1"
    for part in ("weight", "bias"):
        if crossed:
            q = stored[f"{theirs}/linear_0/{part}"]
            k, v = np.split(stored[f"{theirs}/linear_1/{part}"], 2)
        else:
            q, k, v = np.split(stored[f"{theirs}/linear_0/{part}"], 3)
        found[f"{ours}.q_proj.{part}"], found[f"{ours}.v_proj.{part}"] = q, v
        if part == "weight":  # the bias of the keys is zeros that only the fusing needs
            found[f"{ours}.k_proj.{part}"] = k
        found[f"{ours}.out_proj.{part}"] = stored[f"{theirs}/{last}/{part}"]


def _config(tensors: Tensors) -> dict[str, Any]:
    """What of a `config.json` can be told from the tensors; the special tokens from the vocabulary's size."""
    vocab, hidden = tensors["model.decoder.embed_tokens.weight"].shape
    english = vocab == 51864  # the multilingual ones have a token more, and one more before the first special
    config: dict[str, Any] = {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "d_model": hidden,
        "num_mel_bins": tensors["model.encoder.conv1.weight"].shape[1],
        "vocab_size": vocab,
        "max_source_positions": tensors["model.encoder.embed_positions.weight"].shape[0],
        "max_target_positions": tensors["model.decoder.embed_positions.weight"].shape[0],
        "activation_function": "gelu",
        "decoder_start_token_id": 50257 if english else 50258,
        "eos_token_id": 50256 if english else 50257,
    }
    for side in ("encoder", "decoder"):
        fc1 = [name for name in tensors if name.startswith(f"model.{side}.") and name.endswith("fc1.weight")]
        config[f"{side}_layers"] = len(fc1)
        config[f"{side}_attention_heads"] = hidden // _HEADS_WIDE
        config[f"{side}_ffn_dim"] = tensors[fc1[0]].shape[0]
    return config


class _Reader:
    """Takes values off the front of a buffer; ValueError where it ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) != count:
            raise ValueError(f"model.bin ends at byte {len(self._data)}, {count} more were announced")
        self._at += count
        return part

    def number(self, kind: str) -> int:
        return int(struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))[0])

    def text(self) -> str:
        return self.take(self.number("H"))[:-1].decode()
