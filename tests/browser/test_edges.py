"""The edges of every operator: NumPy, WebGPU and WebNN give one answer (see `bench/models/graph.py`)."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
from bundled import pack_weights

from bench.bundle import weights as packing
from bench.harness.lab import encode, value
from bench.models.graph import Graph, Input, Node, Weight
from bench.models.program import FORWARD, single
from bench.quantize.methods import Quantized, dequantize
from bench.quantize.packing import to_f16, unpack, unpack_f16
from bench.quantize.recipe import uniform
from bench.reference.execute import run

pytestmark = pytest.mark.browser
LONG = pytest.mark.long  # what `make test-long` adds
RNG = np.random.default_rng(8)


@pytest.fixture
def everywhere(platform, lab):
    """Runs a program there and in NumPy; what it gave, and what NumPy did."""
    name, half = platform

    def both(program, inputs, tensors=None, values=None, quantization=None):
        program.check()
        sent = {**program.to_json(), "quantization": quantization or {}}
        call = {"entry": FORWARD, "inputs": {key: value(array) for key, array in inputs.items()}}
        case = {"platform": name, "f16": half, "program": sent, "tensors": tensors or {}}
        [answer] = lab.call("program", {**case, "calls": [call]})["answers"]
        want = run(program, values or {}, inputs)
        got = {key: np.frombuffer(base64.b64decode(answer[key]), "<f4") for key in want}
        return {key: got[key].reshape(want[key].shape) for key in want}, want

    both.half, both.platform = half, name
    return both


def floats(*shape):
    """Values that float16 holds exactly."""
    return RNG.normal(0, 1, shape).astype(np.float16).astype(np.float32)


def one(op, inputs, shape, weights=(), **attrs):
    """A program of one operator; every input is a graph input, integers or floats by their array."""
    items = tuple(
        Input(name, array.shape, 2, "int32" if array.dtype == np.int32 else "float32")
        for name, array in inputs.items()
    )
    names = tuple(weight.name for weight in weights)
    node = Node(op, "node", tuple(inputs), "y", shape, names, attrs)
    return single("edge", "test", tuple(weights), Graph(items, (node,), ("y",)))


def same(pair, half=False, atol=0.0):
    got, want = pair
    for name in want:
        assert np.isfinite(got[name]).all(), (name, got[name])
        np.testing.assert_allclose(
            got[name], want[name], rtol=4e-3 if half else 2e-5, atol=atol or (4e-3 if half else 3e-6)
        )
    return got


MASKS = {
    "none": [[0] * 5, [1] * 5],
    "left": [[0, 0, 1, 1, 1], [0, 0, 0, 0, 1]],
    "holes": [[1, 0, 1, 0, 0], [0, 1, 0, 0, 0]],
}


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("mask", list(MASKS))
@pytest.mark.parametrize("size", [1.0, 200.0])
def test_attention_where_no_key_counts(everywhere, mask, causal, size):
    batch, tokens, heads, hidden = 2, 5, 2, 8
    rows = batch * tokens
    inputs = {name: floats(rows, hidden) for name in "qkv"} | {"mask": np.array(MASKS[mask], np.int32)}
    inputs["q"] = (inputs["q"] * size).astype(np.float16).astype(np.float32)
    attrs = {
        "heads": heads,
        "scale": 0.5,
        "batch": batch,
        "sequence": tokens,
        "keys": tokens,
        "causal": causal,
    }
    got = same(everywhere(one("attention", inputs, (rows, hidden), **attrs), inputs), everywhere.half)
    if mask == "none":
        assert not got["y"][:tokens].any()


def test_attention_of_more_keys_than_a_tile_all_masked(everywhere):
    tokens, hidden = 70, 4
    inputs = {name: floats(tokens, hidden) for name in "qkv"} | {"mask": np.zeros((1, tokens), np.int32)}
    program = one("attention", inputs, (tokens, hidden), heads=1, scale=0.5, batch=1, sequence=tokens)
    assert not same(everywhere(program, inputs))["y"].any()


def test_padding_stays_out_however_large_its_score(everywhere):
    """Scores beyond 1e9, which a mask of -1e9 would let through."""
    if everywhere.half:
        pytest.skip("float16 ends at 65504: scores cannot grow so large there")
    inputs = {
        "q": np.full((2, 4), 3e5, np.float32),
        "k": np.array([[-3e5] * 4, [3e5] * 4], np.float32),
        "v": np.array([[1, 2, 3, 4], [9, 9, 9, 9]], np.float32),
        "mask": np.array([[1, 0]], np.int32),
    }
    program = one("attention", inputs, (2, 4), heads=1, scale=0.5, batch=1, sequence=2)
    got = same(everywhere(program, inputs))["y"]
    np.testing.assert_array_equal(got, np.tile(inputs["v"][:1], (2, 1)))


def test_causal_alone_with_large_scores(everywhere):
    inputs = {name: floats(3, 4) for name in "qkv"}
    if not everywhere.half:
        inputs["q"] *= np.float32(1e6)
        inputs["k"] *= np.float32(1e6)
    program = one("attention", inputs, (3, 4), heads=1, scale=0.5, batch=1, sequence=3, causal=1)
    same(everywhere(program, inputs), everywhere.half)


@pytest.mark.parametrize("hidden", [1, 2, 130])
def test_softmax(everywhere, hidden):
    x = floats(4, hidden)
    x[1] = 0
    x[2] = -60000
    same(everywhere(one("softmax", {"x": x}, x.shape), {"x": x}), everywhere.half)


def test_softmax_of_nothing(everywhere):
    """-inf cannot be an input; a division by a tiny number makes it on the way."""
    rows = 3
    x = np.array([[-1e38] * 4, [-1e38, 1, 2, 3], [1, 2, 3, 4]], np.float32)
    if everywhere.half:
        x[:2, 0] = x[0] = -6e4
    first = one("add", {"x": x}, x.shape)
    nodes = [Node("add", f"d{i}", (f"d{i - 1}", f"d{i - 1}") if i else ("x", "x"), f"d{i}", (rows, 4))
             for i in range(3)]  # fmt: skip
    last = Node("softmax", "s", ("d2",), "y", (rows, 4))
    program = single("edge", "test", (), replace(first.main, nodes=(*nodes, last)))
    with np.errstate(over="ignore"):
        got, want = everywhere(program, {"x": x})
    if everywhere.half:  # NumPy's f32 does not overflow there
        want["y"][0] = 0
    np.testing.assert_allclose(got["y"], want["y"], atol=1e-3)
    assert not got["y"][0].any()


@pytest.mark.parametrize("tokens", [1, 6])
def test_mean_of_no_token(everywhere, tokens):
    inputs = {"x": floats(2 * tokens, 7), "mask": np.zeros((2, tokens), np.int32)}
    inputs["mask"][1, 0] = 1
    got = same(
        everywhere(one("mean_pool", inputs, (2, 7), batch=2, sequence=tokens), inputs), everywhere.half
    )
    assert not got["y"][0].any()


def test_first_of_one_token(everywhere):
    x = floats(3, 5)
    same(everywhere(one("first_token", {"x": x}, (3, 5), batch=3, sequence=1), {"x": x}), everywhere.half)


@pytest.mark.parametrize("hidden", [1, 5, 130])
def test_l2_normalize_of_nothing(everywhere, hidden):
    x = floats(3, hidden)
    x[0] = 0
    x[1] = 0 if everywhere.half else 1e-20
    got = same(everywhere(one("l2_normalize", {"x": x}, x.shape, epsilon=1e-12), {"x": x}), everywhere.half)
    assert not got["y"][0].any()


@pytest.mark.parametrize("hidden", [1, 24, 385])
@pytest.mark.parametrize("level", [0.0, 20.1, -333.3])
def test_layer_norm_of_equal_values_is_beta(everywhere, hidden, level):
    x = floats(3, hidden)
    x[1] = np.float16(level) if everywhere.half else np.float32(level)
    gamma, beta = RNG.normal(1, 0.2, hidden), RNG.normal(0, 1, hidden)
    weights = (Weight("g", (hidden,), "vector"), Weight("b", (hidden,), "vector"))
    values = {"g": to_f16(gamma).astype(np.float32), "b": to_f16(beta).astype(np.float32)}
    program = one("layer_norm", {"x": x}, x.shape, weights, epsilon=1e-12)
    tensors = {"g": encode(to_f16(gamma)), "b": encode(to_f16(beta))}
    got = same(
        everywhere(program, {"x": x}, tensors, values), everywhere.half, 8e-3 if everywhere.half else 3e-5
    )
    np.testing.assert_allclose(got["y"][1], values["b"], atol=2e-3 if everywhere.half else 1e-6)


@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "relu", "tanh", "sigmoid"])
def test_activations_far_out(everywhere, kind):
    far = [0.0, -0.0, 1e-7, 11.0, 88.0, 89.5, 300.0, 6e4]
    if not everywhere.half:
        far += [1e10, 1e12]
    x = np.array([far, [-v for v in far]], np.float32)
    same(everywhere(one("activation", {"x": x}, x.shape, kind=kind), {"x": x}), everywhere.half)


@pytest.mark.parametrize(
    ("sequence", "kernel", "stride", "padding"), [(1, 3, 1, 1), (1, 3, 2, 1), (2, 3, 2, 1), (1, 1, 4, 0)]
)
def test_windows_of_the_shortest_clip(everywhere, sequence, kernel, stride, padding):
    """Whisper at sequence 1: its second convolution takes one window of two frames."""
    x = floats(2 * sequence, 3)
    rows = 2 * ((sequence + 2 * padding - kernel) // stride + 1)
    attrs = {"kernel": kernel, "stride": stride, "padding": padding, "batch": 2, "sequence": sequence}
    same(everywhere(one("unfold", {"x": x}, (rows, 3 * kernel), **attrs), {"x": x}), everywhere.half)


class Source:
    """What `pack_weight` reads of a model: its weights."""

    folder, name = None, "edge"

    def __init__(self, weights):
        self.load = weights.__getitem__


@pytest.mark.parametrize("size", [1e-6, pytest.param(1e-3, marks=LONG), pytest.param(1.0, marks=LONG), 6e4])
@pytest.mark.parametrize(
    ("bits", "scheme"), [(16, "symmetric"), *((b, s) for b in (8, 4, 2) for s in ("symmetric", "asymmetric"))]
)
@pytest.mark.parametrize("rows", [pytest.param(1, marks=LONG), 9])
def test_weights_of_any_magnitude(everywhere, size, bits, scheme, rows):
    """A table, a linear layer of it, and three that the planner joins, each with an exponent of its own."""
    if everywhere.platform == "webnn" and bits == 2:
        pytest.skip("no browser has int2: standard mode runs 2 bits as 8")
    if everywhere.half and size > 1:
        pytest.skip("products of weights of 6e4 are no float16")
    h, sizes = 40, {"W": size, "q": size, "k": 1.0, "v": size}
    weights = {n: (RNG.normal(0, 0.3, (40, h)) * s).astype(np.float32) for n, s in sizes.items()}
    weights["W"][3] *= 1e-2
    ids = np.arange(rows, dtype=np.int32)[None]
    declared = tuple(Weight(n, w.shape, "embedding" if n == "W" else "attention") for n, w in weights.items())
    shape = (rows, h)
    attrs = {"heads": 2, "scale": 0.2, "batch": 1, "sequence": rows}
    nodes = (
        Node("embedding", "e", ("ids",), "e", shape, ("W",)),
        Node("linear", "tied", ("x",), "logits", (rows, 40), ("W",)),
        *(Node("linear", n, ("x",), n, shape, (n,)) for n in "qkv"),
        Node("attention", "a", ("q", "k", "v"), "context", shape, (), attrs),
    )
    items = (Input("ids", ids.shape, 40), Input("x", shape, 0, "float32"))
    program = single("edge", "test", declared, Graph(items, nodes, ("e", "logits", "context")))
    recipe = uniform(bits, 32, scheme)
    table = packing.quantization(declared, recipe)
    tensors, exponents = pack_weights(Source(weights), declared, recipe)
    quantization = {n: {**how, "exponent": exponents.get(n, 0)} for n, how in table.items()}
    values = {n: unpacked(tensors, n, quantization[n]) for n in weights}
    if bits >= 8:
        for name, w in weights.items():
            assert np.linalg.norm(values[name] - w) <= 2e-2 * np.linalg.norm(w)
    inputs = {"ids": ids, "x": floats(*shape)}
    got, want = everywhere(program, inputs, {n: encode(t) for n, t in tensors.items()}, values, quantization)
    for name in want:
        scale = np.linalg.norm(want[name])
        if everywhere.half and scale < 0.1:
            continue  # below what float16 activations hold
        assert np.linalg.norm(got[name] - want[name]) <= (5e-3 if everywhere.half else 1e-4) * scale, name


def unpacked(tensors, name, how):
    """The values of a packed matrix, exactly as NumPy's reference takes them."""
    codes = tensors[f"{name}.codes"]
    if how["bits"] == 16:
        return np.ldexp(unpack_f16(codes, how["k"]).astype(np.float32), how["exponent"])
    scales = tensors[f"{name}.scales"]
    zeros = tensors.get(f"{name}.zeros")
    zeros = None if zeros is None else unpack(zeros, how["bits"], scales.shape[1])
    whole = unpack(codes, how["bits"], how["kp"])
    return dequantize(
        Quantized(whole, scales, zeros, how["bits"], how["group_size"], how["k"], how["exponent"])
    )
