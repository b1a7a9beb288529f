"""Seeded weights for a geometry: for speed, where the real ones cannot be had. Their accuracy means nothing.

Scaled like a fresh initialization, so activations stay sane through any depth: tables and linear layers
normal (0.02 and 1/sqrt(K)), the gains of norms near 1, biases small. Each tensor has a generator of its own,
seeded with its name, so neither the order nor the set of tensors loaded matters.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.models.families import family_of

GENERATOR = "webquant.synthetic/1"  # another formula below is another version
SEED = 0

_BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
_LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
}
_LLAMA3 = {
    **_LLAMA,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "rope_theta": 500000.0,
}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
GEOMETRIES: dict[str, dict[str, Any]] = {
    # 109,482,240 parameters, as Devlin et al. 2018 (the pooler included).
    "bert-base-uncased": {
        **_BERT,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    # 4,385,920 parameters: the least of Turc et al. 2019 (arXiv 1908.08962).
    "bert-tiny": {
        **_BERT,
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 512,
    },
    # 37,760,640 parameters with the projection tied to the embeddings, as Radford et al. 2022.
    "whisper-tiny": {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "d_model": 384,
        "num_mel_bins": 80,
        "encoder_layers": 4,
        "encoder_attention_heads": 6,
        "encoder_ffn_dim": 1536,
        "decoder_layers": 4,
        "decoder_attention_heads": 6,
        "decoder_ffn_dim": 1536,
        "vocab_size": 51865,
        "max_source_positions": 1500,
        "max_target_positions": 448,
        "activation_function": "gelu",
        "decoder_start_token_id": 50258,
        "eos_token_id": 50257,
    },
    # 1,235,814,400 parameters, as Grattafiori et al. 2024 (arXiv 2407.21783) and its model card.
    "llama-3.2-1b": {
        **_LLAMA3,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "head_dim": 64,
        "rope_scaling": {**_LLAMA3_ROPE, "factor": 32.0},
        "tie_word_embeddings": True,
    },
    # 8,030,261,248 parameters, of the same source.
    "llama-3.1-8b": {
        **_LLAMA3,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "head_dim": 128,
        "rope_scaling": {**_LLAMA3_ROPE, "factor": 8.0},
        "tie_word_embeddings": False,
    },
    # 494,032,768 parameters, as Qwen Team 2024 (arXiv 2412.15115).
    "qwen2.5-0.5b": {
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
    },
    # 150,528 parameters; a vocabulary that no tile divides.
    "llama-tiny": {
        **_LLAMA,
        "vocab_size": 1003,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    },
}


class SyntheticModel:
    """Looks like an opened folder, but makes up each tensor when asked for it.

    Attributes:
        config: the geometry's `config.json`.
        tensors: name -> shape.
    """

    def __init__(self, config: Mapping[str, Any], seed: int = SEED) -> None:
        self.config = dict(config)
        self.tensors = family_of(config).layout(config)
        self.seed = seed

    @property
    def sha256(self) -> str:
        """Of what determines every value: generator version, seed and config."""
        text = json.dumps([GENERATOR, self.seed, self.config], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def load(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32, always the same; KeyError for a name that is not there."""
        shape = self.tensors[name]
        digest = hashlib.sha256(f"{GENERATOR}:{self.seed}:{name}".encode()).digest()
        normal = np.random.default_rng(list(digest)).standard_normal(shape, dtype=np.float32)
        if len(shape) > 1:
            table = "embeddings" in name or ".embed_" in name
            sigma = 0.02 if table else 1 / math.sqrt(math.prod(shape[1:]))
            normal *= np.float32(sigma)
            return normal
        centre = 1.0 if name.lower().endswith("norm.weight") else 0.0
        return np.float32(centre) + normal * np.float32(0.02)
