import numpy as np
import pytest
from tiny_model import CONFIG

from bench.models import llama
from bench.models.bert import build
from bench.models.synthetic import GEOMETRIES, SyntheticModel
from bench.models.tokenize import make_inputs
from bench.reference.execute import run


@pytest.mark.parametrize(
    ("name", "parameters"), [("bert-base-uncased", 109_482_240), ("bert-tiny", 4_385_920)]
)
def test_geometries_have_the_known_sizes(name, parameters):
    model = SyntheticModel(GEOMETRIES[name])
    program = build(model.config, model.tensors, batch=1, sequence=4, name=name)
    assert program.parameters == parameters
    assert program.outputs == ("last_hidden_state", "pooler_output")


def test_a_tensor_depends_on_its_name_and_the_seed_only():
    first, second, other = SyntheticModel(CONFIG), SyntheticModel(CONFIG), SyntheticModel(CONFIG, seed=1)
    names = list(first.tensors)
    forward = {name: first.load(name) for name in names}
    assert all(np.array_equal(second.load(name), forward[name]) for name in reversed(names))
    assert not np.array_equal(other.load(names[0]), forward[names[0]])
    assert not np.array_equal(
        forward["encoder.layer.0.attention.self.query.weight"],
        forward["encoder.layer.0.attention.self.key.weight"],
    )
    assert first.sha256 == second.sha256 != other.sha256
    assert first.sha256 != SyntheticModel({**CONFIG, "vocab_size": 51}).sha256


def test_scales_are_those_of_an_initialization():
    model = SyntheticModel(GEOMETRIES["bert-tiny"])
    assert model.load("embeddings.word_embeddings.weight").std() == pytest.approx(0.02, rel=0.02)
    up = model.load("encoder.layer.0.output.dense.weight")
    assert up.dtype == np.float32
    assert up.std() == pytest.approx(512**-0.5, rel=0.02)
    assert model.load("embeddings.LayerNorm.weight").mean() == pytest.approx(1, abs=0.02)
    assert abs(model.load("embeddings.LayerNorm.bias").mean()) < 0.02
    with pytest.raises(KeyError):
        model.load("nothing")


def test_activations_stay_sane():
    model = SyntheticModel(GEOMETRIES["bert-tiny"])
    program = build(model.config, model.tensors, batch=2, sequence=9, name="tiny")
    weights = {name: model.load(name) for name in model.tensors}
    hidden = run(program, weights, make_inputs(None, program.main, 0))["last_hidden_state"]
    assert 0.5 < hidden.std() < 2
    assert np.abs(hidden).max() < 10


@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model_of_32_layers_stays_sane(tied):
    """As deep as Llama 3.1's; neither the last hidden states nor the logits grow with the layers."""
    config = {**GEOMETRIES["llama-3.1-8b"], "hidden_size": 128, "num_attention_heads": 8, "head_dim": 16}
    config |= {"num_key_value_heads": 2, "intermediate_size": 448, "vocab_size": 1003}
    model = SyntheticModel({**config, "tie_word_embeddings": tied})
    program = llama.build(model.config, model.tensors, batch=1, sequence=24, name="deep", generate=4)
    weights = {name: model.load(name) for name in model.tensors} | llama.constants(model.config)
    states = program.zeros()
    ids = np.arange(24, dtype=np.int32)[None] * 41
    logits = run(program, weights, {"input_ids": ids}, states=states)["logits"]
    assert 0.1 < logits.std() < 3 and np.abs(logits).max() < 16
    assert np.abs(states["key_cache.31"]).max() < 20 and 0.1 < states["value_cache.31"][:24].std() < 3
