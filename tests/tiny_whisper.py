"""Writes a Whisper of odd geometry: width 24, 3 and 2 heads, 10 mel bands, vocabulary 61."""

import json
import wave

import numpy as np
from safetensors.numpy import save_file

from bench.models.whisper import layout

CONFIG = {
    "model_type": "whisper",
    "architectures": ["WhisperForConditionalGeneration"],
    "d_model": 24,
    "num_mel_bins": 10,
    "encoder_layers": 2,
    "encoder_attention_heads": 3,
    "encoder_ffn_dim": 40,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 36,
    "vocab_size": 61,
    "max_source_positions": 50,
    "max_target_positions": 9,
    "activation_function": "gelu",
    "decoder_start_token_id": 59,
    "eos_token_id": 58,
}


def tensors(config=CONFIG, seed=5):
    """Random float32 tensors by name."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in layout(config).items():
        values = rng.normal(0, 0.3 if len(shape) > 1 else 0.1, shape).astype(np.float32)
        found[name] = values + np.float32(1) if name.endswith("layer_norm.weight") else values
    return found


def write(folder, config=CONFIG, weights=None):
    """Write the folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors(config) if weights is None else weights, folder / "model.safetensors")
    return folder


def write_wave(path, samples, *, channels=1, width=2, rate=16_000):
    """16-bit samples as a WAV."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
