"""What a model answers to the calls that it is verified by, from NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.models.catalog import ModelSource
from bench.models.program import Call, Program
from bench.reference.execute import run

INPUT_SETS = 2
_JOINT_ROWS = 4096  # up to this many rows, all input sets run as one batch, so weights are unpacked once

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
