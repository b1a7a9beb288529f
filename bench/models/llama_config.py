"""What a `config.json` of the Llama family says, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.errors import InputError
from bench.models.config_keys import audit, flag, one_of
from bench.models.files import whole_number
from bench.models.rope import Rope, read_rope

# Model type -> the architecture that carries its head.
MODEL_TYPES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_READ = (
    *("model_type", "architectures", "hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps"),
    *("rope_theta", "rope_scaling", "rope_parameters", "hidden_act", "tie_word_embeddings"),
    *("attention_bias", "mlp_bias", "sliding_window", "use_sliding_window", "layer_types"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "rope_interleaved", "pretraining_tp", "id2label"),
)
# Read by nobody where no layer slides, or only by tools beside the library.
_IGNORED = ("max_window_layers", "is_llama_config", "transformers.js_config", "num_labels")


@dataclass(frozen=True)
class Geometry:
    """The numbers of a config, checked.

    Attributes:
        head: features of one head.
        window: positions that the model was made for.
        slides: how far back a token sees; None without such a limit.
        biased: whether q, k and v have biases.
        projected_bias: whether the attention's output has one too.
        feed_forward_bias: whether the three of the feed-forward part have.
        head_norms: whether each head of q and k is normalized (Qwen3).
        ends: the tokens that end a text.
    """

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    vocab: int
    window: int
    slides: int | None
    epsilon: float
    rope: Rope
    activation: str
    biased: bool
    projected_bias: bool
    feed_forward_bias: bool
    head_norms: bool
    tied: bool
    ends: tuple[int, ...]


def read_geometry(config: Mapping[str, Any], file: str = "config.json") -> Geometry:
    """Check a config; InputError, one line naming `file`, the key, its value and what is allowed."""
    audit(config, file, _READ, _IGNORED)
    kind = str(config.get("model_type"))
    number = partial(whole_number, config, file)
    names = config.get("architectures") or [MODEL_TYPES[kind]]
    if names != [MODEL_TYPES[kind]]:
        raise InputError(f"{file}: architectures {names!r} are not supported; allowed: {MODEL_TYPES[kind]}")
    hidden, heads = number("hidden_size"), number("num_attention_heads")
    kv_heads = number("num_key_value_heads", 1, heads)
    if heads % kv_heads:
        raise InputError(f"{file}: {kv_heads} num_key_value_heads do not divide {heads} num_attention_heads")
    if config.get("head_dim") is None and hidden % heads:
        raise InputError(f"{file}: {heads} num_attention_heads do not divide hidden_size {hidden}")
    head = number("head_dim", 1, hidden // heads)
    if head % 2:
        raise InputError(f"{file}: head_dim {head} is odd; rotary embeddings turn pairs")
    if flag(config, file, "rope_interleaved", False):
        raise InputError(f"{file}: rope_interleaved true is not supported; allowed: false, null")
    own_bias = flag(config, file, "attention_bias", False)
    return Geometry(
        hidden=hidden,
        intermediate=number("intermediate_size"),
        layers=number("num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        vocab=number("vocab_size"),
        window=number("max_position_embeddings"),
        slides=_slides(config, file, kind),
        epsilon=_epsilon(config, file),
        rope=read_rope(config, file),
        activation=one_of(config, file, "hidden_act", ("silu",), "silu"),
        # Qwen2 has biases in q, k and v that its config does not speak of.
        biased=own_bias or kind == "qwen2",
        projected_bias=own_bias and kind != "qwen2",
        feed_forward_bias=flag(config, file, "mlp_bias", False),
        head_norms=kind == "qwen3",
        tied=flag(config, file, "tie_word_embeddings", False),
        ends=_ends(config, file),
    )


def _slides(config: Mapping[str, Any], file: str, kind: str) -> int | None:
    """How far back a token sees; layers that differ in it are refused."""
    kinds = set(config.get("layer_types") or [])
    if kinds - {"full_attention", "sliding_attention"} or len(kinds) > 1:
        raise InputError(f"{file}: layer_types {sorted(kinds)} are not supported; allowed: all the same")
    if config.get("sliding_window") is None:
        return None
    if kind.startswith("qwen") and not flag(config, file, "use_sliding_window", False):
        return None
    if kind == "llama" or kinds == {"full_attention"}:
        return None
    return whole_number(config, file, "sliding_window")


def _epsilon(config: Mapping[str, Any], file: str) -> float:
    value = config.get("rms_norm_eps", 1e-6)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise InputError(f"{file}: rms_norm_eps {value!r} is not a number between 0 and 1")
    return float(value)


def _ends(config: Mapping[str, Any], file: str) -> tuple[int, ...]:
    told = config.get("eos_token_id")
    ends = told if isinstance(told, list) else [] if told is None else [told]
    if any(isinstance(end, bool) or not isinstance(end, int) for end in ends):
        raise InputError(f"{file}: eos_token_id {told!r} is not a token or a list of tokens")
    return tuple(ends)
