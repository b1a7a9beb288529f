"""The Llama family against transformers: it builds and saves a model of odd geometry, our NumPy runs it.

Needs the extra `reference` (PyTorch and transformers).
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from bench.errors import InputError
from bench.models import llama
from bench.models.catalog import resolve
from bench.models.program import Program
from bench.reference.compare import rel_l2
from bench.reference.execute import run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip(
        "torch", reason="the extra `reference` is not installed (pip install '.[reference]')"
    )
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

pytestmark = pytest.mark.filterwarnings("ignore")
LIMIT = 1e-4
STRETCHED = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
KINDS = {
    "llama": {"hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1},
    "llama-scaled": {"rope_scaling": STRETCHED, "rope_theta": 500.0, "tie_word_embeddings": True},
    "llama-linear": {"rope_scaling": {"rope_type": "linear", "factor": 2.0}, "attention_bias": True},
    "llama-biased": {"mlp_bias": True, "attention_bias": True},
    "mistral": {"sliding_window": 4096},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 20, "num_attention_heads": 4, "num_key_value_heads": 2},
}


def saved(folder, kind, seed=0, **more):
    """A folder as transformers writes it, and the model."""
    config = {
        "hidden_size": 96,
        "intermediate_size": 101,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "vocab_size": 1003,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": None,
        **KINDS[kind],
        **more,
    }
    name = kind.split("-")[0]
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(name, **config), attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.endswith("bias") or "norm" in key:
                value += 0.2 * torch.randn_like(value)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("sequence", [1, 7, 33])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers(tmp_path, kind, sequence):
    """The prompt's last logits, and those of five tokens after it, with the caches in between."""
    model = saved(tmp_path, kind)
    source = resolve("odd", tmp_path)
    program = source.program(1, sequence, 9)
    weights = {weight.name: source.load(weight.name) for weight in program.weights}
    states = program.zeros()
    ids = np.random.default_rng(4).integers(0, 1003, (1, sequence)).astype(np.int32)
    text = ids
    outputs = run(program, weights, {"input_ids": ids}, states=states)
    for _ in range(6):
        with torch.no_grad():
            truth = model(torch.from_numpy(text.astype(np.int64))).logits[0, -1].numpy()
        assert rel_l2(outputs["logits"][0], truth) < LIMIT
        assert states["token"][0] == truth.argmax()
        assert states["length"][0] == text.shape[1]
        text = np.append(text, states["token"][None], axis=1)
        outputs = run(program, weights, {}, entry="decode", states=states)
    assert states["tokens"][sequence : sequence + 6].tolist() == text[0, sequence:].tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_shards_of_halves_are_read(tmp_path, dtype):
    """A model saved in halves over several files is the model that transformers loads from them."""
    model = saved(tmp_path / "whole", "llama").to(getattr(torch, dtype))
    model.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    source = resolve("odd", tmp_path / "shards")
    program = source.program(1, 7)
    weights = {weight.name: source.load(weight.name) for weight in program.weights}
    ids = np.arange(7, dtype=np.int32)[None]
    got = run(program, weights, {"input_ids": ids})["logits"][0]
    with torch.no_grad():
        truth = model.float()(torch.from_numpy(ids.astype(np.int64))).logits[0, -1].numpy()
    assert rel_l2(got, truth) < LIMIT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "'yarn' is not supported"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"num_key_value_heads": 2}, "2 num_key_value_heads do not divide 3"),
        ({"num_experts": 8}, "the key 'num_experts' (8) is not known"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "architectures"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "low_freq_factor None"),
    ],
)
def test_a_config_that_is_not_computed_is_refused_in_one_line(change, words):
    """With its key and value."""
    config = {
        "model_type": "llama",
        "hidden_size": 96,
        "intermediate_size": 100,
        "num_hidden_layers": 1,
        "num_attention_heads": 3,
        "vocab_size": 50,
        "max_position_embeddings": 64,
    }
    llama.read_geometry(config)
    with pytest.raises(InputError) as caught:
        llama.read_geometry({**config, **change})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_tokens_than_the_window_are_refused(tmp_path):
    """And the line names all three numbers."""
    saved(tmp_path, "llama")
    source = resolve("odd", tmp_path)
    source.program(1, 100, 28)
    with pytest.raises(InputError, match=r"sequence_length 100 \+ generate 29 = 129 tokens.* window of 128"):
        source.program(1, 100, 29)
    with pytest.raises(InputError, match="one sequence at a time"):
        source.program(2, 100, 4)


def test_a_program_survives_its_json(tmp_path):
    """What a page reads is what the family said."""
    saved(tmp_path, "llama")
    program = resolve("odd", tmp_path).program(1, 7, 9)
    assert Program.from_json(program.to_json()) == program
