import hashlib
import json
import struct

import numpy as np
import pytest
import tiny_model
from safetensors.numpy import save_file
from tiny_model import CLS, CONFIG, MEAN

from bench.errors import InputError
from bench.models.sentence_modules import Pooling
from bench.models.weights import open_folder


def refused(folder, words):
    with pytest.raises(InputError, match=words) as caught:
        open_folder(folder)
    assert "\n" not in str(caught.value)


def test_opens_what_was_written(tmp_path):
    folder = open_folder(tiny_model.write(tmp_path / "m", pooling=MEAN))
    written = tiny_model.tensors()
    assert folder.config == CONFIG
    assert folder.tensors == {name: value.shape for name, value in written.items()}
    assert all(np.array_equal(folder.load(name), value) for name, value in written.items())
    assert folder.pooling == Pooling("mean", True)
    assert folder.sha256 == hashlib.sha256((tmp_path / "m/model.safetensors").read_bytes()).hexdigest()


def test_half_floats_become_float32(tmp_path):
    half = {name: value.astype(np.float16) for name, value in tiny_model.tensors().items()}
    half["embeddings.position_ids"] = np.arange(33)[None]
    folder = open_folder(tiny_model.write(tmp_path, weights=half))
    got = folder.load("pooler.dense.weight")
    assert got.dtype == np.float32
    assert np.array_equal(got, half["pooler.dense.weight"])
    assert "embeddings.position_ids" not in folder.tensors


def test_bfloat16(tmp_path):
    tiny_model.write(tmp_path)
    values = np.array([[1.0, -2.5], [0.15625, 3e38]], np.float32)
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = {
        "first": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "b": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [4, 12]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"\0\0\0\0" + data)
    got = open_folder(tmp_path).load("b")
    assert got.dtype == np.float32
    assert np.allclose(got, values, rtol=2**-8)
    assert np.array_equal(got[:, 0], values[:, 0])


def test_shards(tmp_path):
    tiny_model.write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    written = tiny_model.tensors()
    names = sorted(written)
    parts = {"model-1.safetensors": names[:9], "model-2.safetensors": names[9:]}
    for file, inside in parts.items():
        save_file({name: written[name] for name in inside}, tmp_path / file)
    table = {name: file for file, inside in parts.items() for name in inside}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    folder = open_folder(tmp_path)
    assert set(folder.tensors) == set(names)
    assert all(np.array_equal(folder.load(name), written[name]) for name in names)
    assert len(folder.files) == 2
    assert len(folder.sha256) == 64
    (tmp_path / "model-2.safetensors").unlink()
    refused(tmp_path, "model-2.safetensors is missing; model.safetensors.index.json names it")


def test_an_index_may_not_lead_elsewhere(tmp_path):
    tiny_model.write(tmp_path / "a")
    tiny_model.write(tmp_path / "b")
    (tmp_path / "a/model.safetensors").unlink()
    index = {"weight_map": {"x": "../b/model.safetensors"}}
    (tmp_path / "a/model.safetensors.index.json").write_text(json.dumps(index))
    refused(tmp_path / "a", "is missing")


@pytest.mark.parametrize(("pooling", "expected"), [(CLS, Pooling("cls", False)), (None, None)])
def test_pooling(tmp_path, pooling, expected):
    assert open_folder(tiny_model.write(tmp_path, pooling=pooling, normalize=False)).pooling == expected


def test_unsupported_pooling(tmp_path):
    refused(
        tiny_model.write(tmp_path, pooling={"pooling_mode_max_tokens": True}),
        "pooling .* is not supported; allowed",
    )


def test_unsupported_module(tmp_path):
    tiny_model.write(tmp_path, pooling=MEAN)
    modules = [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    refused(tmp_path, "module Dense is not supported")
    (tmp_path / "modules.json").write_text("[1]")
    refused(tmp_path, "is not a list of sentence-transformers modules")


def test_missing_folder_and_files(tmp_path):
    refused(tmp_path / "none", "none is not a folder; expected one with config.json")
    refused(tmp_path, "config.json cannot be read: No such file")
    tiny_model.write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    refused(tmp_path, "model.safetensors is missing; expected it or")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    refused(tmp_path, "has no weight_map")


@pytest.mark.parametrize("keep", [0, 7, 100, 5000, -1])
def test_truncated_weights(tmp_path, keep):
    file = tiny_model.write(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    refused(tmp_path, "model.safetensors is not a whole safetensors file")


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "config.json is not JSON"), ("[]", "must hold a JSON object"), ('{"a": 1}', "model_type None")],
)
def test_bad_config(tmp_path, text, words):
    tiny_model.write(tmp_path)
    (tmp_path / "config.json").write_text(text)
    refused(tmp_path, words)


def test_config_that_is_not_text(tmp_path):
    tiny_model.write(tmp_path)
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    refused(tmp_path, "config.json is not JSON")


def test_no_tensor_by_that_name(tmp_path):
    with pytest.raises(KeyError):
        open_folder(tiny_model.write(tmp_path)).load("nothing")
