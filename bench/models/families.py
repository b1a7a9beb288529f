"""Which family a `config.json` belongs to, and what each family can do: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench.errors import InputError
from bench.models import bert, bert_config, whisper
from bench.models.bert_config import Pooling
from bench.models.builder import Shapes
from bench.models.graph import Graph
from bench.models.speech import make_speech_inputs
from bench.models.tokenize import make_inputs

MODEL_TYPES = (*bert_config.MODEL_TYPES, whisper.MODEL_TYPE)


def check(config: Mapping[str, Any], file: str = "config.json") -> None:
    """Raise InputError, one line naming `file`, unless the config is one of a supported family."""
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        raise InputError(f"{file}: model_type {kind!r} is not supported; allowed: {', '.join(MODEL_TYPES)}")
    if kind == whisper.MODEL_TYPE:
        whisper.read_geometry(config, file)
    else:
        bert_config.read_geometry(config, file)


def build(
    config: Mapping[str, Any],
    tensors: Shapes,
    *,
    batch: int,
    sequence: int,
    name: str,
    pooling: Pooling | None,
    where: str,
) -> Graph:
    """The graph at one shape; see the family's own `build`."""
    if config.get("model_type") == whisper.MODEL_TYPE:
        return whisper.build(config, tensors, batch=batch, sequence=sequence, name=name, where=where)
    return bert.build(
        config, tensors, batch=batch, sequence=sequence, name=name, pooling=pooling, where=where
    )


def layout(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor, as a checkpoint of that config has them."""
    is_whisper = config.get("model_type") == whisper.MODEL_TYPE
    return whisper.layout(config) if is_whisper else bert.layout(config)


def inputs(
    config: Mapping[str, Any], folder: Path | None, graph: Graph, batch: int, seed: int
) -> dict[str, NDArray[Any]]:
    """Inputs of `graph` by name, chosen by `seed`; real text or speech where the folder has it."""
    if config.get("model_type") == whisper.MODEL_TYPE:
        return make_speech_inputs(folder, graph, whisper.read_geometry(config), batch, seed)
    geometry = bert_config.read_geometry(config)
    return dict(
        make_inputs(folder, graph, seed, pad_id=geometry.pad_id, first_position=geometry.first_position)
    )
