"""Every kernel against NumPy, on odd sizes, at every precision, in Chromium and in Firefox."""

from __future__ import annotations

import numpy as np
import pytest

from bench.harness.lab import packed, value, vector
from bench.quantize.methods import dequantize, quantize
from bench.quantize.packing import pack_f16, to_f16
from bench.reference.execute import erf

pytestmark = pytest.mark.browser
LONG = pytest.mark.long  # sizes and packings that `make test-long` adds

ACTIVATIONS = {
    "none": lambda x: x,
    "gelu": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 0.5 + 0.5 * np.tanh(0.5 * x),
}


@pytest.fixture(params=[False, True], ids=["f32", "f16"])
def f16(request, lab):
    """Both types of activation, where the adapter has `shader-f16`."""
    if request.param and "shader-f16" not in lab.features:
        pytest.skip(f"the adapter of {lab.name} has no shader-f16")
    return request.param


def close(got, want, f16):
    """Relative L2 within rounding; and nothing left unwritten."""
    want = np.asarray(want, np.float64).ravel()
    assert got.shape == want.shape
    assert np.isfinite(got).all()
    distance = np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30)
    assert distance <= (3e-3 if f16 else 2e-6), distance


def matrix(rng, n, k, bits, group, scheme):
    """A weight matrix: the page's parts, its packing, and the values the kernel must use."""
    w = rng.normal(0, 0.3, (n, k)).astype(np.float32)
    if bits == 16:
        from bench.harness.lab import encode

        quant = {"bits": 16, "group_size": None, "scheme": None, "k": k, "kp": -(-k // 2) * 2}
        return {"W.codes": encode(pack_f16(w))}, quant, to_f16(w).astype(np.float64)
    q = quantize(w, bits, group, scheme)
    parts, quant = packed("W", q)
    return parts, quant, dequantize(q).astype(np.float64)


def matmul_case(
    rng, m, n, k, bits, group=32, scheme="symmetric", act="none", bias=True, tuning=None, f16=False
):
    parts, quant, w = matrix(rng, n, k, bits, group, scheme)
    x = rng.normal(0, 1, (m, k)).astype(np.float32)
    if f16:
        x = x.astype(np.float16).astype(np.float32)
    b = rng.normal(0, 1, n).astype(np.float32)
    # As on a processor, unless a test asks for more: a GPU rounds the activations of a few rows to 16 bits,
    # and that form has tests of its own.
    spec = {
        "name": "matmul", "m": m, "n": n, "quant": quant, "weights": ["W"], "bias": ["b"] if bias else None,
        "act": act, "input": "x", "output": "y", "tuning": {"FIXED": 0, **(tuning or {})},
    }  # fmt: skip
    if bias:
        parts["b"] = vector(b)
    want = x.astype(np.float64) @ w.T + (to_f16(b).astype(np.float64) if bias else 0)
    case = {
        "op": "matmul", "spec": spec, "f16": f16, "weights": parts, "values": {"x": value(x)},
        "output": "y", "elements": m * n,
    }  # fmt: skip
    return case, ACTIVATIONS[act](want)


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize(
    "shape",
    [
        (5, 3, 7),
        (33, 70, 100),
        pytest.param((17, 33, 40), marks=LONG),
        pytest.param((65, 131, 72), marks=LONG),
    ],
)
def test_matmul_of_many_rows(lab, f16, bits, scheme, shape):
    rng = np.random.default_rng([bits, *shape])
    case, want = matmul_case(rng, *shape, bits, scheme=scheme, f16=f16)
    close(lab.run(case), want, f16)


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize(
    "shape",
    [(1, 7, 33), (3, 61, 96), pytest.param((1, 1, 1), marks=LONG), pytest.param((1, 130, 1000), marks=LONG)],
)
def test_matmul_of_one_row(lab, f16, bits, scheme, shape):
    rng = np.random.default_rng([bits, *shape])
    case, want = matmul_case(rng, *shape, bits, scheme=scheme, f16=f16)
    close(lab.run(case), want, f16)


@pytest.mark.parametrize("group", [16, 64, 128])
@pytest.mark.parametrize("bits", [pytest.param(8, marks=LONG), 4, 2])
@pytest.mark.parametrize("m", [1, 9])
def test_every_group_size(lab, group, bits, m):
    rng = np.random.default_rng([group, bits, m])
    case, want = matmul_case(rng, m, 19, 150, bits, group=group, scheme="asymmetric")
    close(lab.run(case), want, False)


@pytest.mark.parametrize(
    "tile", [(64, 64, 32, 4, 4), (32, 64, 32, 2, 4), (32, 32, 64, 2, 2), (16, 32, 64, 1, 2)]
)
@pytest.mark.parametrize("bits", [pytest.param(16, marks=LONG), 4, pytest.param(2, marks=LONG)])
def test_every_tile(lab, tile, bits):
    rng = np.random.default_rng([*tile, bits])
    tuning = dict(zip(["BM", "BN", "BK", "TM", "TN"], tile, strict=True)) | {"ROW_KERNEL": 0, "PREFETCH": 1}
    case, want = matmul_case(rng, 67, 70, 96, bits, tuning=tuning)
    close(lab.run(case), want, False)


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
def test_reading_ahead_as_hardware_does(lab, bits):
    """Software adapters read a tile when it is its turn; what hardware runs is compared here too."""
    rng = np.random.default_rng(bits)
    tile = {"BM": 32, "BN": 32, "BK": 64, "TM": 2, "TN": 2}
    case, want = matmul_case(rng, 33, 70, 100, bits, scheme="asymmetric", tuning={"PREFETCH": 1, **tile})
    close(lab.run(case), want, False)


@pytest.mark.parametrize("subgroups", [0, 1])
@pytest.mark.parametrize("bits", [16, 8, 4, 2])
def test_one_row_with_and_without_subgroups(lab, subgroups, bits):
    if subgroups and "subgroups" not in lab.features:
        pytest.skip(f"the adapter of {lab.name} has no subgroups")
    rng = np.random.default_rng([subgroups, bits])
    case, want = matmul_case(rng, 1, 30, 640, bits, tuning={"SUBGROUPS": subgroups, "ROW_KERNEL": 1})
    close(lab.run(case), want, False)


@pytest.mark.parametrize("act", list(ACTIVATIONS))
@pytest.mark.parametrize(("m", "bias"), [(1, True), (6, False)])
def test_epilogues(lab, act, m, bias):
    rng = np.random.default_rng([len(act), m])
    case, want = matmul_case(rng, m, 21, 44, 8, act=act, bias=bias)
    got = lab.run(case)
    # Cancellation near gelu's zeros is judged against the largest output, not each its own.
    assert np.max(np.abs(got - want.ravel())) <= 2e-6 * max(1, np.max(np.abs(want)))


def test_joined_weights_are_rows_one_after_the_other(lab):
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, (9, 40)).astype(np.float32)
    weights, wants = {}, []
    for name in "qkv":
        parts, quant, w = matrix(rng, 6, 40, 4, 32, "asymmetric")
        weights |= {key.replace("W.", f"{name}."): data for key, data in parts.items()}
        b = rng.normal(0, 1, 6)
        weights[f"{name}.bias"] = vector(b)
        wants.append(x @ w.T + to_f16(b))
    spec = {
        "name": "qkv", "m": 9, "n": 18, "quant": quant, "weights": list("qkv"),
        "bias": ["q.bias", "k.bias", "v.bias"], "act": "none", "input": "x", "output": "y", "tuning": {},
    }  # fmt: skip
    case = {
        "op": "matmul", "spec": spec, "f16": False, "weights": weights, "values": {"x": value(x)},
        "output": "y", "elements": 9 * 18,
    }  # fmt: skip
    close(lab.run(case), np.concatenate(wants, axis=1), False)


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
@pytest.mark.parametrize(("hidden", "add"), [(1, False), (31, True), pytest.param(70, False, marks=LONG)])
def test_embedding(lab, f16, bits, hidden, add):
    rng = np.random.default_rng([bits, hidden])
    parts, quant, table = matrix(rng, 23, hidden, bits, 16, "asymmetric")
    ids = rng.integers(0, 23, 7)
    other = rng.normal(0, 1, (7, hidden)).astype(np.float16).astype(np.float32)
    spec = {
        "name": "e", "rows": 7, "vocab": 23, "quant": quant, "weights": ["W"], "ids": "ids",
        "other": "other" if add else None, "output": "y",
    }  # fmt: skip
    values = {"ids": value(ids)} | ({"other": value(other)} if add else {})
    case = {
        "op": "embedding", "spec": spec, "f16": f16, "weights": parts, "values": values,
        "output": "y", "elements": 7 * hidden,
    }  # fmt: skip
    close(lab.run(case), table[ids] + (other if add else 0), f16)


@pytest.mark.parametrize("hidden", [3, 64, 385])
@pytest.mark.parametrize("add", [True, False])
@pytest.mark.parametrize("tuning", [{}, {"EACH": 1, "NORM_THREADS": 64}], ids=["read thrice", "kept"])
def test_layer_norm(lab, f16, hidden, add, tuning):
    rng = np.random.default_rng(hidden)
    # A large common offset is what cancels in a one-pass variance.
    a, b = (
        rng.normal(20 if not f16 else 1, 1, (5, hidden)).astype(np.float16).astype(np.float64) for _ in "ab"
    )
    gamma, beta = rng.normal(1, 0.2, hidden), rng.normal(0, 1, hidden)
    x = a + b if add else a
    want = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    want = want * to_f16(gamma).astype(np.float64) + to_f16(beta).astype(np.float64)
    spec = {
        "name": "n", "rows": 5, "hidden": hidden, "epsilon": 1e-5, "gamma": "g", "beta": "b",
        "input": "a", "other": "c" if add else None, "output": "y", "tuning": tuning,
    }  # fmt: skip
    case = {
        "op": "layer_norm", "spec": spec, "f16": f16, "weights": {"g": vector(gamma), "b": vector(beta)},
        "values": {"a": value(a)} | ({"c": value(b)} if add else {}), "output": "y", "elements": 5 * hidden,
    }  # fmt: skip
    got = lab.run(case)
    assert np.max(np.abs(got - want.ravel())) <= (8e-3 if f16 else 5e-5)


def attention_reference(q, k, v, mask, heads, scale):
    batch, tokens = mask.shape
    d = q.shape[1] // heads
    out = np.zeros_like(q)
    for b in range(batch):
        rows = slice(b * tokens, (b + 1) * tokens)
        for h in range(heads):
            cols = slice(h * d, (h + 1) * d)
            s = q[rows, cols] @ k[rows, cols].T * scale
            s[:, mask[b] == 0] = -np.inf
            p = np.exp(s - s.max(1, keepdims=True))
            out[rows, cols] = p / p.sum(1, keepdims=True) @ v[rows, cols]
    return out


@pytest.mark.parametrize(
    ("batch", "tokens", "heads", "d"),
    [(1, 1, 1, 4), (2, 19, 3, 8), (1, 40, 2, 32), (2, 35, 1, 64), (1, 33, 1, 12)],
)
def test_attention(lab, f16, batch, tokens, heads, d):
    rng = np.random.default_rng([batch, tokens, d])
    rows, hidden = batch * tokens, heads * d
    qkv = rng.normal(0, 1, (rows, 3 * hidden)).astype(np.float16).astype(np.float64)
    mask = np.ones((batch, tokens), np.int32)
    mask[-1, tokens // 2 + 1 :] = (
        0  # padding in the last sequence, a whole key tile of it where there are two
    )
    q, k, v = qkv[:, :hidden], qkv[:, hidden : 2 * hidden], qkv[:, 2 * hidden :]
    want = attention_reference(q, k, v, mask, heads, d**-0.5)
    columns = [{"value": "qkv", "stride": 3 * hidden, "offset": i * hidden} for i in range(3)]
    spec = {
        "name": "a", "batch": batch, "sequence": tokens, "heads": heads, "hidden": hidden, "scale": d**-0.5,
        "q": columns[0], "k": columns[1], "v": columns[2], "mask": "mask", "output": "y",
    }  # fmt: skip
    case = {
        "op": "attention", "spec": spec, "f16": f16, "weights": {},
        "values": {"qkv": value(qkv), "mask": value(mask)}, "output": "y", "elements": rows * hidden,
    }  # fmt: skip
    got = lab.run(case)
    assert np.max(np.abs(got - want.ravel())) <= (4e-3 if f16 else 3e-6)


@pytest.mark.parametrize(
    ("queries", "keys", "causal"),
    [(5, 37, False), (19, 3, False), (1, 1, True), (35, 35, True), (16, 16, True)],
)
def test_attention_over_other_keys_and_only_earlier_ones(lab, f16, queries, keys, causal):
    batch, heads, d = 2, 2, 12
    rng = np.random.default_rng([queries, keys])
    hidden = heads * d
    q, k, v = (
        rng.normal(0, 1, (batch, n, hidden)).astype(np.float16).astype(np.float64)
        for n in (queries, keys, keys)
    )
    want = np.zeros_like(q)
    for h in range(heads):
        cols = slice(h * d, (h + 1) * d)
        s = q[..., cols] @ k[..., cols].transpose(0, 2, 1) * d**-0.5
        if causal:
            s[:, np.triu(np.ones((queries, keys), bool), 1)] = -np.inf
        p = np.exp(s - s.max(-1, keepdims=True))
        want[..., cols] = p / p.sum(-1, keepdims=True) @ v[..., cols]
    columns = {n: {"value": n, "stride": hidden, "offset": 0} for n in "qkv"}
    spec = {
        "name": "a", "batch": batch, "sequence": queries, "keys": keys, "causal": causal, "heads": heads,
        "hidden": hidden, "scale": d**-0.5, **columns, "mask": None, "output": "y",
    }  # fmt: skip
    values = {n: value(a.reshape(-1, hidden)) for n, a in zip("qkv", (q, k, v), strict=True)}
    case = {
        "op": "attention", "spec": spec, "f16": f16, "weights": {}, "values": values, "output": "y",
        "elements": batch * queries * hidden,
    }  # fmt: skip
    got = lab.run(case)
    assert np.max(np.abs(got - want.ravel())) <= (4e-3 if f16 else 3e-6)


@pytest.mark.parametrize("tuning", [{}, {"UNFOLD_THREADS": 64}, {"UNFOLD_THREADS": 1}])
@pytest.mark.parametrize(
    ("rows", "channels", "kernel", "stride", "padding"),
    [(7, 5, 3, 1, 1), (8, 3, 3, 2, 1), (9, 1, 2, 3, 0), (301, 11, 5, 2, 2)],
)
def test_unfold(lab, f16, rows, channels, kernel, stride, padding, tuning):
    batch = 2
    x = (
        np.random.default_rng(rows)
        .normal(0, 1, (batch, rows, channels))
        .astype(np.float16)
        .astype(np.float64)
    )
    padded = np.pad(x, ((0, 0), (padding, padding), (0, 0)))
    want = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=1)[:, ::stride]
    spec = {
        "name": "u", "rows": batch * want.shape[1], "width": channels * kernel, "batch": batch,
        "sequence": rows, "kernel": kernel, "stride": stride, "padding": padding, "input": "x", "output": "y",
        "tuning": tuning,
    }  # fmt: skip
    case = {
        "op": "unfold", "spec": spec, "f16": f16, "weights": {},
        "values": {"x": value(x.reshape(-1, channels))}, "output": "y", "elements": want.size,
    }  # fmt: skip
    np.testing.assert_array_equal(lab.run(case), want.ravel())


def simple(op, f16, inputs, **spec):
    rows, hidden = spec["rows"], spec["hidden"]
    full = {"name": op, "inputs": list(inputs), "output": "y", **spec}
    return {
        "op": op, "spec": full, "f16": f16, "weights": {}, "values": {k: value(v) for k, v in inputs.items()},
        "output": "y", "elements": rows * hidden,
    }  # fmt: skip


def test_add_of_more_elements_than_one_dimension_of_workgroups(lab):
    rng = np.random.default_rng(0)
    count = 65535 * 256 + 1024
    a = rng.normal(0, 1, 256).astype(np.float32)
    case = simple("add", False, {"a": a, "b": a}, rows=1, hidden=count)
    for given in case["values"].values():
        given["repeat"] = count // 256
    case["take"] = [*range(256), *range(count - 256, count)]
    np.testing.assert_array_equal(lab.run(case), np.tile(a + a, 2))


@pytest.mark.parametrize("kind", list(ACTIVATIONS)[1:])
def test_activation(lab, f16, kind):
    x = np.linspace(-60, 60, 4001).astype(np.float16).astype(np.float64)
    got = lab.run(simple("activation", f16, {"x": x}, rows=1, hidden=x.size, act=kind))
    want = ACTIVATIONS[kind](x)
    np.testing.assert_allclose(got, want, rtol=2e-3 if f16 else 1e-5, atol=2e-3 if f16 else 2e-6)


@pytest.mark.parametrize("hidden", [1, 63, 130])
def test_pooling_and_rows(lab, f16, hidden):
    rng = np.random.default_rng(hidden)
    x = rng.normal(0, 1, (2 * 9, hidden)).astype(np.float16).astype(np.float64)
    mask = np.ones((2, 9), np.int32)
    mask[1, 4:] = 0
    y = x.reshape(2, 9, hidden)
    want = (y * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    got = lab.run(simple("mean_pool", f16, {"x": x, "mask": mask}, rows=2, hidden=hidden, sequence=9))
    close(got, want, f16)
    got = lab.run(simple("first_token", f16, {"x": x}, rows=2, hidden=hidden, sequence=9))
    close(got, y[:, 0], f16)
    got = lab.run(simple("l2_normalize", f16, {"x": x}, rows=18, hidden=hidden, epsilon=1e-12))
    close(got, x / np.linalg.norm(x, axis=1, keepdims=True), f16)
    got = lab.run(simple("softmax", f16, {"x": 10 * x}, rows=18, hidden=hidden))
    e = np.exp(10 * x - (10 * x).max(1, keepdims=True))
    close(got, e / e.sum(1, keepdims=True), f16)


def test_every_variant_compiles(lab):
    """As this browser reads them; tests/pages/variants.test.js is for features that no adapter here has."""
    from bench.harness.server import shader_files

    for half in [False, True]:
        if half and "shader-f16" not in lab.features:
            continue
        answer = lab.call("compile", {"f16": half, "pipelines": False})
        assert answer["failures"] == []
        assert answer["f16"] is half
        assert answer["compiled"] > 60
        kernels = {name.removesuffix(".wgsl") for name in shader_files() if not name.endswith(".inc.wgsl")}
        assert set(answer["shaders"]) == kernels - (set() if half else {"attention_matrix", "matmul_matrix"})


@pytest.mark.long
@pytest.mark.parametrize("half", [False, True])
def test_a_pipeline_is_made_of_every_variant(lab, half):
    if half and "shader-f16" not in lab.features:
        pytest.skip(f"the adapter of {lab.name} has no shader-f16")
    made, known = 0, 1
    while made < known:
        answer = lab.call("compile", {"f16": half, "pipelines": True, "from": made, "count": 12})
        assert answer["failures"] == []
        made, known = made + answer["compiled"], answer["known"]
