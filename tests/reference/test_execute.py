"""Each operator against a loop in plain Python floats (float64), on odd sizes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.models.graph import Graph, Input, Node, Weight
from bench.models.program import Program, single
from bench.reference.execute import erf, run

RNG = np.random.default_rng(11)
B, T, H = 3, 5, 6


def normal(*shape):
    return RNG.normal(0, 1, shape).astype(np.float32)


MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], np.int32)
IDS = np.arange(B * T, dtype=np.int32).reshape(B, T)


def one(op, tensors, shape, *, mask=False, weights=None, attrs=None):
    """Run a graph of one operator; its float inputs come out of embedding tables."""
    inputs = [Input("ids", (B, T), B * T), Input("mask", (B, T), 2)]
    declared, nodes, values = [], [], {}
    for index, tensor in enumerate(tensors):
        assert tensor.shape[0] == B * T
        name = f"t{index}"
        declared.append(Weight(name, tensor.shape, "embedding"))
        nodes.append(Node("embedding", name, ("ids",), f"x{index}", tensor.shape, (name,)))
        values[name] = tensor
    for name, tensor in (weights or {}).items():
        declared.append(Weight(name, tensor.shape, "vector" if tensor.ndim == 1 else "head"))
        values[name] = tensor
    names = tuple(f"x{i}" for i in range(len(tensors))) + (("mask",) if mask else ())
    nodes.append(Node(op, "it", names, "y", shape, tuple(weights or {}), attrs or {}))
    program = single("one", "test", tuple(declared), Graph(tuple(inputs), tuple(nodes), ("y",)))
    return run(program, values, {"ids": IDS, "mask": MASK})["y"]


def close(got, expected, tolerance=2e-6):
    assert got.dtype == np.float32
    expected = np.array(expected)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * max(1.0, np.abs(expected).max())


@given(st.floats(-8, 8))
def test_erf(x):
    assert abs(erf(np.array([x]))[0] - math.erf(x)) < 1e-10


def test_erf_keeps_sign_and_ends():
    assert erf(np.array([0.0, 6.0, -6.0, 1e30, -1e30])).tolist() == [0, 1, -1, 1, -1]


def test_embedding_takes_rows():
    table = normal(B * T, H)
    graph = Graph(
        (Input("ids", (2, 2), B * T),), (Node("embedding", "e", ("ids",), "y", (4, H), ("w",)),), ("y",)
    )
    program = single("e", "test", (Weight("w", table.shape, "embedding"),), graph)
    got = run(program, {"w": table}, {"ids": np.array([[7, 0], [14, 7]], np.int32)})["y"]
    assert np.array_equal(got, table[[7, 0, 14, 7]])


def test_add():
    a, b = normal(B * T, H), normal(B * T, H)
    close(one("add", [a, b], (B * T, H)), a.astype(np.float64) + b)


def test_layer_norm():
    x, gamma, beta = normal(B * T, H) * 5 + 3, normal(H), normal(H)
    expected = []
    for row in x.tolist():
        mean = math.fsum(row) / H
        variance = math.fsum((v - mean) ** 2 for v in row) / H
        expected.append(
            [
                (v - mean) / math.sqrt(variance + 0.01) * float(g) + float(b)
                for v, g, b in zip(row, gamma, beta, strict=True)
            ]
        )
    got = one(
        "layer_norm",
        [x],
        (B * T, H),
        weights={"g": gamma, "b": beta},
        attrs={"epsilon": 0.01},
    )
    close(got, expected)


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    x, w, b = normal(B * T, 7), normal(9, 7), normal(9)
    expected = [
        [
            math.fsum(float(p) * float(q) for p, q in zip(row, out, strict=True))
            + (float(b[n]) if bias else 0)
            for n, out in enumerate(w)
        ]
        for row in x
    ]
    got = one("linear", [x], (B * T, 9), weights={"w": w, "b": b} if bias else {"w": w})
    close(got, expected)


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("gelu", lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2)))),
        (
            "gelu_tanh",
            lambda v: 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))),
        ),
        ("relu", lambda v: max(v, 0.0)),
        ("tanh", math.tanh),
    ],
)
def test_activation(kind, function):
    x = normal(B * T, 7) * 3
    expected = [[function(float(v)) for v in row] for row in x]
    close(one("activation", [x], (B * T, 7), attrs={"kind": kind}), expected)


def test_attention():
    heads, d, scale = 2, 3, 0.4
    q, k, v = normal(B * T, H), normal(B * T, H), normal(B * T, H)
    expected = np.zeros((B * T, H))
    for b in range(B):
        for h in range(heads):
            part = slice(h * d, (h + 1) * d)
            for t in range(T):
                keys = [s for s in range(T) if MASK[b, s]]
                scores = [
                    scale * math.fsum(q[b * T + t, part].astype(float) * k[b * T + s, part].astype(float))
                    for s in keys
                ]
                raised = [math.exp(score - max(scores)) for score in scores]
                for s, share in zip(keys, raised, strict=True):
                    expected[b * T + t, part] += share / sum(raised) * v[b * T + s, part].astype(float)
    attrs = {"heads": heads, "scale": scale, "batch": B, "sequence": T}
    close(one("attention", [q, k, v], (B * T, H), mask=True, attrs=attrs), expected)


@pytest.mark.parametrize("causal", [0, 1])
def test_attention_over_other_keys_and_only_earlier_ones(causal):
    """Two queries a sentence over T keys, and T causal ones, of a single head."""
    count = T if causal else 2
    q, k, v = normal(B * count, H), normal(B * T, H), normal(B * T, H)
    expected = np.zeros((B * count, H))
    for b in range(B):
        for t in range(count):
            keys = range(t + 1) if causal else range(T)
            raised = [math.exp(0.3 * float(q[b * count + t] @ k[b * T + s])) for s in keys]
            for s, share in zip(keys, raised, strict=True):
                expected[b * count + t] += share / sum(raised) * v[b * T + s].astype(float)
    attrs = {"heads": 1, "scale": 0.3, "batch": B, "sequence": count, "keys": T, "causal": causal}
    names = ("q", "k", "v")
    inputs = [Input(n, a.shape, 0, "float32") for n, a in zip(names, (q, k, v), strict=True)]
    node = Node("attention", "it", names, "y", q.shape, (), attrs)
    program = single("one", "test", (), Graph(tuple(inputs), (node,), ("y",)))
    close(run(program, {}, {"q": q, "k": k, "v": v})["y"], expected)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (2, 3, 0), (5, 1, 2)])
def test_unfold(kernel, stride, padding):
    x = normal(B * T, H)
    after = (T + 2 * padding - kernel) // stride + 1
    expected = np.zeros((B * after, H * kernel))
    for b in range(B):
        for t in range(after):
            for i in range(kernel):
                row = t * stride + i - padding
                for c in range(H):
                    expected[b * after + t, c * kernel + i] = x[b * T + row, c] if 0 <= row < T else 0
    attrs = {"kernel": kernel, "stride": stride, "padding": padding, "batch": B, "sequence": T}
    assert np.array_equal(one("unfold", [x], expected.shape, attrs=attrs), expected)


def test_a_float_input_is_checked():
    program = single("f", "test", (), Graph((Input("x", (2, 3), 0, "float32"),), (), ("x",)))
    assert Program.from_json(program.to_json()) == program
    x = np.ones((2, 3), np.float32)
    assert np.array_equal(run(program, {}, {"x": x})["x"], x)
    with pytest.raises(ValueError, match="input x is float64, not float32"):
        run(program, {}, {"x": x.astype(np.float64)})
    x[1, 1] = np.nan
    with pytest.raises(ValueError, match="input x must be finite"):
        run(program, {}, {"x": x})


def test_mean_pool_skips_padding():
    x = normal(B * T, H)
    expected = [
        [
            math.fsum(float(x[b * T + t, h]) for t in range(T) if MASK[b, t]) / int(MASK[b].sum())
            for h in range(H)
        ]
        for b in range(B)
    ]
    attrs = {"batch": B, "sequence": T}
    close(one("mean_pool", [x], (B, H), mask=True, attrs=attrs), expected)


def test_first_token():
    x = normal(B * T, H)
    close(one("first_token", [x], (B, H), attrs={"batch": B, "sequence": T}), x[[0, T, 2 * T]])


def test_l2_normalize():
    x = normal(B * T, H)
    x[3] = 0
    expected = [[float(v) / max(math.dist(row, [0] * H), 1e-12) for v in row] for row in x.tolist()]
    close(one("l2_normalize", [x], (B * T, H), attrs={"epsilon": 1e-12}), expected)


def test_softmax():
    x = normal(B * T, H) * 30
    expected = []
    for row in x.tolist():
        raised = [math.exp(v - max(row)) for v in row]
        expected.append([r / math.fsum(raised) for r in raised])
    close(one("softmax", [x], (B * T, H)), expected)


def toy():
    nodes = (
        Node("embedding", "e", ("ids",), "x", (4, 3), ("w",)),
        Node("activation", "r", ("x",), "z", (4, 3), (), {"kind": "relu"}),
        Node("add", "a", ("x", "z"), "y", (4, 3)),
    )
    graph = Graph((Input("ids", (2, 2), 5),), nodes, ("y",))
    return single("toy", "test", (Weight("w", (5, 3), "embedding"),), graph)


def test_keep_returns_intermediates():
    got = run(toy(), {"w": normal(5, 3)}, {"ids": np.array([[0, 1], [2, 3]], np.int32)}, keep=["z"])
    assert list(got) == ["y", "z"]
    assert (got["z"] >= 0).all()


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "ids is missing"),
        ({"ids": np.zeros((1, 2), np.int32)}, "has shape"),
        ({"ids": np.full((2, 2), 5, np.int32)}, r"must lie in 0\.\.4"),
        ({"ids": np.full((2, 2), -1, np.int32)}, r"must lie in 0\.\.4"),
    ],
)
def test_bad_inputs(inputs, words):
    with pytest.raises(ValueError, match=words):
        run(toy(), {"w": normal(5, 3)}, inputs)


def test_bad_weight_shape():
    with pytest.raises(ValueError, match="w has shape"):
        run(toy(), {"w": normal(5, 4)}, {"ids": np.zeros((2, 2), np.int32)})
