"""Seeded weights for a geometry: for speed, where the real ones cannot be had. Their accuracy means nothing.

Scaled like a fresh initialization, so activations stay sane through any depth: tables and linear layers
normal (0.02 and 1/sqrt(K)), LayerNorm gains near 1, biases small. Each tensor has a generator of its own,
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

from bench.models.bert import layout

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
}


class SyntheticModel:
    """Looks like an opened folder, but makes up each tensor when asked for it.

    Attributes:
        config: the geometry's `config.json`.
        tensors: name -> shape.
    """

    def __init__(self, config: Mapping[str, Any], seed: int = SEED) -> None:
        self.config = dict(config)
        self.tensors = layout(config)
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
        if len(shape) == 2:
            sigma = 0.02 if "embeddings" in name else 1 / math.sqrt(shape[1])
            return normal * np.float32(sigma)
        centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        return np.float32(centre) + normal * np.float32(0.02)
