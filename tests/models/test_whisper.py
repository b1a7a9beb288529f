"""The Whisper family: a config held against its tensors, and what of it can be seen in its outputs."""

import json

import numpy as np
import pytest
import tiny_whisper
from hypothesis import given
from hypothesis import strategies as st
from tiny_whisper import CONFIG, write_wave

from bench.errors import InputError
from bench.models.audio import HOP, RATE, log_mel, mel_filters, read_wave
from bench.models.catalog import resolve
from bench.models.synthetic import GEOMETRIES
from bench.models.whisper import build, decoder_tokens, layout, read_geometry
from bench.reference.execute import run


def executed(source, batch, sequence, change=None):
    program = source.program(batch, sequence)
    inputs = source.calls(program, batch, 0)[0].inputs
    if change:
        change(inputs)
    weights = {w.name: source.load(w.name).reshape(w.shape) for w in program.weights}
    return program, inputs, run(program, weights, inputs)


def test_the_published_size():
    # Radford et al. 2022, table 1: 39 M, where the projection is counted with the embeddings.
    shapes = layout(GEOMETRIES["whisper-tiny"])
    assert sum(np.prod(shape) for shape in shapes.values()) == 37_760_640
    assert shapes["model.encoder.conv2.weight"] == (384, 384, 3)
    assert "model.encoder.layers.0.self_attn.k_proj.bias" not in shapes


@given(st.integers(1, 1500))
def test_decoder_tokens_grow_with_the_audio(sequence):
    geometry = read_geometry(GEOMETRIES["whisper-tiny"])
    tokens = decoder_tokens(geometry, sequence)
    assert 5 <= tokens <= 448
    assert decoder_tokens(geometry, sequence + 1) >= tokens


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"d_model": "24"}, "d_model must be a whole number"),
        ({"encoder_attention_heads": 5}, "5 encoder_attention_heads do not divide d_model 24"),
        ({"activation_function": "swish"}, "activation_function 'swish' is not supported; allowed: gelu"),
        ({"scale_embedding": True}, "scale_embedding True is not supported; allowed: false, null"),
        ({"decoder_start_token_id": 61}, "token 61 is beyond the vocab_size 61"),
        ({"num_mel_bins": None}, "num_mel_bins must be a whole number of at least 1, not None"),
        ({"decoder_layers": 2}, "tensor model.decoder.layers.1.self_attn_layer_norm.weight of shape [24]"),
        ({"encoder_layers": 1}, "is beyond the 1 encoder_layers of config.json"),
        ({"vocab_size": 62}, "has shape [61, 24], but config.json asks for [62, 24]"),
        ({"num_mel_bins": 11}, "has shape [24, 10, 3], but config.json asks for [24, 11, 3]"),
    ],
)
def test_a_contradiction_is_one_line(tmp_path, change, words):
    folder = tiny_whisper.write(tmp_path / "m")
    (folder / "config.json").write_text(json.dumps({**CONFIG, **change}))
    with pytest.raises(InputError) as caught:
        resolve("mine", folder).program(1, 8)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_too_long_a_clip(tmp_path):
    source = resolve("mine", tiny_whisper.write(tmp_path / "m"))
    with pytest.raises(InputError, match=r"sequence length 51 exceeds the 50 audio positions of mine"):
        source.program(1, 51)


def test_names_without_the_prefix(tmp_path):
    plain = {name.removeprefix("model."): value for name, value in tiny_whisper.tensors().items()}
    bare = resolve("mine", tiny_whisper.write(tmp_path / "bare", weights=plain))
    whole = resolve("mine", tiny_whisper.write(tmp_path / "whole"))
    assert np.array_equal(executed(bare, 1, 7)[2]["logits"], executed(whole, 1, 7)[2]["logits"])


def test_a_later_token_changes_no_earlier_logit_and_every_frame_counts(tmp_path):
    source = resolve("mine", tiny_whisper.write(tmp_path / "m"))
    program, inputs, before = executed(source, 2, 9)
    tokens = inputs["decoder_input_ids"].shape[1]
    assert before["logits"].shape == (2 * tokens, 61)
    assert before["encoder_hidden_state"].shape == (18, 24)

    def other_last_token(values):
        values["decoder_input_ids"][1, -1] ^= 1

    after = executed(source, 2, 9, other_last_token)[2]["logits"]
    differs = np.abs(after - before["logits"]).max(axis=1) > 0
    assert differs.tolist() == [False] * (2 * tokens - 1) + [True]

    def other_last_frame(values):
        values["input_features"][17] += 1  # of the first clip

    after = executed(source, 2, 9, other_last_frame)[2]["logits"]
    differs = np.abs(after - before["logits"]).max(axis=1) > 0
    assert differs.tolist() == [True] * tokens + [False] * tokens
    assert program.outputs == ("logits", "encoder_hidden_state")


def test_the_convolution_is_one(tmp_path):
    """Both convolutions against a loop, up to their activation."""
    source = resolve("mine", tiny_whisper.write(tmp_path / "m"))
    program = source.program(1, 4)
    inputs = source.calls(program, 1, 0)[0].inputs
    weights = {w.name: source.load(w.name).reshape(w.shape) for w in program.weights}
    keep = ["encoder.conv1", "encoder.conv1.activation", "encoder.conv2"]
    got = run(program, weights, inputs, keep=keep)
    for name, x, stride in (
        ("conv1", inputs["input_features"], 1),
        ("conv2", got["encoder.conv1.activation"], 2),
    ):
        w, b = source.load(f"model.encoder.{name}.weight"), source.load(f"model.encoder.{name}.bias")
        padded = np.pad(x, ((1, 1), (0, 0)))
        want = [
            [(padded[t * stride : t * stride + 3] * w[n].T).sum() + b[n] for n in range(24)]
            for t in range(8 // stride)
        ]
        np.testing.assert_allclose(got[f"encoder.{name}"], want, rtol=2e-5, atol=2e-5)


def test_two_seeds_hear_two_things(tmp_path):
    source = resolve("mine", tiny_whisper.write(tmp_path / "m"))
    program = source.program(2, 6)
    first, again, second = (source.calls(program, 2, seed)[0].inputs for seed in (0, 0, 1))
    for name, value in first.items():
        assert np.array_equal(value, again[name])
    assert not np.array_equal(first["input_features"], second["input_features"])
    assert not np.array_equal(first["input_features"][:12], first["input_features"][12:])
    assert first["decoder_input_ids"][:, 0].tolist() == [59, 59]


def test_build_needs_no_folder():
    shapes = layout(CONFIG)
    program = build(CONFIG, shapes, batch=1, sequence=3, name="x")
    assert program.parameters == sum(int(np.prod(shape)) for shape in shapes.values())


# --- sound


@pytest.mark.parametrize("hertz", [200, 440, 1000, 3000, 7000])
def test_a_tone_lights_the_band_it_lies_in(hertz):
    tone = np.sin(2 * np.pi * hertz * np.arange(RATE // 4) / RATE).astype(np.float32)
    spectrum = log_mel(tone, 80)
    assert spectrum.shape == (25, 80) and spectrum.dtype == np.float32
    bins = np.linspace(0, RATE / 2, 201)
    centres = (mel_filters(80) @ bins) / mel_filters(80).sum(axis=1)
    loudest = centres[spectrum[5:-5].mean(axis=0).argmax()]
    assert abs(loudest - hertz) < 0.06 * hertz + 30


def test_filters_have_the_published_values():
    """Of `mel_filters.npz` that OpenAI ships (librosa's Slaney filters): a few of its entries."""
    filters = mel_filters(80)
    assert filters.shape == (80, 201)
    assert filters[0, 1] == pytest.approx(0.02486259490251541, abs=1e-7)
    assert (filters >= 0).all() and (filters.sum(axis=1) > 0).all()


def test_silence_is_flat_and_finite():
    assert np.unique(log_mel(np.zeros(10 * HOP, np.float32), 80)).size == 1


def test_a_wave_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    samples = np.sin(np.arange(800) / 9)
    write_wave(path, samples)
    assert np.abs(read_wave(path) - samples).max() < 1e-4
    write_wave(path, samples, channels=2)
    with pytest.raises(InputError, match=r"a\.wav has 2 channels of 16 bits at 16000 Hz; expected 1"):
        read_wave(path)
    path.write_bytes(b"RIFFnothing")
    with pytest.raises(InputError, match="is not a WAV file"):
        read_wave(path)
