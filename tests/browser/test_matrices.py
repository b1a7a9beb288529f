"""The kernel for matrix units. Where there are none its sums are made by hand: the rest is tested."""

from __future__ import annotations

import numpy as np
import pytest

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
