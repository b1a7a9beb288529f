"""CTranslate2's file, written here by its description and read back as a Hugging Face folder."""

import json
import struct

import numpy as np
import pytest
import tiny_whisper

from bench.models import whisper
from bench.models.ctranslate2 import convert_whisper, read
from bench.models.weights import open_folder

KINDS = {np.dtype("float32"): 0, np.dtype("int8"): 1, np.dtype("int16"): 2, np.dtype("float16"): 4}
# The converter knows the width of a head, so the model must have that.
CONFIG = {
    **tiny_whisper.CONFIG,
    "d_model": 128,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "decoder_start_token_id": 50258,
    "eos_token_id": 50257,
}


def text(name):
    return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"


def written(variables, spec="WhisperSpec", version=6):
    data = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        data += text(name) + struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        data += struct.pack("<BI", KINDS[value.dtype], value.nbytes) + value.tobytes()
    return data + struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight")


def fused(tensors):
    """The tensors as CTranslate2 has them."""
    found = {"encoder/num_heads": np.array(2, np.int16)}
    for name, value in tensors.items():
        if "conv" in name:
            found[name.removeprefix("model.").replace(".", "/")] = value
    found["decoder/embeddings/weight"] = tensors["model.decoder.embed_tokens.weight"]

    def norm(theirs, ours):
        found[f"{theirs}/gamma"], found[f"{theirs}/beta"] = tensors[f"{ours}.weight"], tensors[f"{ours}.bias"]

    for side in ("encoder", "decoder"):
        found[f"{side}/position_encodings/encodings"] = tensors[f"model.{side}.embed_positions.weight"]
        norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        for index in range(CONFIG[f"{side}_layers"]):
            ours, theirs = f"model.{side}.layers.{index}.", f"{side}/layer_{index}/"
            norm(f"{theirs}ffn/layer_norm", f"{ours}final_layer_norm")
            norm(f"{theirs}self_attention/layer_norm", f"{ours}self_attn_layer_norm")
            for part in ("weight", "bias"):
                found[f"{theirs}ffn/linear_0/{part}"] = tensors[f"{ours}fc1.{part}"]
                found[f"{theirs}ffn/linear_1/{part}"] = tensors[f"{ours}fc2.{part}"]

                def one(attention, projection, ours=ours, part=part):
                    base = f"{ours}{attention}."
                    if projection == "k_proj" and part == "bias":
                        return np.zeros_like(tensors[f"{base}q_proj.bias"])
                    return tensors[f"{base}{projection}.{part}"]

                qkv = [one("self_attn", f"{p}_proj") for p in "qkv"]
                found[f"{theirs}self_attention/linear_0/{part}"] = np.concatenate(qkv)
                found[f"{theirs}self_attention/linear_1/{part}"] = one("self_attn", "out_proj")
                if side == "decoder":
                    kv = [one("encoder_attn", f"{p}_proj") for p in "kv"]
                    found[f"{theirs}attention/linear_0/{part}"] = one("encoder_attn", "q_proj")
                    found[f"{theirs}attention/linear_1/{part}"] = np.concatenate(kv)
                    found[f"{theirs}attention/linear_2/{part}"] = one("encoder_attn", "out_proj")
            if side == "decoder":
                norm(f"{theirs}attention/layer_norm", f"{ours}encoder_attn_layer_norm")
    return found


@pytest.fixture(scope="module")
def tensors():
    # The special tokens lie at fixed ids, so the vocabulary must reach them; everything else may be small.
    return tiny_whisper.tensors({**CONFIG, "vocab_size": 50300})


def test_back_again(tmp_path, tensors):
    (tmp_path / "model.bin").write_bytes(written(fused(tensors)))
    convert_whisper(tmp_path)
    folder = open_folder(tmp_path)
    assert not (tmp_path / "model.bin").exists()
    assert set(folder.tensors) == set(tensors)
    for name, value in tensors.items():
        assert np.array_equal(folder.load(name), value)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {**CONFIG, "vocab_size": 50300}
    assert whisper.layout(config) == {name: value.shape for name, value in tensors.items()}


def test_a_torn_file_and_another_model(tmp_path, tensors):
    whole = written(fused(tensors))
    with pytest.raises(ValueError, match=r"model\.bin ends at byte 5000"):
        read(whole[:5000])
    with pytest.raises(ValueError, match="binary version 4; expected 6"):
        read(written({}, version=4))
    (tmp_path / "model.bin").write_bytes(written({}, spec="TransformerSpec"))
    with pytest.raises(ValueError, match="is a TransformerSpec, not a WhisperSpec"):
        convert_whisper(tmp_path)
    (tmp_path / "model.bin").write_bytes(written({"encoder/conv1/weight": np.zeros(3, np.float16)}))
    with pytest.raises(ValueError, match="the model lacks 'encoder/conv1/bias'"):
        convert_whisper(tmp_path)
