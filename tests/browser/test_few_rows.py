"""The kernel for a few rows, in each form and with all that it takes along, against NumPy on odd sizes."""

from __future__ import annotations

import numpy as np
import pytest

from bench.harness.lab import value, vector
from bench.harness.outcome import Outcome
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.harness.session import RunSettings
from bench.models.catalog import resolve
from bench.plan.request import Request
from bench.quantize.packing import to_f16
from bench.settings import load_settings

from .conftest import require
from .test_kernels import close, f16, matmul_case, matrix  # noqa: F401

pytestmark = pytest.mark.browser
LONG = pytest.mark.long  # what `make test-long` adds
# As a GPU runs it, and as one without subgroups or dot products does; blocks of K that end within a row.
FORMS = {
    "fixed": {"FIXED": 1, "TEAM": 8, "THREADS": 32, "AHEAD": 1},
    "fixed, in blocks": {"FIXED": 1, "TEAM": 4, "THREADS": 16, "BLOCK": 64, "ROWS": 2, "AHEAD": 1},
    "float, shared": {"FIXED": 0, "STAGED": 1, "TEAM": 8, "THREADS": 32},
    "float, in blocks": {
        "FIXED": 0,
        "STAGED": 1,
        "TEAM": 4,
        "THREADS": 8,
        "BLOCK": 64,
        "ROWS": 3,
        "AHEAD": 1,
    },
    "float": {"FIXED": 0, "STAGED": 0, "TEAM": 16, "THREADS": 32},
}


@pytest.fixture(params=list(FORMS))
def form(request):
    return {**FORMS[request.param], "ROW_KERNEL": 1}


def near(got, want, half, form):
    """As every kernel, but for activations as whole numbers of 16 bits."""
    if form.get("FIXED") and not half:
        want = np.asarray(want, np.float64).ravel()
        assert np.isfinite(got).all()
        assert np.linalg.norm(got - want) <= 1e-4 * np.linalg.norm(want)
    else:
        close(got, want, half)


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
@pytest.mark.parametrize(
    ("scheme", "shape"),
    [
        ("symmetric", (1, 61, 200)),
        ("asymmetric", (3, 19, 96)),
        pytest.param("asymmetric", (7, 5, 33), marks=LONG),
        pytest.param("symmetric", (8, 30, 640), marks=LONG),
    ],
)
def test_every_form(lab, f16, form, bits, scheme, shape):  # noqa: F811
    rng = np.random.default_rng([bits, *shape])
    case, want = matmul_case(rng, *shape, bits, scheme=scheme, tuning=form, f16=f16)
    near(lab.run(case), want, f16, form)


@pytest.mark.parametrize("group", [16, 64, 128])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_every_group(lab, group, bits):
    rng = np.random.default_rng([group, bits])
    for form in ({"FIXED": 1, "TEAM": 8, "THREADS": 16}, {"FIXED": 1, "TEAM": 4, "BLOCK": 128}):
        tuning = {**form, "ROW_KERNEL": 1}
        case, want = matmul_case(rng, 2, 19, 300, bits, group=group, scheme="asymmetric", tuning=tuning)
        near(lab.run(case), want, False, form)


@pytest.mark.parametrize("bits", [16, 4])
def test_a_norm_on_the_way(lab, form, bits):
    rng = np.random.default_rng(bits)
    m, n, k = 2, 19, 76
    case, _ = matmul_case(rng, m, n, k, bits, bias=False, tuning=form)
    parts, quant, w = matrix(rng, n, k, bits, 32, "symmetric")
    x = rng.normal(0, 3, (m, k)).astype(np.float32)
    gamma = rng.normal(1, 0.2, k).astype(np.float32)
    case["spec"] |= {"quant": quant, "norm": {"gamma": "g", "epsilon": 1e-5}}
    case |= {"weights": {**parts, "g": vector(gamma)}, "values": {"x": value(x)}}
    scaled = x.astype(np.float64) / np.sqrt(np.mean(x.astype(np.float64) ** 2, 1, keepdims=True) + 1e-5)
    near(lab.run(case), scaled * to_f16(gamma).astype(np.float64) @ w.T, False, form)


@pytest.mark.parametrize("bits", [16, 8, 2])
def test_a_gate_and_what_it_opens(lab, form, bits):
    if form.get("ROWS", 2) % 2:
        form = {**form, "ROWS": 4}
    rng = np.random.default_rng(bits)
    case, want = matmul_case(rng, 3, 38, 72, bits, tuning={"ROWS": 2, **form})
    case["spec"] |= {"gated": True, "act": "silu"}
    case["elements"] = 3 * 19
    gate, up = want[:, :19], want[:, 19:]
    near(lab.run(case), gate / (1 + np.exp(-gate)) * up, False, form)


@pytest.mark.parametrize("bits", [16, 4])
def test_a_residual(lab, form, bits):
    rng = np.random.default_rng(bits)
    case, want = matmul_case(rng, 3, 17, 72, bits, tuning=form)
    other = rng.normal(0, 1, (3, 17)).astype(np.float32)
    case["spec"]["residual"] = "z"
    case["values"]["z"] = value(other)
    near(lab.run(case), want + other, False, form)


def test_what_is_no_number_stays_one(lab):
    """A dot product of whole numbers must not make a number of it."""
    rng = np.random.default_rng(1)
    for strange in (np.nan, np.inf, -np.inf):
        case, _ = matmul_case(rng, 1, 5, 96, 4, tuning={"FIXED": 1, "TEAM": 4, "ROW_KERNEL": 1})
        x = rng.normal(0, 1, (1, 96)).astype(np.float32)
        x[0, 40] = strange
        case["values"]["x"] = value(x)
        assert not np.isfinite(lab.run(case)).any()


@pytest.mark.parametrize("browser", ["chrome", "firefox"])
@pytest.mark.parametrize("bits", [16, pytest.param(8, marks=LONG), 4, pytest.param(2, marks=LONG)])
def test_a_whole_layer_in_five_dispatches(browser, bits):
    """What a GPU runs: norms, rotation, caches, gate and residuals within the matmuls; it is verified."""
    require(browser)
    request = Request(
        platform="webgpu", browser=browser, model="llama-tiny", bits=bits, sequence_length=9, generate=12
    )
    tuning = {"NORM": 1, "FIXED": 1, "STAGED": 1, "TEAM": 8, "THREADS": 32, "ROWS": 2, "AHEAD": 1, "LOADS": 8}
    said = []
    with PageServer() as server:
        settings = RunSettings(iterations=2, tuning=tuning)
        run = execute(request, resolve("llama-tiny"), server, load_settings(), settings, said.append).record
    assert run.outcome is Outcome.OK, run.error
    layers = 2  # then the table's row, the head with its norm, and the choice of a token in two
    assert run.metrics.phases["decode"].dispatches == 5 * layers + 4
