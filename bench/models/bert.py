"""The BERT family: any encoder of that shape from a Hugging Face `config.json` and its tensors.

With or without the checkpoint's prefix (`bert.`), a pooler, a head (a classifier of sequences or of tokens,
question answering, the masked language model's), or the `gamma` and `beta` of TensorFlow days. Which head
runs is what the config's architecture says; sentence-transformers' pooling takes the place of any.

Sources: Devlin et al. 2018 (arXiv 1810.04805), section 3; Liu et al. 2019 (arXiv 1907.11692); Sanh et al.
2019 (arXiv 1910.01108); names as in the transformers library.

Weights keep the names they have in the file, so whoever loads one needs no table; nodes have the names of
`BertModel` whatever the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.errors import InputError
from bench.models.bert_config import KINDS, Geometry, read_geometry
from bench.models.builder import Builder, Shapes
from bench.models.graph import Input, Op
from bench.models.program import Program
from bench.models.sentence_modules import Pooling

_WORDS = "embeddings.word_embeddings.weight"
COPIES = tuple((f"{kind.masked[2]}.weight", _WORDS) for kind in KINDS.values())


def build(
    config: Mapping[str, Any],
    tensors: Shapes,
    *,
    batch: int,
    sequence: int,
    name: str,
    pooling: Pooling | None = None,
    where: str = "model.safetensors",
) -> Program:
    """The program of an encoder at one shape.

    Args:
        config: a parsed `config.json`.
        tensors: name -> shape of what the weights file holds.
        batch: sentences.
        sequence: tokens a sentence, padding included.
        name: the model's name, for people.
        pooling: what sentence-transformers appends, or None.
        where: the weights file, for error messages.

    Returns:
        A program whose outputs are `last_hidden_state` [B*T, H] and then `sentence_embedding` [B, H], or of a
        head `logits` [B, labels] (with `probabilities`, but for a regression), [B*T, labels], [B*T, 2] (start
        and end of an answer) or [B*T, vocab], or `pooler_output` [B, H], or nothing more.

    Raises:
        InputError: an unsupported config, one that contradicts the tensors or the sequence length, or tensors
            that change the answer and that nothing here reads.
    """
    geometry = read_geometry(config if pooling is None else {**config, "architectures": None})
    if sequence > geometry.max_sequence:
        raise InputError(
            f"sequence length {sequence} exceeds the {geometry.max_sequence} positions of {name}"
        )
    builder = _Builder(geometry, tensors, batch, sequence, where)
    extra = f"{KINDS[geometry.model_type].names['layer']}.{geometry.layers}."
    surplus = next((t for t in tensors if re.search(rf"(^|\.){re.escape(extra)}", t)), None)
    if surplus:
        raise InputError(f"{where}: {surplus} is beyond the {geometry.layers} layers of config.json")
    hidden = builder.encoder()
    outputs = (hidden, *builder.head(hidden, pooling))
    builder.refuse_unread(pooling is not None)
    return builder.program(name, "bert", builder.inputs(), outputs)


def layout(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of an encoder with a pooler, as a checkpoint of that config has them."""
    # A classifier's labels stand in its tensors only, so there is no layout of one.
    geometry = replace(read_geometry(config), head="none")
    builder = _Builder(geometry, None, 1, 1, "")
    builder.head(builder.encoder(), None)
    return builder.layout()


class _Builder(Builder):
    """Names and order of a BERT's tensors."""

    def __init__(
        self, geometry: Geometry, tensors: Shapes | None, batch: int, sequence: int, where: str
    ) -> None:
        super().__init__(tensors, where)
        self.geometry = geometry
        self.kind = KINDS[geometry.model_type]
        self.batch = batch
        self.sequence = sequence
        self.rows = batch * sequence
        has_prefix = tensors is not None and self.kind.prefix + _WORDS in tensors
        self.prefix = self.kind.prefix if has_prefix else ""

    def inputs(self) -> tuple[Input, ...]:
        """The int32 inputs [B, T]; token types only where the model has them."""
        shape, geometry = (self.batch, self.sequence), self.geometry
        types = [Input("token_type_ids", shape, geometry.token_types)] if geometry.token_types else []
        return (
            Input("input_ids", shape, geometry.vocab),
            *types,
            Input("position_ids", shape, geometry.positions),
            Input("attention_mask", shape, 2),
        )

    def encoder(self) -> str:
        """Embeddings and all layers; the name of the last hidden state."""
        g = self.geometry
        x = self._embedding("word_embeddings", "input_ids", g.vocab)
        positions = self._embedding("position_embeddings", "position_ids", g.positions)
        x = self.add("embeddings.position", x, positions)
        if g.token_types:
            types = self._embedding("token_type_embeddings", "token_type_ids", g.token_types)
            x = self.add("embeddings.token_type", x, types)
        x = self._norm("embeddings.layer_norm", x, self.kind.names["embeddings"], "embeddings.output")
        for index in range(g.layers):
            last = "last_hidden_state" if index == g.layers - 1 else f"encoder.layer.{index}.output"
            x = self._layer(index, x, last)
        return x

    def head(self, hidden: str, pooling: Pooling | None) -> tuple[str, ...]:
        """What follows the encoder; the names of its outputs."""
        if pooling is not None:
            return (self._pool(hidden, pooling),)
        match self.geometry.head:
            case "sequence":
                return self._classify(hidden)
            case "tokens":
                return (self._label(hidden, "classifier", self._labels("classifier")),)
            case "question":
                return (self._label(hidden, "qa_outputs", 2),)
            case "masked":
                return (self._predict(hidden),)
        if self.kind.pooler and self._exists("pooler.dense.weight"):
            x = self.linear(
                "pooler.dense",
                self._first(hidden),
                self.prefix + "pooler.dense",
                self.geometry.hidden,
                "head",
            )
            return (self.activation("pooler.activation", x, "tanh", output="pooler_output"),)
        return ()

    def refuse_unread(self, pooled: bool) -> None:
        """Refuse what would be dropped though it changes the answer.

        A head that the config does not name (sentence-transformers leaves one aside too), and whatever stands
        inside the encoder without being of one: adapters, relative positions, another model's layers.
        """
        roots = ("embeddings.", self.kind.names["layer"].partition(".")[0] + ".", "pooler.")
        for name in self.tensors or ():
            if name in self.weights or name.endswith("position_ids"):
                continue
            inside = name.startswith(self.prefix) if self.prefix else name.startswith(roots)
            if inside and not name.removeprefix(self.prefix).startswith("pooler."):
                raise InputError(
                    f"{self.where}: tensor {name} is of no {self.geometry.model_type} encoder that is known "
                    "here, and may change its answers"
                )
            if not inside and not pooled and self.geometry.head == "none":
                named = f"{self.kind.model}Model" if self.geometry.named else "none"
                raise InputError(
                    f"{self.where}: tensor {name} is of a head, but the architecture in config.json is "
                    f"{named}; name the head's there, like {self.kind.model}ForMaskedLM, or leave its "
                    "tensors out"
                )

    # --- pieces

    def _first(self, hidden: str) -> str:
        return self.node("first_token", "first_token", (hidden,), self._cls_shape, attrs=self._shape_attrs)

    def _classify(self, hidden: str) -> tuple[str, ...]:
        """A classifier of sequences over the first token, and what a pipeline makes of its logits."""
        before, activation, classifier = self.kind.sequence
        x = self.linear(
            "head.dense", self._first(hidden), self._head_name(before), self.geometry.hidden, "head"
        )
        x = self.activation("head.activation", x, activation)
        labels = self._labels(classifier)
        if labels == 1 and self.geometry.problem == "single_label_classification":
            raise InputError(
                f"{self.where}: problem_type 'single_label_classification' needs more than the 1 label of "
                f"{classifier}.weight; allowed: regression, multi_label_classification, null"
            )
        logits = self.linear("head.classifier", x, classifier, labels, "head", output="logits")
        # As the text classification pipeline of the transformers library decides.
        if self.geometry.problem == "regression":
            return (logits,)
        if self.geometry.problem == "multi_label_classification" or labels == 1:
            return logits, self.activation("head.sigmoid", logits, "sigmoid", output="probabilities")
        shape = (self.batch, labels)
        return logits, self.node("softmax", "head.softmax", (logits,), shape, output="probabilities")

    def _label(self, hidden: str, name: str, labels: int) -> str:
        """A row of logits for every token."""
        return self.linear("head.classifier", hidden, name, labels, "head", output="logits")

    def _predict(self, hidden: str) -> str:
        """The masked language model's logits over the vocabulary."""
        g = self.geometry
        dense, norm, projection, bias = self.kind.masked
        x = self.linear("head.dense", hidden, dense, g.hidden, "head")
        # RoBERTa's head has gelu whatever the layers have.
        kind = "gelu" if dense.startswith("lm_head") else g.activation
        x = self.norm("head.norm", self.activation("head.activation", x, kind), norm, g.epsilon)
        words = f"{self.prefix}{_WORDS}"
        if not g.tied or f"{projection}.weight" in (self.tensors or {}):
            words = self.take(f"{projection}.weight", (g.vocab, g.hidden), "head")
        # Only an untied projection may have a bias of its own beside the head's.
        own = f"{projection}.bias" in (self.tensors or {})
        bias = self.take(f"{projection}.bias" if own else bias, (g.vocab,), "vector")
        shape = (self.rows, g.vocab)
        return self.node("linear", "head.projection", (x,), shape, (words, bias), output="logits")

    @property
    def _cls_shape(self) -> tuple[int, int]:
        return self.batch, self.geometry.hidden

    @property
    def _shape_attrs(self) -> dict[str, int | float | str]:
        return {"batch": self.batch, "sequence": self.sequence}

    def _layer(self, index: int, x: str, output: str) -> str:
        g, names = self.geometry, self.kind.names
        base = f"{self.prefix}{names['layer']}.{index}."
        node = f"encoder.layer.{index}."
        q, k, v = (
            self.linear(f"{node}attention.{part}", x, base + names[part], g.hidden, "attention")
            for part in ("query", "key", "value")
        )
        attrs = {"heads": g.heads, "scale": 1 / math.sqrt(g.hidden // g.heads), **self._shape_attrs}
        context = self.node(
            "attention",
            f"{node}attention.context",
            (q, k, v, "attention_mask"),
            (self.rows, g.hidden),
            attrs=attrs,
        )
        y = self.linear(
            f"{node}attention.output", context, base + names["attention_output"], g.hidden, "attention"
        )
        y = self.add(f"{node}attention.residual", y, x)
        x = self._norm(f"{node}attention.layer_norm", y, base + names["attention_norm"])
        up = self.linear(
            f"{node}intermediate", x, base + names["intermediate"], g.intermediate, "feed_forward"
        )
        up = self.activation(f"{node}activation", up, g.activation)
        y = self.linear(f"{node}output.dense", up, base + names["output"], g.hidden, "feed_forward")
        y = self.add(f"{node}output.residual", y, x)
        return self._norm(f"{node}output.layer_norm", y, base + names["output_norm"], output)

    def _pool(self, hidden: str, pooling: Pooling) -> str:
        op: Op = "mean_pool" if pooling.mode == "mean" else "first_token"
        inputs = (hidden, "attention_mask") if op == "mean_pool" else (hidden,)
        pooled = "pooled" if pooling.normalize else "sentence_embedding"
        x = self.node(op, op, inputs, self._cls_shape, attrs=self._shape_attrs, output=pooled)
        if pooling.normalize:
            # The epsilon of torch.nn.functional.normalize, which sentence-transformers calls.
            x = self.node(
                "l2_normalize",
                "normalize",
                (x,),
                self._cls_shape,
                attrs={"epsilon": 1e-12},
                output="sentence_embedding",
            )
        return x

    def _head_name(self, base: str) -> str:
        # Only BERT's pooler stands inside the encoder; the other heads never have the prefix.
        return self.prefix + base if base.startswith("pooler") else base

    def _labels(self, classifier: str) -> int:
        shape = (self.tensors or {}).get(f"{classifier}.weight")
        if shape is None or len(shape) != 2:
            raise InputError(f"{self.where}: tensor {classifier}.weight is missing or is not a matrix")
        if self.geometry.labels not in (None, shape[0]):
            raise InputError(
                f"{self.where}: tensor {classifier}.weight has {shape[0]} labels, "
                f"but config.json has {self.geometry.labels}"
            )
        return shape[0]

    def _embedding(self, name: str, ids: str, count: int) -> str:
        weight = f"{self.prefix}embeddings.{name}.weight"
        return self.embedding(f"embeddings.{name}", ids, weight, (count, self.geometry.hidden), self.rows)

    def _norm(self, name: str, x: str, base: str, output: str | None = None) -> str:
        if base.startswith("embeddings."):
            base = self.prefix + base
        return self.norm(name, x, base, self.geometry.epsilon, output)

    def _exists(self, name: str) -> bool:
        return self.tensors is None or self.prefix + name in self.tensors
