"""The BERT family's `config.json`: names and numbers of each model type, checked.

bert, roberta, xlm-roberta, camembert and distilbert differ in names and in a handful of details, which
stand in the tables below. Names and defaults are those of the transformers library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from bench.errors import InputError
from bench.models.config_keys import audit, flag, one_of, without_aliases
from bench.models.files import whole_number

# Activation names of config.json -> kinds of the graph.
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
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


Head = Literal["none", "sequence", "tokens", "question", "masked"]
# What the name of an architecture says after the model's own.
_HEADS: dict[str, Head] = {
    "Model": "none",
    "ForSequenceClassification": "sequence",
    "ForTokenClassification": "tokens",
    "ForQuestionAnswering": "question",
    "ForMaskedLM": "masked",
}
_PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")


@dataclass(frozen=True)
class Kind:
    """What sets one model type apart.

    Attributes:
        model: how its architectures begin.
        prefix: of the encoder's tensors in a checkpoint with a head.
        names: of tensors.
        keys: of `config.json`.
        aliases: other names that the transformers library takes for such a key.
        positions_after_padding: position ids begin after the padding token's.
        pooler: whether it has one.
        sequence: layer before the classifier of sequences, its activation, the classifier.
        masked: dense layer, norm, projection and bias of the masked language model's head.
    """

    model: str
    prefix: str
    names: Mapping[str, str]
    keys: Mapping[str, str]
    aliases: Mapping[str, str]
    positions_after_padding: bool
    pooler: bool
    sequence: tuple[str, str, str]
    masked: tuple[str, str, str, str]


def _roberta(model: str) -> Kind:
    return Kind(
        model,
        "roberta.",
        _BERT_NAMES,
        _BERT_KEYS,
        {},
        True,
        True,
        ("classifier.dense", "tanh", "classifier.out_proj"),
        ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"),
    )


KINDS = {
    "bert": Kind(
        "Bert",
        "bert.",
        _BERT_NAMES,
        _BERT_KEYS,
        {},
        False,
        True,
        ("pooler.dense", "tanh", "classifier"),
        (
            "cls.predictions.transform.dense",
            "cls.predictions.transform.LayerNorm",
            "cls.predictions.decoder",
            "cls.predictions.bias",
        ),
    ),
    "roberta": _roberta("Roberta"),
    "xlm-roberta": _roberta("XLMRoberta"),
    "camembert": _roberta("Camembert"),
    "distilbert": Kind(
        "DistilBert",
        "distilbert.",
        _DISTILBERT_NAMES,
        _DISTILBERT_KEYS,
        {"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"},
        False,
        False,
        ("pre_classifier", "relu", "classifier"),
        ("vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias"),
    ),
}
MODEL_TYPES = tuple(KINDS)
_READ = (
    *("model_type", "architectures", "vocab_size", "max_position_embeddings", "pad_token_id", "eos_token_id"),
    *("problem_type", "num_labels", "id2label", "tie_word_embeddings", "is_encoder_decoder"),
)
# DistilBERT has no token types, an epsilon of its own, and tables that the checkpoint holds however they
# were made: the library reads none of these there.
_IGNORED = {"distilbert": ("layer_norm_eps", "type_vocab_size", "sinusoidal_pos_embds")}


@dataclass(frozen=True)
class Geometry:
    """The numbers of a config.json, checked.

    `first_position` is the position id of the first token; `head` what follows the encoder, `named` whether
    the config says so itself; `labels` how many the config tells of, or None; `tied` whether a projection
    onto the vocabulary may be the table of words.
    """

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
    head: Head
    named: bool
    problem: str | None
    labels: int | None
    tied: bool

    @property
    def max_sequence(self) -> int:
        """The longest sequence that has positions."""
        return self.positions - self.first_position


def read_geometry(config: Mapping[str, Any], file: str = "config.json") -> Geometry:
    """Check a config; InputError, one line naming `file`, the key, its value and what is allowed."""
    name = config.get("model_type")
    if not isinstance(name, str) or name not in KINDS:
        raise InputError(f"{file}: model_type {name!r} is not supported; allowed: {', '.join(KINDS)}")
    kind = KINDS[name]
    own = () if name == "distilbert" else ("type_vocab_size", "layer_norm_eps")
    audit(config, file, (*_READ, *own, *kind.keys.values(), *kind.aliases), _IGNORED.get(name, ()))
    if kind.positions_after_padding and config.get("pad_token_id", 1) is None:
        raise InputError(f"{file}: pad_token_id must not be null: {name} counts positions from it")
    config = without_aliases(config, file, kind.aliases)

    number = partial(whole_number, config, file)
    hidden, heads = number(kind.keys["hidden"]), number(kind.keys["heads"])
    if hidden % heads:
        raise InputError(f"{file}: {heads} attention heads do not divide the hidden size {hidden}")
    if flag(config, file, "is_encoder_decoder", False):
        raise InputError(f"{file}: is_encoder_decoder must be false: {name} is an encoder")
    activation = one_of(config, file, kind.keys["activation"], _ACTIVATIONS, "gelu")
    # RoBERTa's own default is 1, all others' is 0.
    vocab, pad = number("vocab_size"), number("pad_token_id", 0, int(kind.positions_after_padding))
    positions, first = number("max_position_embeddings"), pad + 1 if kind.positions_after_padding else 0
    if pad >= vocab:
        raise InputError(f"{file}: pad_token_id {pad} is beyond the vocab_size {vocab}")
    if first >= positions:
        raise InputError(f"{file}: max_position_embeddings {positions} leave none after pad_token_id {pad}")
    head, named = _head(config, file, kind)
    return Geometry(
        model_type=name,
        hidden=hidden,
        layers=number(kind.keys["layers"]),
        heads=heads,
        intermediate=number(kind.keys["intermediate"]),
        vocab=vocab,
        positions=positions,
        token_types=0 if name == "distilbert" else number("type_vocab_size", 1, 2),
        activation=_ACTIVATIONS[activation],
        epsilon=1e-12 if name == "distilbert" else _epsilon(config, file),
        pad_id=pad,
        first_position=first,
        head=head,
        named=named,
        problem=one_of(config, file, "problem_type", (*_PROBLEMS, ""), "") or None,
        labels=_labels(config, file),
        tied=flag(config, file, "tie_word_embeddings", True),
    )


def _epsilon(config: Mapping[str, Any], file: str) -> float:
    epsilon = 1e-12 if config.get("layer_norm_eps") is None else config["layer_norm_eps"]
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise InputError(f"{file}: layer_norm_eps must lie between 0 and 1, not {epsilon!r}")
    return float(epsilon)


def _labels(config: Mapping[str, Any], file: str) -> int | None:
    """How many labels a config tells of: its names', else `num_labels`."""
    names = config.get("id2label")
    if names is not None and not isinstance(names, dict):
        raise InputError(f"{file}: id2label must map numbers to names, not {type(names).__name__}")
    if names:
        return len(names)
    return None if config.get("num_labels") is None else whole_number(config, file, "num_labels")


def _head(config: Mapping[str, Any], file: str, kind: Kind) -> tuple[Head, bool]:
    """What the architecture says follows the encoder, and whether there is an architecture."""
    names = config.get("architectures")
    if names is None or names == []:
        return "none", False
    allowed = {f"{kind.model}{ending}": head for ending, head in _HEADS.items()}
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise InputError(f"{file}: architectures must be a list of one name, not {names!r}")
    if names[0] not in allowed:
        raise InputError(
            f"{file}: architecture {names[0]!r} is not supported, its output would be another model's; "
            f"allowed: {', '.join(allowed)}"
        )
    return allowed[names[0]], True
