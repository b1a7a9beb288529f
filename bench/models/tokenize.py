"""Inputs for a graph: real tokenized sentences where there is a tokenizer, else seeded ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer, Tokenizer
from tokenizers.processors import RobertaProcessing

from bench.errors import InputError
from bench.models.bert_config import read_geometry
from bench.models.files import read_json, refuse_pointer
from bench.models.gguf_reader import is_gguf
from bench.models.gguf_tokenizer import open_gguf_tokenizer, without_gguf_tokenizer
from bench.models.graph import Graph
from bench.models.sentences import SENTENCES

I32 = NDArray[np.int32]


_WHOLE, _PIECES, _MERGES, _WORDS = "tokenizer.json", "vocab.json", "merges.txt", "vocab.txt"
_SETTINGS = "tokenizer_config.json"
_SENTENCEPIECE = ("sentencepiece.bpe.model", "spiece.model", "sentencepiece.model", "tokenizer.model")


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a folder that decide how it makes tokens of text, as `open_tokenizer` reads them.

    A GGUF file in the place of a folder is that file, where its tokenizer is one that is read.
    """
    if is_gguf(folder):
        return [] if without_gguf_tokenizer(folder) else [folder]
    if (folder / _WHOLE).exists():
        return [folder / _WHOLE]
    forms = [_PIECES, _MERGES] if _is_byte_level(folder) else [_WORDS]
    if not (folder / forms[0]).exists():
        return []
    return [folder / name for name in (*forms, _SETTINGS) if (folder / name).exists()]


def without_tokenizer(folder: Path) -> str | None:
    """Why a folder's (or a GGUF file's) inputs are random token ids, in a few words; None where it has a
    tokenizer.
    """
    if is_gguf(folder):
        return without_gguf_tokenizer(folder)
    if tokenizer_files(folder):
        return None
    for name in _SENTENCEPIECE:
        if (folder / name).exists():
            return (
                f"{name} alone is not a tokenizer that is read here (make a {_WHOLE} of it with "
                "transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR))"
            )
    if (folder / _PIECES).exists():
        return f"{_PIECES} without {_MERGES} is no tokenizer"
    return "the folder has no tokenizer"


def _is_byte_level(folder: Path) -> bool:
    return (folder / _PIECES).exists() and (folder / _MERGES).exists()


def open_tokenizer(folder: Path) -> Any | None:
    """The tokenizer of a folder, or of a GGUF file, without its own truncation and padding; None where there
    is none.

    Raises:
        InputError: a file of it cannot be read.
    """
    if is_gguf(folder):
        return open_gguf_tokenizer(folder)
    for file in tokenizer_files(folder):
        refuse_pointer(file)
    whole, vocabulary = folder / _WHOLE, folder / _WORDS
    if whole.exists():
        try:
            tokenizer = Tokenizer.from_file(str(whole))
        except Exception as error:  # the library raises bare Exception
            raise InputError(f"{whole} is not a tokenizer: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    settings = read_json(folder / _SETTINGS) if (folder / _SETTINGS).exists() else {}
    if _is_byte_level(folder):
        return _byte_level(folder, settings)
    if vocabulary.exists():
        try:
            return BertWordPieceTokenizer(
                str(vocabulary), lowercase=bool(settings.get("do_lower_case", True))
            )
        except Exception as error:
            raise InputError(f"{vocabulary} is not a WordPiece vocabulary: {error}") from error
    return None


def _byte_level(folder: Path, settings: Mapping[str, Any]) -> Any:
    """RoBERTa's: byte-level pairs, between its tokens for begin and end."""
    spaced = bool(settings.get("add_prefix_space", False))
    try:
        tokenizer = ByteLevelBPETokenizer(
            str(folder / _PIECES), str(folder / _MERGES), add_prefix_space=spaced
        )
        begin, end = "<s>", "</s>"
        ids = [tokenizer.token_to_id(mark) for mark in (end, begin)]
        if None not in ids:
            tokenizer.add_special_tokens([begin, end])
            tokenizer.post_processor = RobertaProcessing(
                (end, ids[0]), (begin, ids[1]), add_prefix_space=spaced
            )
    except Exception as error:  # the library raises bare Exception
        raise InputError(f"{folder / _PIECES} and {_MERGES} are not a tokenizer: {error}") from error
    return tokenizer


def encode(tokenizer: Any, texts: list[str], sequence: int, pad_id: int) -> tuple[I32, I32, I32]:
    """Token ids, token types and mask, each int32 [len(texts), sequence].

    A longer text is cut before its last special token, which is kept; a shorter one is padded on the right.
    The last row always ends in padding where there are four tokens or more, so that masks are put to use.
    """
    ids = np.full((len(texts), sequence), pad_id, np.int32)
    types, mask = np.zeros_like(ids), np.zeros_like(ids)
    for row, encoding in enumerate(tokenizer.encode_batch(texts)):
        tokens, kinds = list(encoding.ids), list(encoding.type_ids)
        limit = sequence - sequence // 4 if row == len(texts) - 1 else sequence
        if len(tokens) > limit:
            ending = tokens[-1:] if encoding.special_tokens_mask[-1] == 1 and limit > 1 else []
            tokens = tokens[: limit - len(ending)] + ending
        count = len(tokens)
        ids[row, :count], types[row, :count], mask[row, :count] = tokens, kinds[:count], 1
    return ids, types, mask


def text_inputs(
    config: Mapping[str, Any], folder: Path | None, graph: Graph, batch: int, seed: int
) -> dict[str, I32]:
    """`make_inputs` with the padding and first position of a BERT's `config.json`."""
    geometry = read_geometry(config)
    return make_inputs(folder, graph, seed, pad_id=geometry.pad_id, first_position=geometry.first_position)


def make_inputs(
    folder: Path | None, graph: Graph, seed: int, *, pad_id: int = 0, first_position: int = 0
) -> dict[str, I32]:
    """Inputs of `graph`, int32 [B, T] by name, chosen by `seed`.

    With a tokenizer in `folder` the built-in sentences are used, a different choice for each seed; without
    one, seeded random ids. Where T allows, rows end in padding (mask 0); every row has at least one valid
    token.

    Args:
        folder: a model's folder, or None.
        graph: what the inputs are for.
        seed: two seeds give different inputs.
        pad_id: the model's padding token.
        first_position: position id of a row's first token (RoBERTa counts from `pad_id + 1`).

    Raises:
        InputError: the tokenizer cannot be read, or knows more tokens than the model.
    """
    items = {item.name: item for item in graph.inputs}
    batch, sequence = items["input_ids"].shape
    vocab = items["input_ids"].maximum
    rng = np.random.default_rng([0x77717562, seed])
    tokenizer = open_tokenizer(folder) if folder is not None else None
    if tokenizer is None:
        ids, mask = _random(rng, batch, sequence, vocab, pad_id)
        types = np.zeros_like(ids)
    else:
        ids, types, mask = encode(tokenizer, _choose(batch, sequence, seed), sequence, pad_id)
        if ids.max() >= vocab:
            raise InputError(f"{folder}: the tokenizer gives token {ids.max()}, but the model knows {vocab}")
    found = {"input_ids": ids, "attention_mask": mask}
    if "token_type_ids" in items:
        found["token_type_ids"] = np.minimum(types, items["token_type_ids"].maximum - 1)
    if "position_ids" in items:
        # RoBERTa gives padding the position `pad_id`; other families count on.
        positions = np.arange(sequence, dtype=np.int32)[None] + np.int32(first_position)
        pads = pad_id if first_position else positions
        found["position_ids"] = np.where(mask == 1, positions, pads).astype(np.int32)
    return {name: np.ascontiguousarray(found[name]) for name in items}


def _choose(batch: int, sequence: int, seed: int) -> list[str]:
    """One text a row: sentences joined until they fill 30 to 90 % of the row, by a rough count of words.

    Row r of a seed starts at a sentence of its own; seeds less than 24 apart never start alike.
    """
    count = len(SENTENCES)
    order = np.random.default_rng(0x73656E74).permutation(count)
    texts = []
    for row in range(batch):
        start, words, parts = seed * 7 + row, 0, list[str]()
        least = sequence * (0.3 + 0.6 * ((start * 5) % 11) / 10) / 1.3  # about 1.3 tokens a word
        while not parts or words < least:
            parts.append(SENTENCES[order[(start + 5 * len(parts)) % count]])
            words += len(parts[-1].split())
        texts.append(" ".join(parts))
    return texts


def _random(rng: np.random.Generator, batch: int, sequence: int, vocab: int, pad_id: int) -> tuple[I32, I32]:
    ids = rng.integers(0, vocab, (batch, sequence), dtype=np.int32)
    ids[ids == pad_id] = (pad_id + 1) % vocab
    # The first row is full, the last shows padding, those between lose up to half.
    lengths = rng.integers(max(1, sequence // 2), sequence + 1, batch)
    lengths[0], lengths[-1] = sequence, sequence - sequence // 4
    mask = (np.arange(sequence)[None] < lengths[:, None]).astype(np.int32)
    return np.where(mask == 1, ids, np.int32(pad_id)).astype(np.int32), mask
