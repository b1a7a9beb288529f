"""What language models add, operator by operator: NumPy, WebGPU and WebNN give one answer on odd sizes."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest

from bench.harness.lab import encode, value
from bench.models.graph import Graph, Input, Node, State, Weight
from bench.models.program import Phase, Program
from bench.models.rope import Rope
from bench.quantize.packing import to_f16
from bench.reference.execute import run

pytestmark = pytest.mark.browser
LONG = pytest.mark.long  # what `make test-long` adds
RNG = np.random.default_rng(11)


@pytest.fixture
def everywhere(platform, lab):
    """Runs the calls of a program there and in NumPy, and holds outputs and whole states to each other."""
    name, half = platform

    def both(program, calls, vectors=None, constants=None, states=None, tuning=None):
        program.check()
        stored = {key: to_f16(array) for key, array in (vectors or {}).items()} | (constants or {})
        case = {
            "platform": name,
            "f16": half,
            "tuning": tuning or {},
            "program": {**program.to_json(), "quantization": {}},
            "tensors": {key: encode(array) for key, array in stored.items()},
            "calls": [
                {"entry": entry, "inputs": {key: value(array) for key, array in inputs.items()}}
                for entry, inputs in calls
            ],
            "states": {key: value(array) for key, array in (states or {}).items()},
        }
        answer = lab.call("program", case)
        held = program.zeros()
        for key, array in (states or {}).items():
            held[key][...] = array
        weights = {key: np.asarray(array).astype(np.float32) for key, array in stored.items()}
        for (entry, inputs), told in zip(calls, answer["answers"], strict=True):
            for key, want in run(program, weights, inputs, entry=entry, states=held).items():
                got = np.frombuffer(base64.b64decode(told[key]), "<f4").reshape(want.shape)
                bound = 4e-3 if half else 2e-5
                np.testing.assert_allclose(got, want, rtol=bound, atol=bound)
        for key, got in answer["states"].items():
            assert got == held[key].tolist(), key
        return held

    return both


def floats(*shape):
    """Values that float16 holds exactly."""
    return RNG.normal(0, 1, shape).astype(np.float16).astype(np.float32)


def program_of(entries, weights=(), states=()):
    """A program of entries, each a list of nodes over float inputs by name and shape."""
    graphs = {
        name: Graph(
            tuple(Input(key, shape, 0, "float32") for key, shape in inputs.items()),
            tuple(nodes),
            tuple(node.output for node in nodes),
        )
        for name, (inputs, nodes) in entries.items()
    }
    phases = (Phase(next(iter(entries)), next(iter(entries))),)
    return Program("edge", "test", tuple(weights), graphs, phases, tuple(states))


@pytest.mark.parametrize("shape", [(1, 7), (5, 33), pytest.param((3, 260), marks=LONG)])
def test_a_gate_times_what_it_lets_through(everywhere, shape):
    """Alone, and with the activation on its way; also a value times itself."""
    nodes = [
        Node("multiply", "plain", ("a", "b"), "plain", shape),
        Node("activation", "act", ("a",), "act", shape, attrs={"kind": "silu"}),
        Node("multiply", "gated", ("act", "b"), "gated", shape),
        Node("multiply", "square", ("b", "b"), "square", shape),
    ]
    program = program_of({"all": ({"a": shape, "b": shape}, nodes)})
    # Whoever is looked at has to be there: the second time nobody looks at the activation.
    alone = replace(program.entries["all"], outputs=("plain", "gated", "square"))
    inputs = {"a": 3 * floats(*shape), "b": floats(*shape)}
    everywhere(program, [("all", inputs)])
    everywhere(replace(program, entries={"all": alone}), [("all", inputs)])


@pytest.mark.parametrize(
    ("rows", "hidden", "groups"), [(1, 7, 1), (3, 96, 1), (5, 33, 3), pytest.param(2, 600, 1, marks=LONG)]
)
@pytest.mark.parametrize("tuning", [{}, {"EACH": 1, "NORM_THREADS": 32}], ids=["read twice", "kept"])
def test_rms_norm(everywhere, rows, hidden, groups, tuning):
    """Of rows, of their parts, and of a sum that is kept."""
    shape = (rows, hidden)
    attrs = {"epsilon": 1e-5, **({"groups": groups} if groups > 1 else {})}
    nodes = [
        Node("rms_norm", "norm", ("a",), "norm", shape, ("gamma",), attrs),
        Node("add", "sum", ("a", "b"), "sum", shape, attrs={"wide": 1}),
        Node("add", "next", ("sum", "b"), "next", shape, attrs={"wide": 1}),
        Node("rms_norm", "after", ("next",), "after", shape, ("gamma",), attrs),
    ]
    weight = Weight("gamma", (hidden // groups,), "vector")
    program = program_of({"all": ({"a": shape, "b": shape}, nodes)}, [weight])
    inputs = {"a": floats(*shape), "b": floats(*shape)}
    gamma = {"gamma": floats(hidden // groups)}
    everywhere(program, [("all", inputs)], gamma, tuning=tuning)
    unseen = replace(program.entries["all"], outputs=("norm", "after"))
    everywhere(replace(program, entries={"all": unseen}), [("all", inputs)], gamma, tuning=tuning)


@pytest.mark.parametrize(("rows", "heads", "size", "at"), [(1, 3, 32, 5), (7, 1, 10, 0), (3, 4, 4, 11)])
def test_rope_alone(everywhere, rows, heads, size, at):
    """Rows stand at the positions from `length` on."""
    shape = (rows, heads * size)
    nodes = [Node("rope", "rope", ("x", "length"), "y", shape, ("rope",), {"heads": heads})]
    table = Rope(500.0).table(20, size)
    program = program_of(
        {"all": ({"x": shape}, nodes)},
        [Weight("rope", (20, size), "constant")],
        [State("length", (1,), "int32")],
    )
    states = {"length": np.array([at], np.int32)}
    everywhere(program, [("all", {"x": floats(*shape)})], constants={"rope": table}, states=states)


def attention(rows, heads, kv_heads, size, capacity, *, turned):
    """An entry with a cache, whose next call comes after it."""
    wide, narrow = (rows, heads * size), (rows, kv_heads * size)
    nodes, names = [], ["q", "k"]
    if turned:
        for name, count in (("q", heads), ("k", kv_heads)):
            shape = (rows, count * size)
            nodes.append(
                Node("rope", f"{name}r", (name, "length"), f"{name}r", shape, ("rope",), {"heads": count})
            )
        names = ["qr", "kr"]
    attrs = {"heads": heads, "kv_heads": kv_heads, "scale": size**-0.5}
    inputs = (*names, "v", "keys", "values", "length")
    nodes.append(
        Node("cached_attention", "mix", inputs, "mixed", wide, attrs=attrs, updates=("keys", "values"))
    )
    told = ("token", "tokens", "length")
    nodes.append(
        Node("next_token", "next", ("logits", *told), "best", (1, 1), attrs={"count": rows}, updates=told)
    )
    graph = Graph(
        tuple(
            Input(name, shape, 0, "float32")
            for name, shape in (("q", wide), ("k", narrow), ("v", narrow), ("logits", (1, 9)))
        ),
        tuple(nodes),
        ("mixed", "best"),
    )
    return graph


@pytest.mark.parametrize("turned", [False, True], ids=["plain", "turned"])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "size"), [(3, 1, 32), (4, 2, 10), pytest.param(2, 2, 64, marks=LONG)]
)
@pytest.mark.parametrize("rows", [1, 4, 7, pytest.param(33, marks=LONG)])
def test_attention_over_a_cache(everywhere, rows, heads, kv_heads, size, turned):
    """A prompt, then a token, then two more: each sees all before it, whichever kernel takes it."""
    capacity = rows + 4
    entries = {
        name: attention(count, heads, kv_heads, size, capacity, turned=turned)
        for name, count in (("prompt", rows), ("one", 1), ("two", 2))
    }
    width = kv_heads * size
    states = [State("keys", (capacity, width)), State("values", (capacity, width))]
    states += [State(n, (c,), "int32") for n, c in (("token", 1), ("tokens", capacity + 1), ("length", 1))]
    weights = [Weight("rope", (capacity, size), "constant")] if turned else []
    program = Program(
        "edge", "test", tuple(weights), entries, (Phase("prompt", "prompt"),), tuple(states), "tokens"
    )
    calls = [
        (name, {item.name: floats(*item.shape) for item in entries[name].inputs})
        for name in ("prompt", "one", "two")
    ]
    constants = {"rope": Rope(10_000.0).table(capacity, size)} if turned else None
    held = everywhere(program, calls, constants=constants)
    assert held["length"][0] == rows + 3


def test_what_would_stand_beyond_the_cache_is_left_out(everywhere):
    """The length goes on, which is how the harness sees it; nothing else is touched."""
    rows, capacity = 3, 4
    states = [
        State("token", (1,), "int32"),
        State("tokens", (capacity + 1,), "int32"),
        State("length", (1,), "int32"),
    ]
    told = tuple(state.name for state in states)
    node = Node("next_token", "next", ("logits", *told), "best", (1, 1), attrs={"count": rows}, updates=told)
    graph = Graph((Input("logits", (1, 9), 0, "float32"),), (node,), ("best",))
    program = Program("edge", "test", (), {"all": graph}, (Phase("all", "all"),), tuple(states), "tokens")
    held = everywhere(program, [("all", {"logits": floats(1, 9)}) for _ in range(3)])
    assert held["length"][0] == 9


@pytest.mark.parametrize("vocab", [1, 5, 64, 1003, pytest.param(50_000, marks=LONG)])
def test_the_first_of_equal_logits_is_next(everywhere, vocab):
    """Wherever the largest stands, also when all are as large, or all are low."""
    states = [State("token", (1,), "int32"), State("tokens", (9,), "int32"), State("length", (1,), "int32")]
    told = tuple(state.name for state in states)
    node = Node("next_token", "next", ("logits", *told), "best", (1, 1), attrs={"count": 1}, updates=told)
    graph = Graph((Input("logits", (1, vocab), 0, "float32"),), (node,), ("best",))
    program = Program("edge", "test", (), {"all": graph}, (Phase("all", "all"),), tuple(states), "tokens")
    cases = [np.zeros((1, vocab)), np.full((1, vocab), -60_000.0), floats(1, vocab)]
    for _ in range(3):
        logits = floats(1, vocab)
        first, second = sorted(RNG.integers(0, vocab, 2))
        logits[0, [first, second]] = 9
        cases.append(logits)
    everywhere(program, [("all", {"logits": case.astype(np.float32)}) for case in cases])


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_the_last_row(everywhere, rows):
    """As it is, and of a sum in float32."""
    shape = (rows, 70)
    nodes = [
        Node("last_token", "plain", ("a",), "plain", (1, 70)),
        Node("add", "sum", ("a", "b"), "sum", shape, attrs={"wide": 1}),
        Node("last_token", "last", ("sum",), "last", (1, 70)),
    ]
    program = program_of({"all": ({"a": shape, "b": shape}, nodes)})
    everywhere(program, [("all", {"a": floats(*shape), "b": floats(*shape)})])
