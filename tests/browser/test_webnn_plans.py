"""Every plan of a WebNN graph's weights, held to NumPy on the same weights, and what a row says of it."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from bench.cli import main
from bench.harness.lab import encode, value, vector
from bench.models.graph import Graph, Input, Node, Weight
from bench.models.program import FORWARD, single
from bench.quantize.methods import dequantize, quantize
from bench.quantize.packing import pack

from .conftest import require

pytestmark = pytest.mark.browser
RNG = np.random.default_rng(12)
BY_ROW = ("per-channel", "qdq-int8")


CHROME = pytest.mark.parametrize("lab", ["chrome"], indirect=True)  # the others have no WebNN


def linear(lab, plan, m, n, k, bits, scheme="symmetric", bias=True):
    """One linear there: its answer, the one of NumPy, the quantized matrix and x."""
    group = -(-k // 32) * 32 if plan in BY_ROW else 32
    q = quantize(RNG.normal(0, 0.05, (n, k)).astype(np.float32), bits, group, scheme)
    x = RNG.normal(0, 1, (m, k)).astype(np.float32)
    added = RNG.normal(0, 1, n).astype(np.float16)
    weights = (Weight("w", (n, k), "other"), *([Weight("b", (n,), "vector")] if bias else []))
    node = Node("linear", "linear", ("x",), "y", (m, n), tuple(weight.name for weight in weights), {})
    program = single("linear", "test", weights, Graph((Input("x", x.shape, 0, "float32"),), (node,), ("y",)))
    how = {"bits": bits, "group_size": group, "scheme": scheme, "k": k, "kp": q.codes.shape[1]}
    tensors = {"w.codes": encode(pack(q.codes, bits)), "w.scales": encode(q.scales)}
    if q.zeros is not None:
        tensors["w.zeros"] = encode(pack(q.zeros, bits))
    if bias:
        tensors["b"] = vector(added.astype(np.float32))
    case = {
        "platform": "webnn",
        "f16": False,
        "webnn_plan": plan,
        "program": {**program.to_json(), "quantization": {"w": {**how, "exponent": q.exponent}}},
        "tensors": tensors,
        "calls": [{"entry": FORWARD, "inputs": {"x": value(x)}}],
    }
    [answer] = lab.call("program", case)["answers"]
    got = np.frombuffer(base64.b64decode(answer["y"]), "<f4").reshape(m, n)
    return got, x, dequantize(q), added.astype(np.float32) if bias else np.zeros(n, np.float32)


def off(got, want):
    return np.linalg.norm(got - want) / np.linalg.norm(want)


def coded(values):
    """What int8 with one range for a whole tensor leaves of it."""
    scale = np.float32(np.abs(values).max() / 127)
    return (np.clip(np.rint(values / scale), -128, 127) * scale).astype(np.float32)


@CHROME
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("plan", ["auto", "dequantized", "packed", "per-channel", "blockwise"])
@pytest.mark.parametrize(("m", "n", "k"), [(1, 33, 65), (7, 64, 96)])
def test_every_plan_gives_what_numpy_gives(lab, plan, m, n, k, bits, scheme):
    got, x, w, bias = linear(lab, plan, m, n, k, bits, scheme)
    assert off(got, x @ w.T + bias) < 1e-5


@CHROME
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("m", "n", "k"), [(1, 33, 65), (7, 64, 96)])
def test_int8_activations_are_those_of_numpy(lab, m, n, k, bias):
    got, x, w, added = linear(lab, "qdq-int8", m, n, k, 8, bias=bias)
    exact = x @ w.T
    # One code more or less where a value lies between two is rounding; the rest is the same.
    step = np.abs(exact).max() / 127
    assert np.abs(got - (coded(coded(x) @ w.T) + added)).max() <= 1.01 * step
    assert off(got, exact + added) < 2e-2


@pytest.fixture
def rows(tmp_path, capfd, monkeypatch):
    require("chrome")
    monkeypatch.setenv("BENCH_DB", f"sqlite:///{tmp_path / 'runs.sqlite'}")

    def run(*flags):
        main(["run", "--json", "--platform", "webnn", "--model", "bert-tiny", "--sequence-length", "8",
              "--iterations", "3", *flags])  # fmt: skip
        return json.loads(capfd.readouterr().out)["runs"]

    return run


def bytes_of(run):
    return run["metrics"]["weight_bytes"] / run["metrics"]["weight_bytes_fp16"]


def test_a_row_says_which_plan_ran_and_what_its_weights_take(rows):
    plans = ("auto", "packed", "per-channel", "blockwise", "qdq-int8")
    runs = rows("--bits", "8", *(word for plan in plans for word in ("--webnn-plan", plan)))
    found = {run["requested"]["webnn_plan"]: run for run in runs}
    said = {plan: run["evidence"]["notes"]["webnn_plan"] for plan, run in found.items()}
    outcomes = {plan: run["outcome"] for plan, run in found.items()}
    assert outcomes == {plan: {"qdq-int8": "incorrect"}.get(plan, "ok") for plan in plans}
    assert {run["effective"]["bits"] for run in runs} == {8}
    assert {plan: one["ran"] for plan, one in said.items()} == {
        plan: {"auto": "dequantized"}.get(plan, plan) for plan in plans
    }
    assert "as float32 the matrices take" in said["auto"]["why"] and said["packed"]["why"] == "asked for"
    assert (
        "int8" in said["auto"]["limits"]["dequantizeLinear"] and said["auto"]["limits"]["maxTensorByteLength"]
    )
    path = {plan: run["effective"]["weight_path"] for plan, run in found.items()}
    assert "int8 dequantized once, held as float32" in path["auto"]
    assert "cast and scaled by group in the graph" in path["packed"]
    assert "dequantizeLinear by row" in path["per-channel"] and "by block" in path["blockwise"]
    # Tables stay packed; of the matrices the row counts what the graph holds.
    assert bytes_of(found["auto"]) > 1.1 * bytes_of(found["packed"]) and bytes_of(found["packed"]) < 0.6
    activations = {plan: run["effective"]["activations"] for plan, run in found.items()}
    assert activations == {plan: {"qdq-int8": "int8-static"}.get(plan, "f32") for plan in plans}
    assert found["per-channel"]["effective"]["group_size"] is None


def test_true_types_are_asked_for_whatever_the_plan(rows):
    flags = ("--bits", "4", "--bits", "2", "--experimental-precision", "--webnn-plan", "auto")
    runs = {run["requested"]["bits"]: run for run in rows(*flags)}
    assert runs[4]["outcome"] == "ok" and runs[4]["effective"]["bits"] == 4
    assert "int4 dequantized once" in runs[4]["effective"]["weight_path"]
    assert runs[2]["outcome"] == "error" and "int2" in runs[2]["error"]["message"]
    assert runs[2]["error"]["operator"] == "constant"


def test_standard_mode_runs_8_bits_and_16_have_nothing_to_plan(rows):
    runs = {run["requested"]["bits"]: run for run in rows("--bits", "16", "--bits", "4")}
    assert runs[4]["outcome"] == "fallback" and runs[4]["effective"]["bits"] == 8
    plan = runs[16]["evidence"]["notes"]["webnn_plan"]
    assert (runs[16]["outcome"], plan["ran"]) == ("ok", None)
    assert plan["why"] == "16-bit weights are held as they are"
