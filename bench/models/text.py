"""Text to token ids and back, and the prompts that language models are given."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.models.tokenize import open_tokenizer

_SEED = 0x616C696365


def encode_text(root: Path, text: str) -> list[int]:
    """Token ids of a text, with the tokens that the tokenizer itself puts around one (often a BOS).

    Args:
        root: a Hugging Face folder with a tokenizer, or a GGUF file.
        text: special tokens may stand in it by their names, like `<|im_start|>`.

    Raises:
        InputError: there is no tokenizer, or it cannot be read.
    """
    ids: list[int] = _tokenizer(root).encode(text).ids
    return ids


def decode_text(root: Path, ids: list[int]) -> str:
    """The text of token ids, without special tokens; InputError as `encode_text`."""
    text: str = _tokenizer(root).decode([int(one) for one in ids])
    return text


def prompt_ids(root: Path | None, length: int, seed: int, vocab: int) -> NDArray[np.int32]:
    """The prompt of a language model: English prose where there is a tokenizer, else seeded random ids.

    Prose begins with the tokenizer's BOS where it puts one, and in a paragraph that the seed chooses; it goes
    on from the text's beginning where its end is reached.

    Args:
        root: a Hugging Face folder, a GGUF file, or None for synthetic weights.
        length: tokens, 1 or more.
        seed: two seeds give different prompts.
        vocab: tokens that the model knows.

    Returns:
        int32 [length], each below `vocab`.

    Raises:
        InputError: the tokenizer cannot be read, or knows more tokens than the model.
    """
    tokenizer = open_tokenizer(root) if root is not None else None
    rng = np.random.default_rng([_SEED, seed])
    if tokenizer is None:
        return rng.integers(0, vocab, length, dtype=np.int32)
    paragraphs = _paragraphs()
    first = (seed * 7) % len(paragraphs)
    text = "\n\n".join([*paragraphs[first:], *paragraphs[:first]])
    ids: list[int] = []
    # A token is at least a byte, so that few repetitions are ever too short.
    repeated = text
    while len(ids) < length:
        ids = tokenizer.encode(repeated).ids
        repeated = f"{repeated}\n\n{text}"
    found = np.array(ids[:length], np.int32)
    if found.max() >= vocab:
        raise InputError(f"{root}: the tokenizer gives token {found.max()}, but the model knows {vocab}")
    return found


def _tokenizer(root: Path) -> Any:
    tokenizer = open_tokenizer(root)
    if tokenizer is None:
        raise InputError(f"{root} has no tokenizer; expected a tokenizer.json, or a GGUF file with its own")
    return tokenizer


@cache
def _paragraphs() -> tuple[str, ...]:
    # Public domain; `data/README.md` says whose text it is and where it is from.
    text = resources.files("bench.models").joinpath("data/alice.txt").read_text(encoding="utf-8")
    return tuple(part for part in text.strip().split("\n\n") if len(part) > 80)
