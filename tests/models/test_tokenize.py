import json

import numpy as np
import pytest
import tiny_model
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import CONFIG
from tokenizers import BertWordPieceTokenizer

from bench.errors import InputError
from bench.models.bert import build, layout
from bench.models.sentences import SENTENCES
from bench.models.tokenize import encode, make_inputs, open_tokenizer


def graph(batch, sequence, config=CONFIG):
    return build(config, layout(config), batch=batch, sequence=sequence, name="tiny").main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model.write(tmp_path_factory.mktemp("tiny"))


@given(batch=st.integers(1, 5), sequence=st.integers(1, 33), seed=st.integers(0, 1000), real=st.booleans())
def test_inputs_fit_their_graph(folder, batch, sequence, seed, real):
    of = graph(batch, sequence)
    found = make_inputs(folder if real else None, of, seed)
    assert list(found) == [i.name for i in of.inputs]
    for item in of.inputs:
        assert found[item.name].dtype == np.int32
        assert found[item.name].shape == (batch, sequence)
        assert found[item.name].min() >= 0
        assert found[item.name].max() < item.maximum
    mask = found["attention_mask"]
    assert (mask[:, 0] == 1).all()
    assert (np.diff(mask, axis=1) <= 0).all()  # padding only at the end
    assert (found["input_ids"][mask == 0] == 0).all()
    if sequence >= 4:
        assert (mask == 0).any()
    again = make_inputs(folder if real else None, of, seed)
    assert all(np.array_equal(found[name], again[name]) for name in found)


@pytest.mark.parametrize("real", [True, False])
def test_seeds_differ(folder, real):
    of = graph(1, 16)
    seen = {make_inputs(folder if real else None, of, seed)["input_ids"].tobytes() for seed in range(8)}
    assert len(seen) == 8


def test_a_cut_text_keeps_its_last_special_token(folder):
    tokenizer = open_tokenizer(folder)
    ids, types, mask = encode(tokenizer, ["a b c d e f g", "a", "a b c d e f g"], 6, 0)
    letters = range(5, 12)
    assert ids.tolist() == [
        [2, *letters[:4], 3],
        [2, 5, 3, 0, 0, 0],
        [2, *letters[:3], 3, 0],  # the last row always shows padding
    ]
    assert mask.sum(axis=1).tolist() == [6, 3, 5]
    assert not types.any()


def test_tokenizer_json_wins_and_its_own_padding_is_off(folder, tmp_path):
    tokenizer = BertWordPieceTokenizer(str(folder / "vocab.txt"))
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert len(open_tokenizer(tmp_path).encode("a b c d").ids) == 6


def test_casing_is_the_models(tmp_path):
    tiny_model.write(tmp_path)
    assert open_tokenizer(tmp_path).encode("A").ids == [2, 5, 3]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    assert open_tokenizer(tmp_path).encode("A").ids == [2, 1, 3]


def test_no_tokenizer(tmp_path):
    assert open_tokenizer(tmp_path) is None


def test_damaged_tokenizers(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer\.json is not a tokenizer"):
        open_tokenizer(tmp_path)


def test_a_tokenizer_larger_than_the_model(folder):
    with pytest.raises(InputError, match="but the model knows 20"):
        make_inputs(folder, graph(2, 16, {**CONFIG, "vocab_size": 20}), 0)


def test_roberta_positions():
    config = {**CONFIG, "model_type": "roberta", "architectures": ["RobertaModel"], "pad_token_id": 1}
    found = make_inputs(None, graph(2, 8, config), 0, pad_id=1, first_position=2)
    mask = found["attention_mask"]
    assert (found["position_ids"][mask == 0] == 1).all()
    assert found["position_ids"][0].tolist() == list(range(2, 10))
    assert (found["input_ids"][mask == 0] == 1).all()
    assert (found["input_ids"][mask == 1] != 1).all()


def test_sentences_are_varied():
    lengths = [len(s.split()) for s in SENTENCES]
    assert len(set(SENTENCES)) == len(SENTENCES) >= 24
    assert min(lengths) == 1
    assert max(lengths) > 25
