"""The kernel for matrix units. Where there are none its sums are made by hand: the rest is tested."""

from __future__ import annotations

import numpy as np
import pytest

from bench.harness.lab import value
from bench.harness.outcome import Outcome
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.harness.session import RunSettings
from bench.models.catalog import resolve
from bench.plan.request import Request
from bench.settings import load_settings

from .test_kernels import close, matmul_case

pytestmark = pytest.mark.browser
LONG = pytest.mark.long  # what `make test-long` adds
TILES = {
    "small": {"BM": 32, "BN": 32, "BK": 64, "SM": 16, "SN": 16, "SLICES": 1},
    "wide": {"BM": 32, "BN": 64, "BK": 32, "SM": 32, "SN": 32, "SLICES": 1},
    "sliced": {"BM": 16, "BN": 32, "BK": 128, "SM": 16, "SN": 16, "SLICES": 4},
}


@pytest.fixture(params=["units", "by hand"])
def tuning(request, lab):
    """With matrix units, and without."""
    if "shader-f16" not in lab.features:
        pytest.skip(f"the adapter of {lab.name} has no shader-f16")
    if request.param == "units" and "chromium-experimental-subgroup-matrix" not in lab.features:
        pytest.skip(f"the adapter of {lab.name} has no matrix units")
    return {"ROW_KERNEL": 0, "MATRICES": 1 if request.param == "units" else 0}


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
@pytest.mark.parametrize("tile", list(TILES))
@pytest.mark.parametrize(
    ("scheme", "shape"),
    [
        ("symmetric", (33, 70, 100)),
        ("asymmetric", (17, 35, 264)),
        pytest.param("asymmetric", (5, 3, 7), marks=LONG),
        pytest.param("symmetric", (65, 131, 72), marks=LONG),
    ],
)
def test_odd_sizes(lab, tuning, bits, scheme, tile, shape):
    rng = np.random.default_rng([bits, *shape])
    case, want = matmul_case(rng, *shape, bits, scheme=scheme, tuning={**tuning, **TILES[tile]}, f16=True)
    close(lab.run(case), want, True)


@pytest.mark.parametrize("group", [16, 64, 128])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_every_group(lab, tuning, group, bits):
    rng = np.random.default_rng([group, bits])
    case, want = matmul_case(
        rng, 18, 19, 328, bits, group=group, scheme="asymmetric", tuning=tuning, f16=True
    )
    close(lab.run(case), want, True)


@pytest.mark.parametrize("act", ["gelu", "silu", "none"])
def test_what_becomes_of_a_sum(lab, tuning, act):
    rng = np.random.default_rng(len(act))
    plain = "none" if act == "silu" else act
    case, want = matmul_case(rng, 20, 21, 64, 8, act=plain, bias=act != "none", tuning=tuning, f16=True)
    case["spec"]["act"] = act
    close(lab.run(case), want / (1 + np.exp(-want)) if act == "silu" else want, True)


def test_the_tile_of_each_shape(lab, tuning):
    """What is chosen where nothing is forced."""
    rng = np.random.default_rng(5)
    for shape in ((9, 40, 1600), (40, 48, 1600), (130, 200, 40)):
        case, want = matmul_case(rng, *shape, 4, tuning=tuning, f16=True)
        close(lab.run(case), want, True)


@pytest.mark.parametrize(
    ("batch", "queries", "keys", "heads", "d", "masked", "causal"),
    [
        (2, 35, 35, 3, 16, True, False),
        (1, 70, 70, 2, 64, False, True),
        (2, 17, 50, 1, 32, False, False),
        pytest.param(1, 33, 33, 1, 128, True, False, marks=LONG),
        pytest.param(1, 130, 130, 2, 48, False, True, marks=LONG),
    ],
)
def test_attention(lab, tuning, batch, queries, keys, heads, d, masked, causal):
    rng = np.random.default_rng([queries, keys, d])
    hidden = heads * d
    q, k, v = (
        rng.normal(0, 1, (batch, n, hidden)).astype(np.float16).astype(np.float64)
        for n in (queries, keys, keys)
    )
    mask = np.ones((batch, keys), np.int32)
    if masked:
        mask[-1, keys // 2 :] = 0
    want = np.zeros_like(q)
    for h in range(heads):
        cols = slice(h * d, (h + 1) * d)
        scores = q[..., cols] @ k[..., cols].transpose(0, 2, 1) * d**-0.5
        scores = np.where(mask[:, None, :] == 0, -np.inf, scores)
        if causal:
            scores[:, np.triu(np.ones((queries, keys), bool), 1)] = -np.inf
        p = np.exp(scores - scores.max(-1, keepdims=True))
        want[..., cols] = p / p.sum(-1, keepdims=True) @ v[..., cols]
    columns = {n: {"value": n, "stride": hidden, "offset": 0} for n in "qkv"}
    forced = {"MATRICES": 0} if tuning["MATRICES"] == 0 else {}
    spec = {
        "name": "a", "batch": batch, "sequence": queries, "keys": keys, "causal": causal, "heads": heads,
        "hidden": hidden, "scale": d**-0.5, **columns, "mask": "mask" if masked else None, "output": "y",
        "tuning": forced,
    }  # fmt: skip
    values = {n: value(a.reshape(-1, hidden)) for n, a in zip("qkv", (q, k, v), strict=True)}
    if masked:
        values["mask"] = value(mask)
    case = {
        "op": "attention", "spec": spec, "f16": True, "weights": {}, "values": values, "output": "y",
        "elements": batch * queries * hidden,
    }  # fmt: skip
    assert np.max(np.abs(lab.run(case) - want.ravel())) <= 4e-3


def test_a_language_model(tuning, lab):
    """Prompt and cache as a GPU with matrix units runs them; the harness verifies it."""
    request = Request(
        platform="webgpu",
        browser=lab.name,
        model="llama-tiny",
        bits=4,
        sequence_length=40,
        generate=12,
        gpu_features="all" if tuning["MATRICES"] else "stock",
    )
    forced = {"MATRICES": tuning["MATRICES"]}
    with PageServer() as server:
        settings = RunSettings(iterations=2, tuning=forced)
        run = execute(
            request, resolve("llama-tiny"), server, load_settings(), settings, lambda _: None
        ).record
    assert run.outcome is Outcome.OK, run.error
    kernels = " ".join(run.evidence["notes"]["kernels"])
    assert "matmul_matrix" in kernels and "attention_matrix" in kernels
