"""Writes a Hugging Face folder of odd geometry: hidden 24, 3 heads, feed-forward 40, vocabulary 50, 2
layers."""

import json

import numpy as np
from safetensors.numpy import save_file

from bench.models.bert import layout

CONFIG = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 33,
    "type_vocab_size": 2,
    "vocab_size": 50,
    "pad_token_id": 0,
}
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcdefghijklmnopqrstuvwxyz",
    ".",
    ",",
    "the",
    "##s",
]
VOCABULARY += [f"##{letter}" for letter in "abcdefghijklmno"]


def tensors(config=CONFIG, seed=3):
    """Random float32 tensors of a bare encoder with a pooler, by name."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in layout(config).items():
        values = rng.normal(0, 0.3 if len(shape) == 2 else 0.1, shape).astype(np.float32)
        found[name] = values + np.float32(1) if "LayerNorm.weight" in name else values
    return found


def write(folder, config=CONFIG, weights=None, *, vocabulary=True, pooling=None, normalize=True):
    """Write the folder and return it. `pooling` is a dict for `1_Pooling/config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors(config) if weights is None else weights, folder / "model.safetensors")
    if vocabulary:
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    if pooling is not None:
        kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
        kinds += [("2_Normalize", "Normalize")] if normalize else []
        modules = [{"path": p, "type": f"sentence_transformers.models.{kind}"} for p, kind in kinds]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir(exist_ok=True)
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


MEAN = {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
CLS = {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}


def add_pooling(folder, mode, normalize):
    """The modules around an encoder that lies there, in the form of sentence-transformers 5.4."""
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    kinds += [("2_Normalize", "Normalize")] if normalize else []
    modules = [{"path": p, "type": f"sentence_transformers.models.{kind}"} for p, kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    config = {"embedding_dimension": 24, "pooling_mode": mode, "include_prompt": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
