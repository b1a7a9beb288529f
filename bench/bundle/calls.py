"""What a model answers to the calls that it is verified by, from NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.bundle.workers import machine_memory, on_all_cores
from bench.models.catalog import ModelSource
from bench.models.program import Call, Program
from bench.reference.execute import run

INPUT_SETS = 2
_JOINT_ROWS = 4096  # up to this many rows, all input sets run as one batch, so weights are unpacked once
# Of a large model fewer of the tokens that it writes are compared: parameters x tokens, a minute of NumPy.
_MOST_WRITTEN = 200_000_000_000
_KEPT = 8  # logits kept of each choice: enough to tell a near tie from a wrong one

Tensors = dict[str, NDArray[Any]]
Weights = Mapping[str, NDArray[np.float32]]
Sets = Sequence[Sequence[Call]]


def labelled(sets: Sets) -> Iterator[tuple[str, Call]]:
    """Each call with its label: `SET`, or `SET+CALL` after the first."""
    for index, calls in enumerate(sets):
        for step, call in enumerate(calls):
            yield f"{index}+{step}" if step else str(index), call


def answers(
    source: ModelSource,
    program: Program,
    weights: Weights,
    sets: Sets,
    batch: int,
    sequence: int,
    forced: Mapping[str, NDArray[Any]] | None = None,
) -> Tensors:
    """Outputs of every call, `LABEL.NAME` float32, and `LABEL.=NAME` for the states that it has forced.

    Args:
        source: the model.
        program: at `batch` and `sequence`.
        weights: float32 by name.
        sets: the calls of each input set.
        batch: sentences.
        sequence: tokens a sentence.
        forced: values that states are given before a call, by `LABEL.=NAME`; what they hold by default.
    """
    alone = not program.states and all(len(calls) == 1 for calls in sets)
    if alone and len(sets) * batch * sequence <= _JOINT_ROWS:
        return _jointly(source, weights, sets, batch, sequence)
    found: Tensors = {}
    states = program.zeros()
    for label, call in labelled(sets):
        if not call.verified:
            continue
        if "+" not in label:
            states = program.zeros()
        for name in call.forced:
            key = f"{label}.={name}"
            if forced is not None:
                states[name][...] = forced[key]
            found[key] = states[name].copy()
        outputs = run(program, weights, call.inputs, entry=call.entry, states=states)
        found.update({f"{label}.{name}": np.ascontiguousarray(v) for name, v in outputs.items()})
    return found


def written(program: Program, weights: Weights, sets: Sets) -> Tensors:
    """What the model writes by itself after its prompt; empty where it writes nothing or nobody could wait.

    Returns:
        `tokens` int32 [n]; of the logits that chose each, `best` int32 [n, k], the indices of the largest,
        `scores` float32 [n, k], these themselves, and `rms` float32 [n], over all.
    """
    phase = program.writing
    if phase is None or program.transcript is None:
        return {}
    # As the page times it: through all phases, not from the beginning alone of a long prompt.
    entries = {one.entry for one in program.phases}
    way = next((calls for calls in sets if entries <= {call.entry for call in calls}), ())
    count = min(phase.calls, _MOST_WRITTEN // max(program.parameters, 1))
    if count < 1 or not way or not way[0].verified:
        return {}
    states = program.zeros()
    logits: list[NDArray[np.float32]] = []
    for call in way:
        if call.entry == phase.entry:
            break
        logits = [run(program, weights, call.inputs, entry=call.entry, states=states)["logits"][0]]
    begin = int(states["length"][0])
    while len(logits) < count:
        logits.append(run(program, weights, {}, entry=phase.entry, states=states)["logits"][0])
    rows = np.stack(logits)
    best = np.argsort(-rows, axis=1, kind="stable")[:, :_KEPT].astype(np.int32)
    return {
        "tokens": states[program.transcript][begin : begin + count].copy(),
        "best": best,
        "scores": np.take_along_axis(rows, best, axis=1),
        "rms": np.sqrt(np.square(rows.astype(np.float64)).mean(axis=1)).astype(np.float32),
    }


class Held(Mapping[str, NDArray[np.float32]]):
    """Weights that stay once they were looked up, for a program that is called often.

    The first look-up has all of them made at once, on all cores: each takes its time to be unpacked or drawn.

    Args:
        weights: looked up once each, from several threads.
        program: whose weights they are; none stays where they take more than a third of the machine's memory.
    """

    def __init__(self, weights: Weights, program: Program) -> None:
        self._weights = weights
        self._kept: dict[str, NDArray[np.float32]] = {}
        self._sizes = [(weight.name, 4 * math.prod(weight.shape)) for weight in program.weights]
        self._keeps = bool(program.states) and 4 * program.parameters < machine_memory() / 3

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        if not self._keeps:
            return self._weights[name]
        if not self._kept:
            on_all_cores(self._sizes, self._keep)
        return self._kept[name]

    def _keep(self, name: str) -> None:
        self._kept[name] = self._weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def _jointly(source: ModelSource, weights: Weights, sets: Sets, batch: int, sequence: int) -> Tensors:
    """All sets as one batch, each row of which is of its own."""
    joint = source.program(len(sets) * batch, sequence)
    inputs = [calls[0].inputs for calls in sets]
    outputs = run(joint, weights, {name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]})
    parts = {name: np.split(value, len(sets)) for name, value in outputs.items()}
    return {
        f"{index}.{name}": np.ascontiguousarray(part[index])
        for index in range(len(sets))
        for name, part in parts.items()
    }
