"""A program of several entries and a state, in NumPy; what is declared wrongly is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bench.bundle.calls import answers, labelled
from bench.models.catalog import resolve
from bench.models.graph import Graph, Input, Node, State, Weight
from bench.models.program import Call, Phase, Program, single
from bench.reference import execute

TABLE = np.arange(15, dtype=np.float32).reshape(5, 3)


def counting(node, x, w):
    """The sum of all rows so far; `seen` counts them."""
    x[1] += x[0].sum(axis=0, keepdims=True)
    x[2] += len(x[0])
    return x[1] * 1


@pytest.fixture(autouse=True)
def operator(monkeypatch):
    monkeypatch.setitem(execute.OPERATORS, "count", counting)


def entry(rows):
    nodes = (
        Node("embedding", "e", ("ids",), "x", (rows, 3), ("table",)),
        Node("count", "c", ("x", "total", "seen"), "y", (1, 3), updates=("total", "seen")),
    )
    return Graph((Input("ids", (1, rows), 5),), nodes, ("y",))


PROGRAM = Program(
    "toy",
    "toy",
    (Weight("table", (5, 3), "embedding"),),
    {"prefill": entry(4), "decode": entry(1)},
    (Phase("prefill", "prefill", calls=1), Phase("decode", "decode", "token", calls=8)),
    (State("total", (1, 3)), State("seen", (1,), "int32")),
)


def ids(*values):
    return {"ids": np.array([values], np.int32)}


def test_states_live_between_calls():
    PROGRAM.check()
    states = PROGRAM.zeros()
    assert states["total"].dtype == np.float32 and states["seen"].dtype == np.int32
    weights = {"table": TABLE}
    first = execute.run(PROGRAM, weights, ids(0, 1, 2, 3), states=states)["y"]
    second = execute.run(PROGRAM, weights, ids(4), entry="decode", states=states)["y"]
    assert np.array_equal(first[0], TABLE[:4].sum(0)) and np.array_equal(second[0], TABLE.sum(0))
    assert states["seen"] == [5] and np.array_equal(states["total"], second)
    # Without states each call begins with zeros.
    assert np.array_equal(execute.run(PROGRAM, weights, ids(4), entry="decode")["y"][0], TABLE[4])


def test_answers_begin_each_set_with_a_reset_and_force_what_is_asked():
    sets = [
        [Call("prefill", ids(0, 1, 2, 3)), Call("decode", ids(4), ("seen",))],
        [Call("prefill", ids(4, 4, 4, 4)), Call("decode", ids(1)), Call("decode", ids(1))],
    ]
    assert [label for label, _ in labelled(sets)] == ["0", "0+1", "1", "1+1", "1+2"]
    found = answers(None, PROGRAM, {"table": TABLE}, sets, 1, 4)
    assert sorted(found) == ["0+1.=seen", "0+1.y", "0.y", "1+1.y", "1+2.y", "1.y"]
    assert found["0+1.=seen"] == [4]
    assert np.array_equal(found["0+1.y"][0], TABLE.sum(0))
    assert np.array_equal(found["1+2.y"][0], 4 * TABLE[4] + 2 * TABLE[1])
    forced = answers(None, PROGRAM, {"table": TABLE}, sets, 1, 4, {"0+1.=seen": np.array([7], np.int32)})
    assert forced["0+1.=seen"] == [7]


def test_it_survives_json():
    again = Program.from_json(json.loads(json.dumps(PROGRAM.to_json())))
    assert again == PROGRAM
    assert PROGRAM.identity()["format"] == "webquant.program/1" and PROGRAM.identity()["name"] is None
    assert PROGRAM.outputs == ("y",) and PROGRAM.main is PROGRAM.entries["prefill"]
    with pytest.raises(ValueError, match=r"not a webquant\.program/1 program: None"):
        Program.from_json({})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": PROGRAM.weights * 2}, "a weight stands twice"),
        ({"states": PROGRAM.states * 2}, "a state stands twice"),
        ({"phases": ()}, "a program has no phase"),
        ({"phases": PROGRAM.phases[:1] * 2}, "a phase stands twice"),
        ({"phases": (Phase("x", "y"),)}, "phase x: there is no entry y"),
        ({"states": PROGRAM.states[1:]}, "input total is not defined before it"),
        ({"states": (*PROGRAM.states, State("ids", (1,)))}, "has the name of a state"),
        ({"weights": ()}, "weight table is not declared"),
    ],
)
def test_a_contradiction_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        replace(PROGRAM, **change).check()


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"updates": ("x",)}, "updates x, which is no state that it reads"),
        ({"inputs": ("x", "total"), "updates": ("seen",)}, "updates seen, which is no state that it reads"),
        ({"output": "total"}, "total is defined twice"),
        ({"inputs": ("later",)}, "input later is not defined before it"),
    ],
)
def test_a_node_updates_only_states_that_it_reads(node, words):
    graph = PROGRAM.entries["decode"]
    changed = replace(graph, nodes=(graph.nodes[0], replace(graph.nodes[1], **node)))
    with pytest.raises(ValueError, match=words):
        replace(PROGRAM, entries={"prefill": changed, "decode": changed}).check()


def test_an_output_is_no_state():
    graph = replace(PROGRAM.entries["decode"], outputs=("total",))
    with pytest.raises(ValueError, match="output total is not defined"):
        replace(PROGRAM, entries={"prefill": graph, "decode": graph}).check()


def test_an_encoder_keeps_the_identity_that_it_had_before_there_were_programs():
    data = resolve("bert-tiny").program(1, 1)
    identity = data.identity()
    assert list(identity) == ["format", "name", "family", "weights", "inputs", "nodes", "outputs"]
    assert identity["format"] == "webquant.graph/1" and "updates" not in identity["nodes"][0]
    assert single("x", data.family, data.weights, data.main).identity() == identity
