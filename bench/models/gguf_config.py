"""The `config.json` that a GGUF file's metadata amount to, with Hugging Face's keys.

Sources: the GGUF specification's standardized keys; llama.cpp's `convert_hf_to_gguf.py`, which wrote them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.models.gguf_reader import Gguf
from bench.models.rope import Rope

# llama.cpp's architecture -> model type. Mistral's files say llama.
ARCHITECTURES = {"llama": "llama", "mistral": "mistral", "qwen2": "qwen2", "qwen3": "qwen3"}
_HEADS = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}
FACTORS = "rope_freqs.weight"
# Keys that change the answer, beside those that are read; with the values that say nothing.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "expert_count": (0,),
    "attention.sliding_window": (0,),
    "logit_scale": (0.0, 1.0),
    "embedding_scale": (0.0, 1.0),
    "residual_scale": (0.0, 1.0),
    "attention.scale": (0.0,),
    "attention.clamp_kqv": (0.0,),
    "attention.max_alibi_bias": (0.0,),
    "attention.causal": (True,),
    "use_parallel_residual": (False,),
    "rope.scale_linear": (1.0,),
}
# Llama 3.1 and 3.2 alike; their factor is what the longest wave is stretched by.
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def config_of(file: Gguf) -> dict[str, Any]:
    """The config of a file; InputError, one line, for an architecture or a key that cannot be said."""
    told = _Told(file)
    head = told.whole("attention.key_length", told.hidden // told.heads)
    if told.whole("attention.value_length", head) != head:
        raise told.refused("attention.value_length", "allowed: that of attention.key_length")
    if told.whole("rope.dimension_count", head) != head:
        raise told.refused("rope.dimension_count", f"allowed: {head}, the whole of a head")
    config: dict[str, Any] = {
        "model_type": told.model_type,
        "architectures": [f"{_HEADS[told.model_type]}ForCausalLM"],
        "hidden_size": told.hidden,
        "intermediate_size": told.whole("feed_forward_length"),
        "num_hidden_layers": told.whole("block_count"),
        "num_attention_heads": told.heads,
        "num_key_value_heads": told.whole("attention.head_count_kv", told.heads),
        "head_dim": head,
        "max_position_embeddings": told.whole("context_length"),
        "rms_norm_eps": told.number("attention.layer_norm_rms_epsilon", 1e-6),
        "rope_theta": told.number("rope.freq_base", 10_000.0),
        "hidden_act": "silu",
        "vocab_size": _vocabulary(file),
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }
    if told.model_type != "qwen2" and "blk.0.attn_q.bias" in file.tensors:
        config["attention_bias"] = True
    if "blk.0.ffn_up.bias" in file.tensors:
        config["mlp_bias"] = True
    scaling = _scaling(told, head, config["rope_theta"])
    if scaling:
        config["rope_scaling"] = scaling
    for key, name in (("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")):
        value = file.fields.get(f"tokenizer.ggml.{name}_token_id")
        if value is not None:
            config[key] = int(value)
    return config


class _Told:
    """The metadata of one architecture."""

    def __init__(self, file: Gguf) -> None:
        self.file = file
        self.arch = str(file.fields.get("general.architecture", ""))
        if self.arch not in ARCHITECTURES:
            raise InputError(
                f"{file.path}: architecture {self.arch!r} is not supported as GGUF; "
                f"allowed: {', '.join(ARCHITECTURES)}"
            )
        self.model_type = ARCHITECTURES[self.arch]
        self.hidden = self.whole("embedding_length")
        self.heads = self.whole("attention.head_count")
        for key, values in _NEUTRAL.items():
            value = self.get(key)
            if value is not None and value not in values:
                raise self.refused(key, "allowed: none")

    def get(self, key: str) -> Any:
        return self.file.fields.get(f"{self.arch}.{key}")

    def refused(self, key: str, allowed: str) -> InputError:
        value = str(self.get(key))
        shown = value if len(value) <= 60 else f"{value[:57]}..."
        return InputError(f"{self.file.path}: {self.arch}.{key} {shown} is not supported; {allowed}")

    def whole(self, key: str, default: int | None = None) -> int:
        value = self.get(key)
        if isinstance(value, list) and len(set(value)) == 1:
            value = value[0]  # one for each layer, all the same
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.refused(key, "allowed: one whole number of at least 1")
        return value

    def number(self, key: str, default: float) -> float:
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.refused(key, "allowed: a number")
        # Stored as float32: 9.999999747e-06 was written as 1e-05.
        return float(str(np.float32(value)))


def _vocabulary(file: Gguf) -> int:
    if "token_embd.weight" not in file.tensors:
        raise InputError(f"{file.path}: tensor token_embd.weight is missing; expected a language model")
    return file.tensors["token_embd.weight"].shape[0]


def _scaling(told: _Told, head: int, theta: float) -> dict[str, Any] | None:
    """`rope_scaling` of the config, or None."""
    kind = told.get("rope.scaling.type")
    if FACTORS in told.file.tensors:
        if kind not in (None, "none", "llama3"):
            raise told.refused("rope.scaling.type", f"allowed beside {FACTORS}: none")
        return _by_factors(told, head, theta)
    if kind in (None, "none"):
        return None
    if kind != "linear":
        raise told.refused("rope.scaling.type", f"allowed: none, linear, or Llama 3's {FACTORS}")
    return {"rope_type": "linear", "factor": told.number("rope.scaling.factor", 1.0)}


def _by_factors(told: _Told, head: int, theta: float) -> dict[str, Any] | None:
    """Llama 3's scaling, whose table of divisors is all that the file has of it."""
    factors = told.file.load(FACTORS).ravel()
    if np.array_equal(factors, np.ones_like(factors)):
        return None
    factor = float(str(np.float32(factors.max())))
    scaling: dict[str, Any] = {"rope_type": "llama3", "factor": factor, **_LLAMA3}
    made = _divisors(head, theta, factor)
    if factors.shape != made.shape or not np.allclose(factors, made, rtol=1e-4):
        raise InputError(
            f"{told.file.path}: tensor {FACTORS} holds other divisors than Llama 3's rope scaling "
            f"(low_freq_factor 1, high_freq_factor 4 over 8192 positions) gives, which cannot be said here"
        )
    return scaling


def _divisors(head: int, theta: float, factor: float) -> NDArray[np.float64]:
    """What Llama 3's scaling divides each frequency by, float64 [head / 2]."""
    numbers = tuple({"factor": factor, **_LLAMA3}.items())
    return Rope(theta).frequencies(head) / Rope(theta, "llama3", numbers).frequencies(head)
