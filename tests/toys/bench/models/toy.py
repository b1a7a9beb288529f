"""A toy family: the mean of all rows that it was ever given, and a logit for each of them."""

import numpy as np

from bench.errors import InputError
from bench.models.graph import Graph, Input, Node, State, Weight
from bench.models.program import Call, Phase, Program

STEPS = 3


def check(config, file="config.json"):
    if not isinstance(config.get("vocab_size"), int) or not isinstance(config.get("hidden_size"), int):
        raise InputError(f"{file}: a toy needs vocab_size and hidden_size")
    return config["vocab_size"], config["hidden_size"]


def layout(config):
    vocab, hidden = check(config)
    return {"table.weight": (vocab, hidden), "head.weight": (vocab, hidden)}


def build(config, tensors, *, batch, sequence, name, pooling=None, where="model.safetensors"):
    vocab, hidden = check(config)

    def entry(rows):
        nodes = (
            Node("embedding", "rows", ("ids",), "x", (rows, hidden), ("table.weight",)),
            Node("accumulate", "mean", ("x", "total", "seen"), "y", (1, hidden), updates=("total", "seen")),
            Node("linear", "head", ("y",), "logits", (1, vocab), ("head.weight",)),
        )
        return Graph((Input("ids", (1, rows), vocab),), nodes, ("y", "logits"))

    weights = (
        Weight("table.weight", (vocab, hidden), "embedding"),
        Weight("head.weight", (vocab, hidden), "head"),
    )
    phases = (Phase("prefill", "prefill", calls=1), Phase("decode", "decode", "token", calls=8))
    states = (State("total", (1, hidden)), State("seen", (1,), "int32"))
    program = Program(
        name, "toy", weights, {"prefill": entry(batch * sequence), "decode": entry(1)}, phases, states
    )
    program.check()
    return program


def calls(config, folder, program, batch, seed):
    rng = np.random.default_rng([7, seed])

    def ids(entry):
        item = program.entries[entry].inputs[0]
        return {"ids": rng.integers(0, item.maximum, item.shape).astype(np.int32)}

    return [
        Call("prefill", ids("prefill")),
        *(Call("decode", ids("decode"), ("seen",)) for _ in range(STEPS)),
    ]


def made_up(folder):
    return "a toy reads numbers"
