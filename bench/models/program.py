"""The program: what a model family yields and every engine runs.

An encoder is one entry, `forward`, and one phase. A model with states has an entry for each way it is called,
and a phase for each that is timed apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bench.models.graph import Graph, State, Weight

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "webquant.program/1"
FORWARD = "forward"
Unit = Literal["inference", "token"]


@dataclass(frozen=True)
class Phase:
    """What is timed and reported apart.

    Attributes:
        name: `forward`, `prefill`, `decode` or `encode`.
        entry: the graph that one call of it runs.
        unit: what one call gives.
        calls: after so many the states are set back to what they were before the first; 0 where a call leaves
            no trace, so that any number may follow.
    """

    name: str
    entry: str
    unit: Unit = "inference"
    calls: int = 0


@dataclass(frozen=True)
class Call:
    """One call in the order that answers are verified in, from a reset on.

    Attributes:
        entry: the graph that runs.
        inputs: its inputs by name.
        forced: states that hold the unquantized model's values before the call, so that one wrong token does
            not make all later ones wrong (teacher forcing).
        verified: whether its answer is held to the reference; else it only says how others come about.
    """

    entry: str
    inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    forced: tuple[str, ...] = ()
    verified: bool = True


@dataclass(frozen=True)
class Program:
    """A model at one batch size and sequence length.

    Attributes:
        name: for people.
        family: `bert`, `whisper`, ...
        weights: what the entries share.
        entries: graph by name.
        phases: in the order that they are timed in; the first is the main one.
        states: what lives on the device between calls.
        transcript: the state int32 [positions] in which the tokens stand that the model has chosen, each at
            its position; None where it chooses none.
        ends: tokens that end a text.
    """

    name: str
    family: str
    weights: tuple[Weight, ...]
    entries: Mapping[str, Graph]
    phases: tuple[Phase, ...]
    states: tuple[State, ...] = ()
    transcript: str | None = None
    ends: tuple[int, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of parameters over all weights."""
        return sum(weight.parameters for weight in self.weights)

    @property
    def writing(self) -> Phase | None:
        """The phase that chooses a token a call; None where the model writes no text."""
        if self.transcript is None:
            return None
        return next((phase for phase in self.phases if phase.unit == "token"), None)

    @property
    def main(self) -> Graph:
        """The entry of the main phase."""
        return self.entries[self.phases[0].entry]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of all entries, each once, in their order."""
        return tuple(dict.fromkeys(name for graph in self.entries.values() for name in graph.outputs))

    def weight(self, name: str) -> Weight:
        """The weight of that name; KeyError where there is none."""
        for weight in self.weights:
            if weight.name == name:
                return weight
        raise KeyError(name)

    def zeros(self) -> dict[str, NDArray[Any]]:
        """The states after a reset: float32 or int32 by name."""
        import numpy as np  # a database names phases, and computes nothing

        kinds = {"float": np.float32, "int32": np.int32}
        return {state.name: np.zeros(state.shape, kinds[state.dtype]) for state in self.states}

    def check(self) -> None:
        """Raise ValueError unless names are defined once and before their use, and phases have entries."""
        weights = {item.name for item in self.weights}
        states = {item.name for item in self.states}
        if len(weights) != len(self.weights):
            raise ValueError("a weight stands twice")
        if len(states) != len(self.states):
            raise ValueError("a state stands twice")
        for graph in self.entries.values():
            graph.check(weights, states)
        if not self.phases:
            raise ValueError("a program has no phase")
        if len({phase.name for phase in self.phases}) != len(self.phases):
            raise ValueError("a phase stands twice")
        for phase in self.phases:
            if phase.entry not in self.entries:
                raise ValueError(f"phase {phase.name}: there is no entry {phase.entry}")

    def to_json(self) -> dict[str, Any]:
        """The program as plain JSON types; `from_json` gives it back."""
        return {"format": FORMAT, **json.loads(json.dumps(asdict(self)))}

    def identity(self) -> dict[str, Any]:
        """What of it decides the answers, as JSON types.

        A program of one entry without states gives what its graph gave before there were programs: the same
        model keeps its hash.
        """
        data = {**self.to_json(), "name": None}
        if set(self.entries) != {FORWARD} or self.states:
            return data
        graph = data["entries"][FORWARD]
        nodes = [{key: value for key, value in node.items() if key != "updates"} for node in graph["nodes"]]
        parts = {"inputs": graph["inputs"], "nodes": nodes, "outputs": graph["outputs"]}
        return {
            "format": "webquant.graph/1",
            "name": None,
            "family": self.family,
            "weights": data["weights"],
            **parts,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Program:
        """Read what `to_json` wrote; ValueError for another format."""
        if data.get("format") != FORMAT:
            raise ValueError(f"not a {FORMAT} program: {data.get('format')!r}")
        return cls(
            name=data["name"],
            family=data["family"],
            weights=tuple(Weight(w["name"], tuple(w["shape"]), w["role"]) for w in data["weights"]),
            entries={name: Graph.from_json(graph) for name, graph in data["entries"].items()},
            phases=tuple(Phase(p["name"], p["entry"], p["unit"], p["calls"]) for p in data["phases"]),
            states=tuple(State(s["name"], tuple(s["shape"]), s["dtype"]) for s in data["states"]),
            transcript=data["transcript"],
            ends=tuple(data["ends"]),
        )


def single(
    name: str, family: str, weights: tuple[Weight, ...], graph: Graph, unit: Unit = "inference"
) -> Program:
    """A program of one entry and one phase, both `forward`, checked."""
    program = Program(name, family, weights, {FORWARD: graph}, (Phase(FORWARD, FORWARD, unit),))
    program.check()
    return program
