"""Writes a Hugging Face folder of a language model of odd geometry: hidden 24, 3 heads of one key-value head,
feed-forward 40, vocabulary 51, 2 layers, a window of 96 tokens."""

import json

import numpy as np
from safetensors.numpy import save_file

from bench.models.llama import layout

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 96,
    "vocab_size": 51,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}


def write(folder, config=CONFIG, seed=5):
    """Write the folder, with random float32 weights and no tokenizer, and return it."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {
        name: rng.normal(1.0 if len(shape) == 1 else 0.0, 0.2, shape).astype(np.float32)
        for name, shape in layout(config).items()
    }
    save_file(tensors, folder / "model.safetensors")
    return folder
