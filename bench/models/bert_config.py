"""The BERT family's `config.json`: names and numbers of each model type, checked.

bert, roberta, xlm-roberta, camembert and distilbert differ in names and in a handful of details, which
stand in the tables below. Names and defaults are those of the transformers library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.errors import InputError
from bench.models.files import whole_number

# Activation names of config.json -> kinds of the graph.
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}

_BERT_NAMES = {
    "layer": "encoder.layer",
    "embeddings": "embeddings.LayerNorm",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
_DISTILBERT_NAMES = {
    "layer": "transformer.layer",
    "embeddings": "embeddings.LayerNorm",
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "intermediate": "ffn.lin1",
    "output": "ffn.lin2",
    "output_norm": "output_layer_norm",
}
_BERT_KEYS = {
    "hidden": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "intermediate": "intermediate_size",
    "activation": "hidden_act",
}
_DISTILBERT_KEYS = {
    "hidden": "dim",
    "layers": "n_layers",
    "heads": "n_heads",
    "intermediate": "hidden_dim",
    "activation": "activation",
}


@dataclass(frozen=True)
class Kind:
    """What sets one model type apart. `head` is (layer before the classifier, its activation, classifier)."""

    prefix: str
    names: Mapping[str, str]
    keys: Mapping[str, str]
    positions_after_padding: bool
    head: tuple[str, str, str]


_ROBERTA = Kind(
    "roberta.", _BERT_NAMES, _BERT_KEYS, True, ("classifier.dense", "tanh", "classifier.out_proj")
)
KINDS = {
    "bert": Kind("bert.", _BERT_NAMES, _BERT_KEYS, False, ("pooler.dense", "tanh", "classifier")),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "distilbert": Kind(
        "distilbert.",
        _DISTILBERT_NAMES,
        _DISTILBERT_KEYS,
        False,
        ("pre_classifier", "relu", "classifier"),
    ),
}
MODEL_TYPES = tuple(KINDS)


@dataclass(frozen=True)
class Pooling:
    """How sentence-transformers turns token vectors into one: `mode` is `mean` or `cls`."""

    mode: str
    normalize: bool


@dataclass(frozen=True)
class Geometry:
    """The numbers of a config.json, checked. `first_position` is the position id of the first token."""

    model_type: str
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocab: int
    positions: int
    token_types: int
    activation: str
    epsilon: float
    pad_id: int
    first_position: int
    classifier: bool

    @property
    def max_sequence(self) -> int:
        """The longest sequence that has positions."""
        return self.positions - self.first_position


def read_geometry(config: Mapping[str, Any], file: str = "config.json") -> Geometry:
    """Check a config; InputError, one line naming `file`, the key, its value and what is allowed."""
    kind_name = config.get("model_type")
    if kind_name not in KINDS:
        raise InputError(f"{file}: model_type {kind_name!r} is not supported; allowed: {', '.join(KINDS)}")
    kind = KINDS[kind_name]

    number = partial(whole_number, config, file)
    hidden, heads = number(kind.keys["hidden"]), number(kind.keys["heads"])
    if hidden % heads:
        raise InputError(f"{file}: {heads} attention heads do not divide the hidden size {hidden}")
    activation = config.get(kind.keys["activation"], "gelu")
    if activation not in _ACTIVATIONS:
        raise InputError(
            f"{file}: activation {activation!r} is not supported; allowed: {', '.join(_ACTIVATIONS)}"
        )
    if config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder"):
        raise InputError(f"{file}: only encoders with absolute positions are supported")
    epsilon = config.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise InputError(f"{file}: layer_norm_eps must lie between 0 and 1, not {epsilon!r}")
    # RoBERTa's own default is 1, all others' is 0.
    pad = number("pad_token_id", 0, 1 if kind.positions_after_padding else 0)
    return Geometry(
        model_type=kind_name,
        hidden=hidden,
        layers=number(kind.keys["layers"]),
        heads=heads,
        intermediate=number(kind.keys["intermediate"]),
        vocab=number("vocab_size"),
        positions=number("max_position_embeddings"),
        token_types=0 if kind_name == "distilbert" else number("type_vocab_size", 0, 2),
        activation=_ACTIVATIONS[activation],
        epsilon=float(epsilon),
        pad_id=pad,
        first_position=pad + 1 if kind.positions_after_padding else 0,
        classifier=_architecture(config).endswith("ForSequenceClassification"),
    )


def _architecture(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""
