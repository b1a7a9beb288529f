"""Attention of one row whose keys are split over workgroups, against NumPy at odd depths of the cache."""

from __future__ import annotations

import numpy as np
import pytest

from bench.harness.outcome import Outcome
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.harness.session import RunSettings
from bench.models.catalog import resolve
from bench.models.graph import Graph, Input, Node, State
from bench.models.program import Phase, Program
from bench.plan.request import Request
from bench.settings import load_settings

from .conftest import require
from .test_decoder import everywhere, floats  # noqa: F401

pytestmark = pytest.mark.browser
LONG = pytest.mark.long  # what `make test-long` adds


@pytest.fixture(params=["webgpu", "webgpu-f16"])
def platform(request, lab):
    """Our own kernels alone, with activations of either type."""
    name, _, half = request.param.partition("-")
    if half and "shader-f16" not in lab.features:
        pytest.skip(f"the adapter of {lab.name} has no shader-f16")
    return name, bool(half)


def program_of(rows, heads, kv_heads, size, capacity):
    """One attention of `rows` rows to a cache."""
    attrs = {"heads": heads, "kv_heads": kv_heads, "scale": size**-0.5}
    wide, narrow = (rows, heads * size), (rows, kv_heads * size)
    inputs = tuple(
        Input(name, shape, 0, "float32") for name, shape in (("q", wide), ("k", narrow), ("v", narrow))
    )
    names = ("q", "k", "v", "keys", "values", "length")
    node = Node("cached_attention", "mix", names, "mixed", wide, attrs=attrs, updates=("keys", "values"))
    states = (
        State("keys", (capacity, narrow[1])),
        State("values", (capacity, narrow[1])),
        State("length", (1,), "int32"),
    )
    return Program(
        "split", "test", (), {"all": Graph(inputs, (node,), ("mixed",))}, (Phase("all", "all"),), states
    )


@pytest.mark.parametrize("splits", [2, 4, 8])
@pytest.mark.parametrize("depth", [1, 7, 33, 1000])
@pytest.mark.parametrize(
    ("rows", "heads", "kv_heads", "size"),
    [(1, 4, 2, 32), (3, 3, 1, 10), pytest.param(2, 2, 2, 6, marks=LONG)],
)
def test_keys_of_many_workgroups(everywhere, rows, heads, kv_heads, size, depth, splits):  # noqa: F811
    """`depth` keys for the first row; the first have by far the largest scores, so the parts differ."""
    capacity, width = depth + rows + 3, kv_heads * size
    program = program_of(rows, heads, kv_heads, size, capacity)
    keys, values = floats(capacity, width), floats(capacity, width)
    keys[: depth // 5] *= 4
    # What stands beyond the newest key must not be read.
    keys[depth - 1 :], values[depth - 1 :] = 100, 100
    states = {"keys": keys, "values": values, "length": np.array([depth - 1], np.int32)}
    inputs = {item.name: floats(*item.shape) for item in program.entries["all"].inputs}
    for loads in (1, 8):
        tuning = {"SPLITS": splits, "LOADS": loads}
        everywhere(program, [("all", inputs)], states=states, tuning=tuning)


@pytest.mark.parametrize("browser", ["chrome", "firefox"])
@pytest.mark.parametrize("splits", [4, pytest.param(16, marks=LONG)])
def test_a_whole_decoder(browser, splits):
    """As a GPU runs it, with one dispatch more a layer; the harness verifies it."""
    require(browser)
    request = Request(
        platform="webgpu", browser=browser, model="llama-tiny", bits=4, sequence_length=9, generate=12
    )
    tuning = {
        "SPLITS": splits,
        "NORM": 1,
        "FIXED": 1,
        "STAGED": 1,
        "TEAM": 8,
        "THREADS": 32,
        "ROWS": 2,
        "LOADS": 8,
    }
    with PageServer() as server:
        settings = RunSettings(iterations=2, tuning=tuning)
        run = execute(
            request, resolve("llama-tiny"), server, load_settings(), settings, lambda words: None
        ).record
    assert run.outcome is Outcome.OK, run.error
    kernels = " ".join(run.evidence["notes"]["kernels"])
    assert "attention_parts" in kernels and f'"SPLITS":{splits}' in kernels
    layers = 2  # then the table's row, the head with its norm, and the choice of a token in two
    assert run.metrics.phases["decode"].dispatches == 6 * layers + 4
