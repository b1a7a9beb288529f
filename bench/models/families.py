"""Which family a `config.json` belongs to, and what each family can do: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from bench.errors import InputError
from bench.models import bert, bert_config, llama, speech, text, tokenize, whisper
from bench.models.graph import Graph
from bench.models.program import Call, Program

Config = Mapping[str, Any]


class _Inputs(Protocol):
    def __call__(
        self, config: Config, folder: Path | None, graph: Graph, batch: int, seed: int
    ) -> Mapping[str, NDArray[Any]]: ...


class _Calls(Protocol):
    def __call__(
        self, config: Config, folder: Path | None, program: Program, batch: int, seed: int
    ) -> list[Call]: ...


class _Check(Protocol):
    def __call__(self, config: Config, file: str = "config.json") -> object: ...


class _Layout(Protocol):
    def __call__(self, config: Config) -> dict[str, tuple[int, ...]]: ...


@dataclass(frozen=True)
class Family:
    """What a family offers.

    Attributes:
        check: raises InputError, one line naming the file, for a config that it does not support.
        build: the program of a config, and of the tensors that there are, at `batch`, `sequence` and,
            where it `writes`, `generate`; with a `name`, a `pooling` and, for messages, a file (`where`).
        layout: name -> shape of every tensor, as a checkpoint of that config has them.
        calls: what is called from a reset on, with inputs chosen by a seed: real text or speech where the
            folder has it.
        copies: a projection onto the vocabulary, and how the table ends that it may be a copy of.
        made_up: why the inputs of a folder are seeded random ones, or None where they are real.
        name: as programs carry it.
        told_in: files of a folder, beside the tokenizer's, that its inputs come from.
        hears: whether it takes sound in.
        writes: whether it chooses one token after the other, so that its program takes `generate`.
        constants: tables that its programs read and no checkpoint has.
    """

    check: _Check
    build: Callable[..., Program]
    layout: _Layout
    calls: _Calls
    copies: tuple[tuple[str, str], ...]
    made_up: Callable[[Path], str | None]
    name: str
    told_in: tuple[str, ...] = ()
    hears: bool = False
    writes: bool = False
    constants: Callable[[Config], Mapping[str, NDArray[Any]]] = lambda config: {}


def _one_call(inputs: _Inputs) -> _Calls:
    """For a family of one entry: its inputs are those of the one call."""

    def calls(config: Config, folder: Path | None, program: Program, batch: int, seed: int) -> list[Call]:
        return [Call(program.phases[0].entry, dict(inputs(config, folder, program.main, batch, seed)))]

    return calls


_BERT = Family(
    bert_config.read_geometry,
    bert.build,
    bert.layout,
    _one_call(tokenize.text_inputs),
    bert.COPIES,
    tokenize.without_tokenizer,
    "bert",
)
_WHISPER = Family(
    whisper.read_geometry,
    whisper.build,
    whisper.layout,
    _one_call(speech.speech_inputs),
    whisper.COPIES,
    speech.without_speech,
    "whisper",
    (speech.CLIP, speech.WORDS),
    hears=True,
)


def _written(config: Config, folder: Path | None, program: Program, batch: int, seed: int) -> list[Call]:
    length = program.main.inputs[0].shape[1]
    return llama.calls(
        config, text.prompt_ids(folder, length, 0, llama.read_geometry(config).vocab), program, seed
    )


_LLAMA = Family(
    llama.read_geometry,
    llama.build,
    llama.layout,
    _written,
    llama.COPIES,
    tokenize.without_tokenizer,
    "llama",
    writes=True,
    constants=llama.constants,
)
FAMILIES = {
    **dict.fromkeys(bert_config.MODEL_TYPES, _BERT),
    whisper.MODEL_TYPE: _WHISPER,
    **dict.fromkeys(llama.MODEL_TYPES, _LLAMA),
}
HEARING = frozenset(family.name for family in FAMILIES.values() if family.hears)


def family_of(config: Config, file: str = "config.json") -> Family:
    """The family of a config; InputError, one line naming `file`, where it is of none."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise InputError(f"{file}: model_type {kind!r} is not supported; allowed: {', '.join(FAMILIES)}")
    return FAMILIES[kind]
