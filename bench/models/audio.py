"""From sound to what Whisper hears: the log-mel spectrogram.

Source: Radford et al. 2022 (arXiv 2212.04356), section 2.2, and the published implementation's constants:
windows of 25 ms every 10 ms at 16 kHz, the Slaney mel scale, log10 with a floor of 8 below the maximum.
"""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError

RATE = 16_000  # samples a second
HOP = 160  # samples a frame
_WINDOW = 400
_LINEAR_TO_HZ = 1000.0  # the Slaney scale is linear up to here, 15 mels, then logarithmic
_LOG_STEP = np.log(6.4) / 27

F32 = NDArray[np.float32]


def read_wave(path: Path) -> F32:
    """A mono 16-bit WAV of 16 kHz as float32 in -1..1.

    Raises:
        InputError: the file is of another kind.
    """
    try:
        with wave.open(str(path)) as sound:
            form = (sound.getnchannels(), sound.getsampwidth(), sound.getframerate())
            data = sound.readframes(sound.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise InputError(f"{path} is not a WAV file: {error}") from error
    if form != (1, 2, RATE):
        raise InputError(
            f"{path} has {form[0]} channels of {8 * form[1]} bits at {form[2]} Hz; "
            f"expected 1 of 16 bits at {RATE} Hz"
        )
    return (np.frombuffer(data, "<i2") / np.float32(32768)).astype(np.float32)


def log_mel(samples: F32, mels: int) -> F32:
    """The spectrogram of a clip.

    Args:
        samples: 16 kHz, in -1..1; a whole number of hops.
        mels: mel bands.

    Returns:
        float32 [len(samples) / 160, mels], about -1..1.5.
    """
    padded = np.pad(samples.astype(np.float64), _WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP][: len(samples) // HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    power = np.abs(np.fft.rfft(windows * hann, axis=1)) ** 2
    logs = np.log10(np.maximum(power @ mel_filters(mels).T, 1e-10))
    scaled: F32 = ((np.maximum(logs, logs.max() - 8) + 4) / 4).astype(np.float32)
    return scaled


def mel_filters(mels: int) -> NDArray[np.float64]:
    """Triangles of equal area over the Slaney mel scale up to 8 kHz; [mels, 201]."""
    edges = _to_hz(np.linspace(0, float(_to_mel(np.array(RATE / 2))), mels + 2))
    bins = np.linspace(0, RATE / 2, _WINDOW // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    area = 2 / (edges[2:] - edges[:-2])
    triangles: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) * area[:, None]
    return triangles


def synthetic_speech(rng: np.random.Generator, count: int) -> F32:
    """`count` samples of a seeded sound with pitch and syllables: no speech, but no mere noise either."""
    time = np.arange(count) / RATE
    pitch = 110 + 30 * np.sin(2 * np.pi * rng.uniform(0.3, 0.8) * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(n * phase) / n for n in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * rng.uniform(2, 4) * time + rng.uniform(0, 6)), 0, 1)
    sound: NDArray[Any] = 0.2 * voice * syllables + 0.005 * rng.standard_normal(count)
    return sound.astype(np.float32)


def _to_mel(hz: NDArray[Any]) -> NDArray[Any]:
    logarithmic = 15 + np.log(np.maximum(hz, _LINEAR_TO_HZ) / _LINEAR_TO_HZ) / _LOG_STEP
    return np.where(hz < _LINEAR_TO_HZ, hz * 3 / 200, logarithmic)


def _to_hz(mel: NDArray[Any]) -> NDArray[Any]:
    return np.where(mel < 15, mel * 200 / 3, _LINEAR_TO_HZ * np.exp(_LOG_STEP * (mel - 15)))
