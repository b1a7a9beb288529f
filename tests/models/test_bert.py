import math

import numpy as np
import pytest
import tiny_model
from tiny_model import CONFIG

from bench.errors import InputError
from bench.models.bert import build, layout
from bench.models.bert_config import read_geometry
from bench.models.program import Program
from bench.models.sentence_modules import Pooling
from bench.reference.execute import run

SHAPES = layout(CONFIG)


def program(config=CONFIG, tensors=SHAPES, *, batch=2, sequence=7, pooling=None):
    return build(config, tensors, batch=batch, sequence=sequence, name="tiny", pooling=pooling)


def inputs(of, seed=0):
    rng = np.random.default_rng(seed)
    found = {i.name: rng.integers(0, i.maximum, i.shape).astype(np.int32) for i in of.main.inputs}
    found["attention_mask"] = np.ones_like(found["attention_mask"])
    found["attention_mask"][-1, 3:] = 0
    return found


def renamed(tensors, change):
    return {change(name): value for name, value in tensors.items()}


def test_graph_of_an_encoder_with_a_pooler():
    g = program()
    assert g.outputs == ("last_hidden_state", "pooler_output")
    assert [i.name for i in g.main.inputs] == [
        "input_ids",
        "token_type_ids",
        "position_ids",
        "attention_mask",
    ]
    assert [i.maximum for i in g.main.inputs] == [50, 2, 33, 2]
    assert {i.shape for i in g.main.inputs} == {(2, 7)}
    assert g.parameters == sum(math.prod(shape) for shape in SHAPES.values())
    attention = next(n for n in g.main.nodes if n.op == "attention")
    assert attention.attrs == {"heads": 3, "scale": 1 / math.sqrt(8), "batch": 2, "sequence": 7}
    assert next(n for n in g.main.nodes if n.name == "encoder.layer.1.attention.query").shape == (14, 24)
    last = next(n for n in g.main.nodes if n.output == "last_hidden_state")
    assert (last.op, last.shape) == ("layer_norm", (14, 24))
    assert Program.from_json(g.to_json()) == g


def test_roles():
    roles = {w.name: w.role for w in program().weights}
    assert roles["embeddings.word_embeddings.weight"] == "embedding"
    assert roles["encoder.layer.0.attention.output.dense.weight"] == "attention"
    assert roles["encoder.layer.0.intermediate.dense.weight"] == "feed_forward"
    assert roles["pooler.dense.weight"] == "head"
    assert {w.role for w in program().weights if len(w.shape) == 1} == {"vector"}


def test_prefix_and_old_names_change_nothing():
    weights = tiny_model.tensors()
    plain = run(program(), weights, inputs(program()))

    def old(name):
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        return f"bert.{name}"

    other = renamed(weights, old)
    g = program(tensors={n: v.shape for n, v in other.items()})
    found = run(g, other, inputs(g))
    assert list(found) == ["last_hidden_state", "pooler_output"]
    assert all(np.array_equal(found[name], plain[name]) for name in plain)


def test_without_a_pooler():
    bare = {n: s for n, s in SHAPES.items() if "pooler" not in n}
    assert program(tensors=bare).outputs == ("last_hidden_state",)


@pytest.mark.parametrize(
    ("pooling", "ops"),
    [
        (Pooling("mean", True), ["mean_pool", "l2_normalize"]),
        (Pooling("cls", True), ["first_token", "l2_normalize"]),
        (Pooling("mean", False), ["mean_pool"]),
    ],
)
def test_sentence_pooling(pooling, ops):
    g = program(pooling=pooling)
    assert g.outputs == ("last_hidden_state", "sentence_embedding")
    assert [n.op for n in g.main.nodes][-len(ops) :] == ops
    assert "pooler.dense.weight" not in {w.name for w in g.weights}
    found = run(g, tiny_model.tensors(), inputs(g))["sentence_embedding"]
    assert found.shape == (2, 24)
    if pooling.normalize:
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_classification_head():
    config = {**CONFIG, "architectures": ["BertForSequenceClassification"]}
    weights = renamed(tiny_model.tensors(), lambda name: f"bert.{name}")
    weights["classifier.weight"] = np.ones((5, 24), np.float32) * np.arange(5, dtype=np.float32)[:, None]
    weights["classifier.bias"] = np.zeros(5, np.float32)
    g = program(config, {n: v.shape for n, v in weights.items()})
    assert g.outputs == ("last_hidden_state", "logits", "probabilities")
    found = run(g, weights, inputs(g))
    assert found["logits"].shape == (2, 5)
    assert np.allclose(found["probabilities"].sum(axis=1), 1, atol=1e-6)
    del weights["classifier.weight"]
    with pytest.raises(InputError, match=r"classifier\.weight is missing"):
        program(config, {n: v.shape for n, v in weights.items()})


def test_padding_does_not_reach_valid_tokens():
    g = program()
    first, second = inputs(g), inputs(g)
    second["input_ids"][-1, 3:] = 9
    weights = tiny_model.tensors()
    a, b = (run(g, weights, i)["last_hidden_state"].reshape(2, 7, 24) for i in (first, second))
    assert np.array_equal(a[0], b[0])
    assert np.array_equal(a[1, :3], b[1, :3])
    assert not np.array_equal(a[1, 3:], b[1, 3:])


def test_roberta_counts_positions_from_the_padding_token():
    config = {**CONFIG, "model_type": "roberta", "type_vocab_size": 1, "architectures": None}
    del config["pad_token_id"]
    assert read_geometry(config).first_position == 2
    shapes = {f"roberta.{n}": s for n, s in layout(config).items() if "pooler" not in n}
    head = {
        "classifier.dense.weight": (24, 24),
        "classifier.dense.bias": (24,),
        "classifier.out_proj.weight": (2, 24),
        "classifier.out_proj.bias": (2,),
    }
    g = program({**config, "architectures": ["RobertaForSequenceClassification"]}, shapes | head, sequence=31)
    assert g.outputs[1:] == ("logits", "probabilities")
    with pytest.raises(InputError, match="sequence length 32 exceeds the 31 positions"):
        program(config, shapes, sequence=32)


def test_distilbert():
    config = {
        "model_type": "distilbert",
        "architectures": ["DistilBertForSequenceClassification"],
        "dim": 24,
        "n_layers": 2,
        "n_heads": 3,
        "hidden_dim": 40,
        "activation": "gelu",
        "max_position_embeddings": 33,
        "vocab_size": 50,
    }
    shapes = {f"distilbert.{n}": s for n, s in layout(config).items()}
    shapes |= {"pre_classifier.weight": (24, 24), "pre_classifier.bias": (24,)}
    shapes |= {"classifier.weight": (2, 24), "classifier.bias": (2,)}
    g = program(config, shapes)
    assert "token_type_ids" not in {i.name for i in g.main.inputs}
    assert "distilbert.transformer.layer.1.ffn.lin2.weight" in {w.name for w in g.weights}
    assert [n.attrs.get("kind") for n in g.main.nodes if n.name == "head.activation"] == ["relu"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "gpt2"}, "config.json: model_type 'gpt2' is not supported; allowed: bert"),
        ({"num_attention_heads": 5}, "5 attention heads do not divide the hidden size 24"),
        ({"hidden_size": "24"}, "hidden_size must be a whole number of at least 1, not '24'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be a whole number of at least 1, not 0"),
        ({"hidden_act": "swish"}, "hidden_act 'swish' is not supported; allowed: gelu"),
        (
            {"position_embedding_type": "relative_key"},
            "'relative_key' is not supported",
        ),
        ({"layer_norm_eps": 0}, "layer_norm_eps must lie between"),
        (
            {"vocab_size": 51},
            r"tensor embeddings\S+weight has shape \[50, 24\], but config.json asks for \[51, 24\]",
        ),
        ({"num_hidden_layers": 3}, r"tensor encoder.layer.2.attention.self.query.weight .* is missing"),
        ({"num_hidden_layers": 1}, r"encoder.layer.1.\S+ is beyond the 1 layers"),
    ],
)
def test_a_config_that_cannot_be(change, words):
    with pytest.raises(InputError, match=words) as caught:
        program({**CONFIG, **change})
    assert "\n" not in str(caught.value)


def test_a_sequence_too_long():
    with pytest.raises(InputError, match="sequence length 34 exceeds the 33 positions of tiny"):
        program(sequence=34)


def test_a_missing_number():
    with pytest.raises(InputError, match="vocab_size must be a whole number of at least 1, not None"):
        program({key: value for key, value in CONFIG.items() if key != "vocab_size"})
