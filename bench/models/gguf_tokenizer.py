"""The tokenizer that a GGUF file carries, made a `tokenizers.Tokenizer`.

Byte-level pairs (`tokenizer.ggml.model` gpt2) with the pre-tokenizers of SmolLM2, Llama 3 and Qwen2, and
SentencePiece's pairs (`llama`), as llama.cpp's `llama-vocab.cpp` and the transformers library's converters
have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

from bench.errors import InputError
from bench.models.gguf_reader import read_gguf

# A word of at most `digits` digits; the rest is one for both.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}|"
    r" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = ("llama-bpe", "llama3", "llama-v3")
_QWEN2 = ("qwen2", "deepseek-r1-qwen")
_SPLIT = {**dict.fromkeys(_LLAMA3, "{1,3}"), **dict.fromkeys(_QWEN2, "")}
_DIGITS, _PLAIN = ("smollm",), ("gpt-2", "gpt2")
_NORMAL, _UNKNOWN, _CONTROL, _OWN, _BYTE = 1, 2, 3, 4, 6
_SPACE = "\u2581"


def without_gguf_tokenizer(path: Path) -> str | None:
    """Why a file's tokenizer is not read, in a few words; None where it is."""
    fields = read_gguf(path).fields
    model, kind = fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre")
    if model is None or "tokenizer.ggml.tokens" not in fields:
        return "the file has no tokenizer"
    if model == "llama":
        return None if "tokenizer.ggml.scores" in fields else "its tokenizer has no scores"
    if model != "gpt2":
        return f"its tokenizer is of the kind {model}, which is not read here"
    if kind not in (*_SPLIT, *_DIGITS, *_PLAIN):
        return f"its pre-tokenizer {kind} is not read here"
    return None if "tokenizer.ggml.merges" in fields else "its tokenizer has no merges"


def open_gguf_tokenizer(path: Path) -> Any | None:
    """The file's tokenizer, or None where it has none that is read here.

    Raises:
        InputError: its parts contradict each other.
    """
    if without_gguf_tokenizer(path) is not None:
        return None
    fields = read_gguf(path).fields
    try:
        whole = _pieces(fields) if fields["tokenizer.ggml.model"] == "llama" else _byte_level(fields)
        _add_special(whole, fields)
    except Exception as error:  # the library raises bare Exception
        raise InputError(f"{path}: its tokenizer cannot be read: {error}") from error
    return whole


def _byte_level(fields: Mapping[str, Any]) -> Any:
    tokens, kind = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.pre"]
    merges = [tuple(pair.split(" ", 1)) for pair in fields["tokenizer.ggml.merges"]]
    whole = Tokenizer(
        BPE({token: index for index, token in enumerate(tokens)}, merges, ignore_merges=kind in _LLAMA3)
    )
    if kind in _SPLIT:
        words = pre_tokenizers.Split(Regex(_WORDS.format(digits=_SPLIT[kind])), "isolated")
        parts = [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    else:
        parts = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
        if kind in _DIGITS:
            parts.insert(0, pre_tokenizers.Digits(individual_digits=True))
    whole.pre_tokenizer = pre_tokenizers.Sequence(parts)
    if kind in _QWEN2:
        whole.normalizer = normalizers.NFC()
    whole.decoder = decoders.ByteLevel()
    return whole


def _pieces(fields: Mapping[str, Any]) -> Any:
    """SentencePiece's pairs: a merge for each way to put a piece together, the likeliest piece first."""
    tokens, scores = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.scores"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    found = []
    for token, score in zip(tokens, scores, strict=True):
        pairs = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]
        known.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
        found += [(score, pair) for pair in known]
    found.sort(key=lambda one: (one[0], len(one[1][0]), len(one[1][1])), reverse=True)
    unknown = tokens[fields.get("tokenizer.ggml.unknown_token_id", 0)]
    merges = [pair for _, pair in found]
    whole = Tokenizer(BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    spaced = [normalizers.Prepend(_SPACE)] if fields.get("tokenizer.ggml.add_space_prefix", True) else []
    whole.normalizer = normalizers.Sequence([*spaced, normalizers.Replace(" ", _SPACE)])
    strip = [decoders.Strip(" ", 1, 0)] if spaced else []
    whole.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    return whole


def _add_special(whole: Any, fields: Mapping[str, Any]) -> None:
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields.get("tokenizer.ggml.token_type", [])
    special = [token for token, kind in zip(tokens, kinds, strict=False) if kind in (_UNKNOWN, _CONTROL)]
    whole.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    own = [token for token, kind in zip(tokens, kinds, strict=False) if kind == _OWN]
    whole.add_tokens([AddedToken(token, normalized=False) for token in own])
    begin = fields.get("tokenizer.ggml.bos_token_id")
    # Without the key, SentencePiece's and Llama 3's begin with it; Qwen's and SmolLM2's do not.
    default = fields["tokenizer.ggml.model"] == "llama" or fields.get("tokenizer.ggml.pre") in _LLAMA3
    if begin is not None and fields.get("tokenizer.ggml.add_bos_token", default):
        token = tokens[begin]
        whole.post_processor = TemplateProcessing(
            single=f"{token} $A", pair=f"{token} $A $B", special_tokens=[(token, int(begin))]
        )
