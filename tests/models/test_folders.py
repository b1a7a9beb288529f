"""Folders as people have them: each runs as its files say, or is refused in one line that says what to do."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_model
import tiny_whisper
from bundled import bundled
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from tiny_model import CONFIG

from bench.errors import InputError
from bench.models.catalog import resolve
from bench.models.config_keys import BOUND, INERT
from bench.reference.execute import run

BENCH = Path(sys.executable).parent / "bench"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def source(folder):
    return resolve("tiny", weights_dir=folder)


def refused(folder, words):
    with pytest.raises(InputError, match=words) as caught:
        source(folder)
    assert "\n" not in str(caught.value)


def change(folder, **keys):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))
    return folder


def outputs(folder, sequence=5):
    found = source(folder)
    program = found.program(1, sequence)
    weights = {w.name: found.load(w.name).reshape(w.shape) for w in program.weights}
    return run(program, weights, found.calls(program, 1, 0)[0].inputs)


# --- identity


def twins(tmp_path):
    pooling = {"pooling_mode": "mean"}
    return [tiny_model.write(tmp_path / name, pooling=pooling) for name in "ab"]


def test_two_copies_are_one_model(tmp_path):
    a, b = twins(tmp_path)
    change(b, transformers_version="4.1", torch_dtype="float16", _name_or_path="x", hidden_dropout_prob=0.3)
    assert source(a).sha256 == source(b).sha256 == resolve("other", weights_dir=b).sha256


@pytest.mark.parametrize(
    "differ",
    [
        pytest.param(lambda f: change(f, layer_norm_eps=1e-5), id="epsilon"),
        pytest.param(lambda f: change(f, hidden_act="relu"), id="activation"),
        pytest.param(lambda f: change(f, num_attention_heads=2), id="heads"),
        pytest.param(lambda f: change(f, pad_token_id=3), id="padding"),
        pytest.param(
            lambda f: (f / "1_Pooling/config.json").write_text('{"pooling_mode": "cls"}'), id="pooling"
        ),
        pytest.param(lambda f: (f / "modules.json").unlink(), id="no pooling"),
        pytest.param(
            lambda f: (f / "vocab.txt").write_text("\n".join(tiny_model.VOCABULARY[::-1])), id="vocabulary"
        ),
        pytest.param(
            lambda f: (f / "tokenizer_config.json").write_text('{"do_lower_case": false}'), id="tokenizer"
        ),
        pytest.param(lambda f: (f / "vocab.txt").unlink(), id="no tokenizer"),
        pytest.param(
            lambda f: save_file(tiny_model.tensors(seed=4), f / "model.safetensors"), id="weights"
        ),
    ],
)  # fmt: skip
def test_whatever_decides_an_answer_makes_another_model(tmp_path, differ):
    a, b = twins(tmp_path)
    differ(b)
    one, other = source(a), source(b)
    assert one.sha256 != other.sha256
    bundles = [bundled(s, bits=4, sequence=5, cache=tmp_path / "cache") for s in (one, other)]
    assert bundles[0].key != bundles[1].key
    assert bundles[0].reference_path != bundles[1].reference_path
    assert bundles[0].weights_path != bundles[1].weights_path


def test_another_family_code_makes_another_model(tmp_path, monkeypatch):
    found = source(twins(tmp_path)[0])
    before = found.sha256
    monkeypatch.setattr("bench.models.bert._Builder.activation", lambda self, name, x, kind, output=None: x)
    assert found.sha256 != before


# --- keys of a config


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"rope_theta": 1e4}, "the key 'rope_theta' .* is not known here"),
        ({"is_decoder": True}, "is_decoder True is not supported; allowed: false, null"),
        ({"add_cross_attention": 1}, "add_cross_attention 1 is not supported"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads .* is not supported"),
        ({"quantization_config": {"bits": 8}}, "quantization_config .* is not supported; allowed: null"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "auto_map"),
        ({"position_embedding_type": "alibi"}, "position_embedding_type 'alibi'"),
        ({"model_type": ["bert"]}, r"model_type \['bert'\] is not supported; allowed: bert"),
        ({"model_type": {}}, "model_type {} is not supported"),
        ({"pad_token_id": 50}, "pad_token_id 50 is beyond the vocab_size 50"),
        ({"hidden_act": ["gelu"]}, r"hidden_act \['gelu'\] is not supported"),
        ({"layer_norm_eps": True}, "layer_norm_eps must lie between 0 and 1"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings must be true or false"),
        ({"type_vocab_size": 0}, "type_vocab_size must be a whole number of at least 1"),
        ({"problem_type": "ranking"}, "problem_type 'ranking' is not supported"),
        (
            {"architectures": ["BertForMultipleChoice"]},
            "architecture 'BertForMultipleChoice' is not supported",
        ),
        ({"architectures": ["BertForPreTraining"]}, "another model's; allowed: BertModel"),
        ({"architectures": "BertModel"}, "architectures must be a list of one name"),
        ({"architectures": ["BertModel", "BertForMaskedLM"]}, "architectures must be a list of one name"),
    ],
)
def test_a_key_or_value_nobody_knows_is_refused(tmp_path, keys, words):
    refused(change(tiny_model.write(tmp_path), **keys), words)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 60) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
KEYS = {*CONFIG, *tiny_whisper.CONFIG, *BOUND, *INERT, "id2label", "num_labels", "problem_type", "tokens"}


@settings(max_examples=300)
@given(st.sampled_from([CONFIG, tiny_whisper.CONFIG]), st.sampled_from(sorted(KEYS)), JSON)
def test_no_value_of_any_key_is_a_traceback(tmp_path_factory, config, key, value):
    folder = tmp_path_factory.getbasetemp() / config["model_type"]
    if not folder.exists():
        (tiny_whisper if config is tiny_whisper.CONFIG else tiny_model).write(folder)
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    try:
        source(folder)
    except InputError as error:
        assert str(folder) in str(error)
        assert "\n" not in str(error)


# --- heads


def head(names, hidden=24):
    rng = np.random.default_rng(1)
    found = {f"bert.{name}": value for name, value in tiny_model.tensors().items()}
    for name, rows in names.items():
        found[f"{name}.weight"] = rng.normal(0, 0.3, (rows, hidden)).astype(np.float32)
        found[f"{name}.bias"] = rng.normal(0, 0.3, rows).astype(np.float32)
    return found


@pytest.mark.parametrize(
    ("ending", "names", "shape"),
    [
        ("ForTokenClassification", {"classifier": 7}, (5, 7)),
        ("ForQuestionAnswering", {"qa_outputs": 2}, (5, 2)),
        ("ForSequenceClassification", {"classifier": 3}, (1, 3)),
    ],
)
def test_a_head_runs(tmp_path, ending, names, shape):
    config = {**CONFIG, "architectures": [f"Bert{ending}"]}
    folder = tiny_model.write(tmp_path / "m", config, head(names))
    assert outputs(folder)["logits"].shape == shape
    read = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert set(source(folder).unused_tensors) == (set() if "Sequence" in ending else read)
    # The same folder is refused where the head would be dropped.
    for architectures in (None, ["BertModel"]):
        refused(
            change(folder, architectures=architectures), "is of a head, but the architecture in config.json"
        )


@pytest.mark.parametrize("name", ["bert.encoder.layer.0.adapter.down.weight", "bert.embeddings.extra.weight"])
def test_a_tensor_inside_the_encoder_that_nobody_knows(tmp_path, name):
    weights = head({"classifier": 2}) | {name: np.ones((3, 3), np.float32)}
    config = {**CONFIG, "architectures": ["BertForSequenceClassification"]}
    refused(tiny_model.write(tmp_path, config, weights), f"tensor {name} is of no bert encoder")


@pytest.mark.parametrize(
    ("labels", "problem", "sums"),
    [(1, None, None), (1, "multi_label_classification", None), (3, "multi_label_classification", None),
     (3, None, 1), (3, "single_label_classification", 1), (1, "regression", 0), (3, "regression", 0)],
)  # fmt: skip
def test_what_is_made_of_logits_follows_labels_and_problem(tmp_path, labels, problem, sums):
    config = {**CONFIG, "architectures": ["BertForSequenceClassification"], "problem_type": problem}
    found = outputs(tiny_model.write(tmp_path, config, head({"classifier": labels})))
    if sums == 0:
        assert "probabilities" not in found
    elif sums == 1:
        np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, atol=1e-6)
    else:
        np.testing.assert_allclose(found["probabilities"], 1 / (1 + np.exp(-found["logits"])), atol=1e-6)


def test_one_label_is_none_of_several(tmp_path):
    config = {
        **CONFIG,
        "architectures": ["BertForSequenceClassification"],
        "problem_type": "single_label_classification",
    }
    refused(tiny_model.write(tmp_path, config, head({"classifier": 1})), "needs more than the 1 label")


def test_labels_must_agree(tmp_path):
    config = {**CONFIG, "architectures": ["BertForTokenClassification"], "id2label": {"0": "a"}}
    refused(
        tiny_model.write(tmp_path, config, head({"classifier": 2})),
        "has 2 labels, but config.json has 1",
    )


# --- pooling


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "cls", "embedding_dimension": 24}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"pooling_mode": "mean", "pooling_mode_mean_tokens": True}, "mean"),
    ],
)
def test_pooling_by_name(tmp_path, config, mode):
    assert source(tiny_model.write(tmp_path, pooling=config)).pooling.mode == mode


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"pooling_mode": "lasttoken"}, "pooling lasttoken is not supported; allowed: one of mean, cls"),
        ({"pooling_mode": ["mean", "max"]}, "pooling mean, max is not"),
        ({"pooling_mode": "mean", "pooling_mode_cls_token": True}, "mean, pooling_mode_cls_token is not"),
        ({"pooling_mode_max_tokens": True}, "pooling pooling_mode_max_tokens is not"),
        ({"pooling_mode": 7}, "pooling 7 is not"),
        ({}, "pooling of no mode is not"),
    ],
)  # fmt: skip
def test_a_pooling_that_is_not_there_is_named(tmp_path, config, words):
    refused(tiny_model.write(tmp_path, pooling=config), words)


# --- files


def test_a_byte_order_mark(tmp_path):
    folder = tiny_model.write(tmp_path, pooling=tiny_model.MEAN)
    for name in ("config.json", "modules.json", "1_Pooling/config.json"):
        file = folder / name
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert source(folder).pooling.mode == "mean"


def test_null_is_the_default(tmp_path):
    folder = change(
        tiny_model.write(tmp_path), position_embedding_type=None, rope_theta=None, hidden_act=None
    )
    assert "last_hidden_state" in outputs(folder)


def test_an_old_folder_of_sentence_transformers(tmp_path):
    plain = tiny_model.write(tmp_path / "plain", pooling=tiny_model.MEAN)
    old = tmp_path / "old"
    shutil.copytree(plain, old)
    (old / "0_Transformer").mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        (old / name).rename(old / "0_Transformer" / name)
    modules = json.loads((old / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (old / "modules.json").write_text(json.dumps(modules))
    assert source(old).sha256 == source(plain).sha256
    assert np.array_equal(outputs(old)["sentence_embedding"], outputs(plain)["sentence_embedding"])
    (old / "modules.json").unlink()
    refused(old, r"modules.json is missing; \S+0_Transformer holds the encoder: pass that")


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_a_wrapper_leaves_its_prefix(tmp_path, prefix):
    plain = tiny_model.write(tmp_path / "plain")
    weights = {f"{prefix}{name}": value for name, value in tiny_model.tensors().items()}
    wrapped = tiny_model.write(tmp_path / "wrapped", weights=weights)
    assert np.array_equal(outputs(plain)["last_hidden_state"], outputs(wrapped)["last_hidden_state"])


@pytest.mark.parametrize("name", ["model.fp16.safetensors", "bert.safetensors"])
def test_one_file_by_another_name(tmp_path, name):
    folder = tiny_model.write(tmp_path)
    (folder / "model.safetensors").rename(folder / name)
    assert source(folder).weights == "local"
    shutil.copy(folder / name, folder / "second.safetensors")
    refused(folder, "several others: .*second.safetensors; rename the one to use")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pytorch_model.bin", "pytorch_model.bin is there: load it with transformers"),
        ("tf_model.h5", "tf_model.h5 is there"),
        ("adapter_model.safetensors", "adapter alone: merge it"),
    ],
)
def test_other_forms_are_named(tmp_path, name, words):
    folder = tiny_model.write(tmp_path)
    (folder / "model.safetensors").rename(folder / name)
    refused(folder, f"model.safetensors is missing.*{words}")


def test_an_adapter_beside_a_model(tmp_path):
    (tiny_model.write(tmp_path) / "adapter_config.json").write_text("{}")
    refused(tmp_path, "an adapter belongs to this model")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.txt", "modules.json"])
def test_a_git_lfs_pointer(tmp_path, name):
    folder = tiny_model.write(tmp_path, pooling=tiny_model.MEAN)
    (folder / name).write_text(POINTER)
    refused(folder, f"{name} is a Git LFS pointer of .* type: git -C .* lfs pull")


def raw_file(path, name, dtype, shape, size):
    table = {name: {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}
    text = json.dumps(table).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))


@pytest.mark.parametrize("dtype", ["I8", "U8", "F8_E4M3", "F8_E5M2"])
def test_weights_that_another_tool_quantized(tmp_path, dtype):
    folder = tiny_model.write(tmp_path)
    raw_file(folder / "model.safetensors", "embeddings.word_embeddings.weight", dtype, [50, 24], 1200)
    refused(
        folder, f"word_embeddings.weight is stored as {dtype}, as another tool quantized it; take the orig"
    )


def test_integer_buffers_are_named_and_not_run(tmp_path):
    weights = tiny_model.tensors() | {"embeddings.position_ids": np.arange(33)[None]}
    found = source(tiny_model.write(tmp_path, weights=weights))
    assert found.unused_tensors == ["embeddings.position_ids"]
    assert found.note is None


# --- tokenizers


def byte_level(folder):
    letters = sorted({*"Thebridgopnsat.,Ġ"})
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *letters, "Th", "The"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\nT h\nTh e\n")
    return pieces


def roberta(folder):
    config = {**CONFIG, "model_type": "roberta", "architectures": ["RobertaModel"], "pad_token_id": 1}
    return tiny_model.write(folder, config, vocabulary=False)


def test_pairs_of_bytes(tmp_path):
    folder = roberta(tmp_path)
    pieces = byte_level(folder)
    found = source(folder)
    assert found.note is None
    (row,) = found.calls(found.program(1, 31), 1, 0)[0].inputs["input_ids"].tolist()
    words = [pieces[i] for i in row if i != 1]
    assert (words[0], words[-1]) == ("<s>", "</s>")
    assert [path.name for path in found.tokenizer_files] == ["vocab.json", "merges.txt"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (None, "the folder has no tokenizer"),
        ("sentencepiece.bpe.model", "sentencepiece.bpe.model alone is not a tokenizer that is read here"),
        ("vocab.json", "vocab.json without merges.txt is no tokenizer"),
    ],
)
def test_random_ids_are_told(tmp_path, name, words):
    folder = roberta(tmp_path)
    if name:
        (folder / name).write_text("{}")
    found = source(folder)
    assert "inputs are seeded random ones" in found.note
    assert words in found.note


def test_a_tokenizer_of_another_model(tmp_path):
    folder = tiny_model.write(tmp_path)
    (folder / "vocab.txt").write_text("\n".join([*"0123456789" * 9, *tiny_model.VOCABULARY]))
    refused(folder, r"the tokenizer gives token \d+, but the model knows 50")


# --- as it is typed


def bench(tmp_path, *arguments):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    return subprocess.run(
        [BENCH, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize(
    ("keys", "poison", "words"),
    [
        ({}, np.nan, "is not finite"),
        ({}, np.inf, "is not finite"),
        ({"pad_token_id": 50}, 0, "pad_token_id 50 is beyond the vocab_size 50"),
        ({"model_type": ["bert"]}, 0, "model_type ['bert'] is not supported"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(tmp_path, keys, poison, words):
    weights = tiny_model.tensors()
    weights["encoder.layer.1.output.dense.bias"][3] = poison
    folder = change(tiny_model.write(tmp_path / "m", weights=weights), **keys)
    database = tmp_path / "b.sqlite"
    done = bench(
        tmp_path, "run", "--weights", folder, "--sequence-length", 8, "--db", f"sqlite:///{database}"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not database.exists()
    assert not (tmp_path / "cache").exists()


def test_inspect(tmp_path):
    folder = tiny_model.write(tmp_path / "m", pooling=tiny_model.MEAN)
    done = bench(tmp_path, "models", "inspect", folder)
    assert (done.returncode, done.stderr) == (0, "")
    told = dict(line.split(maxsplit=1) for line in done.stdout.replace("not run", "not_run").splitlines())
    assert len(told) <= 10
    assert told["outputs"] == "last_hidden_state, sentence_embedding"
    assert told["not_run"] == "pooler.dense.bias, pooler.dense.weight"
    assert told["identity"] == source(folder).sha256
    change(folder, model_type="gpt2")
    done = bench(tmp_path, "models", "inspect", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "model_type 'gpt2' is not supported" in done.stderr
