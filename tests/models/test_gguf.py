"""GGUF files, written as llama.cpp's converter writes them, against the Hugging Face tensors they came of."""

import re

import gguf
import numpy as np
import pytest
import tiny_gguf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_gguf import CONFIG

from bench.errors import InputError
from bench.models.catalog import resolve
from bench.models.opened import open_model

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
BIASED = {**CONFIG, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
NORMED = {**CONFIG, "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 20}


def refused(path, words):
    with pytest.raises(InputError, match=words) as caught:
        open_model(path)
    assert "\n" not in str(caught.value) and path.name in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        {**CONFIG, "tie_word_embeddings": True},
        {**CONFIG, "attention_bias": True, "mlp_bias": True},
        BIASED,
        NORMED,
    ],
)
def test_names_rows_and_config_are_those_of_hugging_face(tmp_path, config):
    values = tiny_gguf.tensors(config)
    opened = open_model(tiny_gguf.write(tmp_path / "m.gguf", config, values))
    assert opened.config == config
    assert opened.tensors == {name: value.shape for name, value in values.items()}
    for name, value in values.items():
        np.testing.assert_array_equal(opened.load(name), value)
        assert opened.is_finite(name)
    source = resolve("m", tmp_path)
    assert source.unused_tensors == [] and source.program(1, 4, 2).outputs == ("logits",)


@pytest.mark.parametrize(
    ("kind", "error"), [("F16", 1e-3), ("BF16", 1e-2), ("Q8_0", 1e-2), ("Q5_1", 0.04), ("Q4_0", 0.11)]
)
def test_quantized_types_are_read(tmp_path, kind, error):
    values = tiny_gguf.tensors()
    opened = open_model(tiny_gguf.write(tmp_path / "m.gguf", kind=kind))
    for name, value in values.items():
        off = np.linalg.norm(opened.load(name) - value) / np.linalg.norm(value)
        assert off < error and (off > error / 20 or value.ndim == 1)


def test_a_file_renamed_is_the_same_model(tmp_path):
    first = tiny_gguf.write(tmp_path / "m.gguf")
    other = tmp_path / "other.GGUF"
    other.write_bytes(first.read_bytes())
    assert resolve("a", first).sha256 == resolve("b", other).sha256


def divisors(config, factor):
    """As convert_hf_to_gguf.py computes `rope_freqs.weight`."""
    found = []
    for step in range(0, config["head_dim"], 2):
        wave = 2 * np.pi * config["rope_theta"] ** (step / config["head_dim"])
        if wave < 8192 / 4:
            found.append(1.0)
        elif wave > 8192 / 1:
            found.append(factor)
        else:
            smooth = (8192 / wave - 1) / (4 - 1)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(found, np.float32)


def test_rope_scaling(tmp_path):
    config = {**CONFIG, "rope_theta": 500000.0, "head_dim": 64}
    table = {"rope_freqs.weight": divisors(config, 8.0)}
    told = open_model(tiny_gguf.write(tmp_path / "a.gguf", config, more=table))
    assert told.config["rope_scaling"] == LLAMA3 and "rope_freqs.weight" not in told.tensors
    ones = {"rope_freqs.weight": np.ones(32, np.float32)}
    assert "rope_scaling" not in open_model(tiny_gguf.write(tmp_path / "b.gguf", config, more=ones)).config
    table["rope_freqs.weight"][3] = 1.5
    refused(tiny_gguf.write(tmp_path / "c.gguf", config, more=table), "other divisors than Llama 3's")
    linear = (("{arch}.rope.scaling.type", "linear"), ("{arch}.rope.scaling.factor", 4.0))
    told = open_model(tiny_gguf.write(tmp_path / "d.gguf", fields=linear))
    assert told.config["rope_scaling"] == {"rope_type": "linear", "factor": 4.0}


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (("{arch}.rope.scaling.type", "yarn"), "rope.scaling.type yarn is not supported; allowed: none, lin"),
        (("{arch}.expert_count", 8), "llama.expert_count 8 is not supported"),
        (("{arch}.attention.sliding_window", 32), "attention.sliding_window 32 is not supported"),
        (("{arch}.rope.dimension_count", 8), "rope.dimension_count 8 is not supported; allowed: 16"),
        (("{arch}.logit_scale", 0.25), "logit_scale 0.25"),
        (("split.count", 3), "one of 3 parts; merge them"),
    ],
)
def test_what_cannot_be_said_is_refused(tmp_path, field, words):
    refused(tiny_gguf.write(tmp_path / "m.gguf", fields=(field,)), words)


def test_another_architecture(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "gemma3")
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), np.float32))
    for step in ("header", "kv_data", "tensors"):
        getattr(writer, f"write_{step}_to_file")()
    writer.close()
    refused(tmp_path / "m.gguf", "architecture 'gemma3' is not supported as GGUF; allowed: llama")


def test_a_type_that_is_not_read(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    kind = gguf.GGMLQuantizationType.Q8_K
    size = gguf.GGML_QUANT_SIZES[kind][1]
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((4, size), np.uint8), raw_dtype=kind)
    for step in ("header", "kv_data", "tensors"):
        getattr(writer, f"write_{step}_to_file")()
    writer.close()
    refused(tmp_path / "m.gguf", "blk.0.attn_q.weight is stored as Q8_K, which is not read here; allowed")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a small file, and how many of them its tensors need: the last ones only fill up."""
    folder = tmp_path_factory.mktemp("gguf")
    data = tiny_gguf.write(
        folder / "m.gguf",
        kind="Q8_0",
        tokens=lambda writer: writer.add_token_list([f"word {i}" for i in range(60)]),
    ).read_bytes()
    last = max(int(one.data_offset) + one.n_bytes for one in gguf.GGUFReader(folder / "m.gguf").tensors)
    return data, last


@given(draw=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncated(tmp_path, whole, draw):
    """Wherever a download broke off: one line that has both sizes, and no library's words."""
    data, needed = whole
    size = draw.draw(st.integers(0, needed - 1) | st.integers(0, 4096))  # the header takes about 3,000
    file = tmp_path / f"m{size}.gguf"
    file.write_bytes(data[:size])
    with pytest.raises(InputError) as caught:
        open_model(file)
    said = str(caught.value)
    if size < 4:
        assert said == f"{file} is not a GGUF file: it does not begin with GGUF"
        return
    found = re.fullmatch(
        rf"{re.escape(str(file))} is not whole: it has ([\d,]+) bytes, and its header (says|lists) "
        r"(at least )?([\d,]+); fetch or copy it again",
        said,
    )
    assert found, said
    assert int(found[1].replace(",", "")) == size < int(found[4].replace(",", "")) <= needed
    if found[2] == "says":
        assert int(found[4].replace(",", "")) == needed


def test_what_only_fills_up_may_be_missing(tmp_path, whole):
    data, needed = whole
    (tmp_path / "m.gguf").write_bytes(data[:needed])
    assert open_model(tmp_path / "m.gguf").is_finite("lm_head.weight")


def test_pointers_and_names(tmp_path):
    file = tmp_path / "m.gguf"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 5\n")
    refused(file, "m.gguf is a Git LFS pointer")
    refused(tmp_path / "none.gguf", "none.gguf cannot be read: No such file")
    tiny_gguf.write(tmp_path / "b.gguf")
    with pytest.raises(InputError, match=r"holds several .gguf files: b.gguf, m.gguf; pass the one to use"):
        open_model(tmp_path)


def test_tensors_that_are_missing_or_not_finite(tmp_path):
    values = tiny_gguf.tensors()
    values["model.norm.weight"][3] = np.nan
    file = tiny_gguf.write(tmp_path / "a.gguf", values=values)
    with pytest.raises(InputError, match=r"a.gguf: tensor model.norm.weight is not finite"):
        resolve("a", file)
    del values["model.layers.1.mlp.up_proj.weight"]
    file = tiny_gguf.write(tmp_path / "b.gguf", values=values)
    with pytest.raises(InputError, match=r"b.gguf: tensor model.layers.1.mlp.up_proj.weight .* is missing"):
        resolve("b", file)
