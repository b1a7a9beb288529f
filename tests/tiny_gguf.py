"""Writes a language model as a GGUF file the way llama.cpp's converter does, q and k of a Llama turned."""

import gguf
import numpy as np

from bench.models.llama import layout

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 1003,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def tensors(config=CONFIG, seed=5):
    """Hugging Face's name -> float32."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in layout(config).items()}


def permuted(weights, heads):
    """`LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py."""
    rows = weights.shape[0]
    halves = weights.reshape(heads, 2, rows // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def write(path, config=CONFIG, values=None, kind="F32", fields=(), more=None, tokens=None):
    """A file of `config`; `fields` are (key, value) beside the usual ones, `more` tensors by GGUF's names."""
    values = tensors(config) if values is None else values
    arch = config["model_type"].replace("mistral", "llama")
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    for key, value in fields:
        method = {str: "add_string", bool: "add_bool", int: "add_uint32", float: "add_float32"}[type(value)]
        getattr(writer, method)(key.format(arch=arch), value)
    if tokens is not None:
        tokens(writer)
    for name, value in values.items():
        if arch == "llama" and ".q_proj." in name:
            value = permuted(value, config["num_attention_heads"])
        if arch == "llama" and ".k_proj." in name:
            value = permuted(value, config["num_key_value_heads"])
        _add(writer, _gguf_name(name), value, kind if value.ndim > 1 else "F32")
    for name, value in (more or {}).items():
        _add(writer, name, value, "F32")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _gguf_name(name):
    stem, _, part = name.rpartition(".")
    if stem.startswith("model.layers."):
        _, _, index, inside = stem.split(".", 3)
        return f"blk.{index}.{_NAMES[inside]}.{part}"
    return f"{_NAMES[stem]}.{part}"


def _add(writer, name, value, kind):
    how = gguf.GGMLQuantizationType[kind]
    writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(value), how), raw_dtype=how)
