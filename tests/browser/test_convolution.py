"""A convolution as one matmul that finds its windows itself, against NumPy on odd sizes."""

from __future__ import annotations

import base64

import numpy as np
import pytest
import tiny_whisper

from bench.harness.lab import value
from bench.harness.outcome import Outcome
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.harness.session import RunSettings
from bench.models.catalog import resolve
from bench.plan.request import Request
from bench.settings import load_settings

from .conftest import require
from .test_kernels import ACTIVATIONS, close, f16, matmul_case, matrix  # noqa: F401
from .test_matrices import TILES
from .test_matrices import tuning as matrices  # noqa: F401

pytestmark = pytest.mark.browser
LONG = pytest.mark.long  # what `make test-long` adds
# batch, steps, channels, outputs, kernel, stride
SHAPES = [
    (2, 19, 5, 21, 3, 1),
    (3, 14, 7, 33, 5, 2),
    (1, 23, 12, 10, 1, 2),
    pytest.param((1, 37, 8, 40, 3, 2), marks=LONG),
    pytest.param((2, 70, 16, 67, 5, 1), marks=LONG),
    pytest.param((5, 2, 3, 9, 3, 1), marks=LONG),
]


def windows(x, kernel, stride):
    """[B, S, C] -> [B, T, C * kernel] as `unfold` has them, padded by half a kernel."""
    around = kernel // 2
    padded = np.pad(x, ((0, 0), (around, around), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=1)[:, ::stride]
    return seen.reshape(*seen.shape[:2], -1)


def convolution_case(rng, shape, bits, half, tuning, scheme="symmetric", act="none", bias=True):
    """As `matmul_case`, with the values that the windows are of as its input."""
    batch, steps, channels, n, kernel, stride = shape
    x = rng.normal(0, 1, (batch, steps, channels)).astype(np.float16).astype(np.float32)
    seen = windows(x, kernel, stride)
    m, k = batch * seen.shape[1], channels * kernel
    case, _ = matmul_case(rng, m, n, k, bits, scheme=scheme, act=act, tuning=tuning, f16=half)
    parts, quant, w = matrix(rng, n, k, bits, 32, scheme)
    want = seen.reshape(m, k).astype(np.float64) @ w.T
    if bias:
        stored = np.frombuffer(base64.b64decode(case["weights"]["b"]), "<f2")[:n]
        parts["b"] = case["weights"]["b"]
        want = want + stored.astype(np.float64)
    window = {"batch": batch, "sequence": steps, "kernel": kernel, "stride": stride, "padding": kernel // 2}
    case["spec"] |= {"quant": quant, "window": window, "bias": ["b"] if bias else None}
    case |= {"weights": parts, "values": {"x": value(x.reshape(-1, channels))}}
    return case, ACTIVATIONS[act](want)


@pytest.mark.parametrize("bits", [16, pytest.param(8, marks=LONG), 4, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["a processor's", "a GPU's"])
def test_tiles(lab, f16, bits, shape, form):  # noqa: F811
    rng = np.random.default_rng([bits, *shape])
    gpu = {"BM": 32, "BN": 32, "BK": 64, "TM": 2, "TN": 2, "PREFETCH": 1, "UNIFORM": 0}
    tuning = {"ROW_KERNEL": 0, "TM": 4, **(gpu if form == "a GPU's" else {})}
    scheme = "asymmetric" if bits == 4 else "symmetric"
    case, want = convolution_case(rng, shape, bits, f16, tuning, scheme=scheme)
    close(lab.run(case), want, f16)


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "tile", ["small", pytest.param("wide", marks=LONG), pytest.param("sliced", marks=LONG)]
)
def test_matrix_units(lab, matrices, bits, shape, tile):  # noqa: F811
    rng = np.random.default_rng([bits, *shape])
    scheme = "asymmetric" if bits == 2 else "symmetric"
    for uniform in (0, 1):
        tuning = {**matrices, **TILES[tile], "UNIFORM": uniform}
        case, want = convolution_case(rng, shape, bits, True, tuning, scheme=scheme)
        close(lab.run(case), want, True)


def test_an_activation_and_no_bias(lab, f16):  # noqa: F811
    rng = np.random.default_rng(6)
    for act, bias in (("gelu", True), ("relu", False)):
        tuning = {"ROW_KERNEL": 0, "TM": 4}
        case, want = convolution_case(rng, (2, 19, 6, 21, 3, 1), 8, f16, tuning, act=act, bias=bias)
        close(lab.run(case), want, f16)


def test_padding_of_any_size(lab):
    """None, less than half a kernel, and more than a whole one."""
    rng = np.random.default_rng(7)
    for padding, stride in ((0, 1), (1, 3), (7, 2)):
        x = rng.normal(0, 1, (2, 11, 3)).astype(np.float16).astype(np.float32)
        padded = np.pad(x, ((0, 0), (padding, padding), (0, 0)))
        seen = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=1)[:, ::stride]
        m = 2 * seen.shape[1]
        case, _ = matmul_case(rng, m, 9, 15, 16, bias=False, tuning={"ROW_KERNEL": 0})
        parts, _, w = matrix(rng, 9, 15, 16, 32, "symmetric")
        case["spec"]["window"] = {
            "batch": 2, "sequence": 11, "kernel": 5, "stride": stride, "padding": padding,
        }  # fmt: skip
        case |= {"weights": parts, "values": {"x": value(x.reshape(-1, 3))}}
        close(lab.run(case), seen.reshape(m, 15).astype(np.float64) @ w.T, False)


@pytest.mark.parametrize("browser", ["chrome", "firefox"])
def test_a_whole_model_without_windows(browser, tmp_path):
    """Both convolutions of a Whisper, two clips, as a GPU runs them; the harness verifies it."""
    require(browser)
    folder = tiny_whisper.write(tmp_path / "model")
    request = Request(
        platform="webgpu", browser=browser, model="mine", bits=4, sequence_length=19, batch_size=2
    )
    with PageServer() as server:
        settings = RunSettings(iterations=2, tuning={"WINDOW": 1})
        run = execute(
            request, resolve("mine", folder), server, load_settings(), settings, lambda words: None
        ).record
    assert run.outcome is Outcome.OK, run.error
    notes = run.evidence["notes"]
    assert notes["fused"]["window_linear"] == 2
    assert not any(name.startswith("unfold") for name in notes["kernels"])
    assert any('"WINDOW":1,"KERNEL":3' in name for name in notes["kernels"])
