"""A language model's file in onnxruntime on the processor: prompt and tokens give what our NumPy gives."""

import numpy as np
import pytest
from test_onnx_graph import BOUND, packed, session, unpacked

from bench.export.onnx_graph import check, to_onnx
from bench.export.onnx_weights import NotInOnnx
from bench.models import llama
from bench.reference.compare import rel_l2
from bench.reference.execute import run

CONFIG = {
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 70,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 103,
    "max_position_embeddings": 64,
}
KINDS = {
    "llama": {},
    "tied": {"tie_word_embeddings": True},
    "one head of keys": {"num_key_value_heads": 1, "num_attention_heads": 3, "head_dim": 16},
    "qwen2": {"model_type": "qwen2"},
    "qwen3": {"model_type": "qwen3", "head_dim": 32},
}


def tensors(config):
    """Random weights of a checkpoint, the constants with them."""
    rng = np.random.default_rng(5)
    found = {}
    for name, shape in llama.layout(config).items():
        values = rng.normal(0, 0.2, shape).astype(np.float32)
        found[name] = values + np.float32(1) if "norm" in name else values
    return {**found, **llama.constants(config)}


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("bits", [16, 8, 4, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_prompt_and_tokens(kind, bits, scheme):
    """Five tokens after a prompt of seven, the caches handed on; the token that it chooses is ours."""
    config = {**CONFIG, **KINDS[kind]}
    made = tensors(config)
    program = llama.build(config, None, batch=1, sequence=7, name="tiny", generate=9)
    table, stored = packed(program, made, bits, scheme=scheme)
    file = session(to_onnx(program, table, stored))
    weights = {weight.name: unpacked(weight.name, table, stored) for weight in program.weights}
    caches = {
        one.name: np.zeros(one.shape, np.float32)
        for one in file.get_inputs()
        if one.name.startswith("past_key_values")
    }
    assert len(caches) == 4
    states = program.zeros()
    ids = np.random.default_rng(6).integers(0, 103, (1, 7)).astype(np.int32)
    length, entry, inputs = 0, "prefill", {"input_ids": ids}
    for _ in range(6):
        want = run(program, weights, inputs, entry=entry, states=states)["logits"]
        length += ids.shape[1]
        feeds = {
            **caches,
            "input_ids": ids,
            "seqlens_k": np.array([length - 1], np.int32),
            "total_sequence_length": np.array([length], np.int32),
        }
        names = [one.name for one in file.get_outputs()]
        got = dict(zip(names, file.run(names, feeds), strict=True))
        assert rel_l2(got["logits"][0], want) < BOUND
        assert got["next_token"].tolist() == [states["token"].tolist()]
        caches = {name: got[name.replace("past_key_values", "present")] for name in caches}
        ids, entry, inputs = states["token"][None].copy(), "decode", {}


def test_heads_that_its_attention_does_not_take_are_refused():
    """Before any weight is packed, with what runs them."""
    config = {**CONFIG, "head_dim": 12}
    program = llama.build(config, None, batch=1, sequence=7, name="tiny", generate=9)
    with pytest.raises(NotInOnnx, match=r"heads of 12 features.*multiples of 8; engine native runs it"):
        check(program, 4)
