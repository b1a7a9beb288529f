"""The Whisper family: a spectrogram and the tokens so far in, a logit for every next token out.

One inference is the encoder over the audio and one pass of the decoder over all its tokens at once (teacher
forcing), not a loop that writes one token after the other. `sequence` counts audio positions of 20 ms; the
decoder gets as many tokens as that much speech is worth (see `decoder_tokens`).

Source: Radford et al. 2022 (arXiv 2212.04356), section 2.2; names as in the transformers library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.errors import InputError
from bench.models.builder import Builder, Shapes
from bench.models.config_keys import audit, flag, one_of, without_aliases
from bench.models.files import whole_number
from bench.models.graph import Input
from bench.models.program import Program
from bench.models.sentence_modules import Pooling

MODEL_TYPE = "whisper"
FRAMES_A_POSITION = 2  # the second convolution halves them
_KERNEL = 3
_EPSILON = 1e-5  # nn.LayerNorm's own; the config has no key for it
_PROMPT_TOKENS = 4
_POSITIONS_A_TOKEN = 12.5  # four tokens a second: brisk English speech
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}
COPIES = (("proj_out.weight", "decoder.embed_tokens.weight"),)
_ARCHITECTURES = ("WhisperForConditionalGeneration", "WhisperModel")
# Other names that the transformers library takes for a key.
_ALIASES = {
    "hidden_size": "d_model",
    "num_hidden_layers": "encoder_layers",
    "num_attention_heads": "encoder_attention_heads",
    "num_key_value_heads": "encoder_attention_heads",
}
_READ = (
    *("model_type", "architectures", "d_model", "num_mel_bins", "vocab_size", "activation_function"),
    *("encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "decoder_layers"),
    *("decoder_attention_heads", "decoder_ffn_dim", "max_source_positions", "max_target_positions"),
    *("decoder_start_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings", "is_encoder_decoder"),
    *("id2label", "num_labels"),
)


@dataclass(frozen=True)
class Geometry:
    """The numbers of a Whisper's `config.json`, checked."""

    hidden: int
    mels: int
    encoder_layers: int
    encoder_heads: int
    encoder_intermediate: int
    decoder_layers: int
    decoder_heads: int
    decoder_intermediate: int
    vocab: int
    audio_positions: int
    text_positions: int
    activation: str
    start_id: int
    end_id: int
    tied: bool


def read_geometry(config: Mapping[str, Any], file: str = "config.json") -> Geometry:
    """Check a config; InputError, one line naming `file`, the key, its value and what is allowed."""

    audit(config, file, (*_READ, *_ALIASES))
    config = without_aliases(config, file, _ALIASES)
    number = partial(whole_number, config, file)
    hidden = number("d_model")
    heads = {side: number(f"{side}_attention_heads") for side in ("encoder", "decoder")}
    for side, count in heads.items():
        if hidden % count:
            raise InputError(f"{file}: {count} {side}_attention_heads do not divide d_model {hidden}")
    activation = one_of(config, file, "activation_function", _ACTIVATIONS, "gelu")
    names = config.get("architectures") or [_ARCHITECTURES[0]]
    if not isinstance(names, list) or len(names) != 1 or names[0] not in _ARCHITECTURES:
        raise InputError(
            f"{file}: architectures {names!r} are not supported; allowed: {', '.join(_ARCHITECTURES)}"
        )
    if not flag(config, file, "is_encoder_decoder", True):
        raise InputError(f"{file}: is_encoder_decoder must be true: a Whisper has both")
    vocab = number("vocab_size")
    start, end = number("decoder_start_token_id", 0, 0), _end(config, file)
    pad = number("pad_token_id", 0, 0)
    for token in (start, end, pad):
        if token >= vocab:
            raise InputError(f"{file}: token {token} is beyond the vocab_size {vocab}")
    return Geometry(
        hidden=hidden,
        mels=number("num_mel_bins"),
        encoder_layers=number("encoder_layers"),
        encoder_heads=heads["encoder"],
        encoder_intermediate=number("encoder_ffn_dim"),
        decoder_layers=number("decoder_layers"),
        decoder_heads=heads["decoder"],
        decoder_intermediate=number("decoder_ffn_dim"),
        vocab=vocab,
        audio_positions=number("max_source_positions"),
        text_positions=number("max_target_positions"),
        activation=_ACTIVATIONS[activation],
        start_id=start,
        end_id=end,
        tied=flag(config, file, "tie_word_embeddings", True),
    )


def _end(config: Mapping[str, Any], file: str) -> int:
    """The token that ends a text; the first where a config lists several."""
    given = config.get("eos_token_id")
    first = given[0] if isinstance(given, list) and given else given
    return whole_number({"eos_token_id": first}, file, "eos_token_id", 0, 0)


def decoder_tokens(geometry: Geometry, sequence: int) -> int:
    """Tokens the decoder gets for that many audio positions: the prompt, and four a second."""
    return min(geometry.text_positions, _PROMPT_TOKENS + math.ceil(sequence / _POSITIONS_A_TOKEN))


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
    """The program at one shape.

    Args:
        config: a parsed `config.json`.
        tensors: name -> shape of what the weights file holds.
        batch: clips.
        sequence: audio positions of 20 ms a clip.
        name: the model's name, for people.
        pooling: of no use here; every family is built alike.
        where: the weights file, for error messages.

    Returns:
        A program whose outputs are `logits` [B * decoder tokens, vocab] and `encoder_hidden_state`
        [B * T, H].

    Raises:
        InputError: an unsupported config, or one that contradicts the tensors or the sequence length.
    """
    geometry = read_geometry(config)
    if sequence > geometry.audio_positions:
        raise InputError(
            f"sequence length {sequence} exceeds the {geometry.audio_positions} audio positions of {name} "
            "(20 ms each)"
        )
    builder = _Builder(geometry, tensors, batch, sequence, where)
    for side, layers in (("encoder", geometry.encoder_layers), ("decoder", geometry.decoder_layers)):
        surplus = next((t for t in tensors if f"{side}.layers.{layers}." in t), None)
        if surplus:
            raise InputError(f"{where}: {surplus} is beyond the {layers} {side}_layers of config.json")
    audio = builder.encoder()
    logits = builder.decoder(audio)
    unread = next((t for t in tensors if t not in builder.weights), None)
    if unread:
        raise InputError(
            f"{where}: tensor {unread} is of no Whisper that is known here; it may change answers"
        )
    return builder.program(name, "whisper", builder.inputs(), (logits, audio))


def layout(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor, as a checkpoint of that config has them."""
    builder = _Builder(read_geometry(config), None, 1, 1, "")
    builder.decoder(builder.encoder())
    return builder.layout()


class _Builder(Builder):
    """Names and order of a Whisper's tensors: layer norms first, residuals last."""

    def __init__(
        self, geometry: Geometry, tensors: Shapes | None, batch: int, sequence: int, where: str
    ) -> None:
        super().__init__(tensors, where)
        self.geometry = geometry
        self.batch = batch
        self.sequence = sequence
        self.tokens = decoder_tokens(geometry, sequence)
        has_prefix = tensors is None or "model.encoder.conv1.weight" in tensors
        self.prefix = "model." if has_prefix else ""

    def inputs(self) -> tuple[Input, ...]:
        """The spectrogram [B * frames, mels], and ids [B, T] of positions and tokens."""
        g, batch = self.geometry, self.batch
        frames = batch * self.sequence * FRAMES_A_POSITION
        return (
            Input("input_features", (frames, g.mels), 0, "float32"),
            Input("audio_position_ids", (batch, self.sequence), g.audio_positions),
            Input("decoder_input_ids", (batch, self.tokens), g.vocab),
            Input("decoder_position_ids", (batch, self.tokens), g.text_positions),
        )

    def encoder(self) -> str:
        """Both convolutions and all layers; `encoder_hidden_state`."""
        g, base = self.geometry, f"{self.prefix}encoder."
        frames = self.sequence * FRAMES_A_POSITION
        x = self._convolution("conv1", "input_features", base, g.mels, frames, 1)
        x = self._convolution("conv2", x, base, g.hidden, frames, FRAMES_A_POSITION)
        table = (g.audio_positions, g.hidden)
        rows = self.batch * self.sequence
        places = self.embedding(
            "encoder.positions", "audio_position_ids", f"{base}embed_positions.weight", table, rows
        )
        x = self.add("encoder.embedded", x, places)
        for index in range(g.encoder_layers):
            node, tensor = f"encoder.layer.{index}.", f"{base}layers.{index}."
            x = self._attention(
                node, tensor, "self_attn", x, x, self.sequence, self.sequence, g.encoder_heads
            )
            x = self._feed_forward(node, tensor, x, g.encoder_intermediate)
        return self.norm("encoder.layer_norm", x, f"{base}layer_norm", _EPSILON, "encoder_hidden_state")

    def decoder(self, audio: str) -> str:
        """Token embeddings and all layers over them and the audio; `logits`."""
        g, base = self.geometry, f"{self.prefix}decoder."
        rows = self.batch * self.tokens
        words = f"{base}embed_tokens.weight"
        x = self.embedding("decoder.words", "decoder_input_ids", words, (g.vocab, g.hidden), rows)
        places = self.embedding(
            "decoder.positions",
            "decoder_position_ids",
            f"{base}embed_positions.weight",
            (g.text_positions, g.hidden),
            rows,
        )
        x = self.add("decoder.embedded", x, places)
        for index in range(g.decoder_layers):
            node, tensor = f"decoder.layer.{index}.", f"{base}layers.{index}."
            x = self._attention(
                node, tensor, "self_attn", x, x, self.tokens, self.tokens, g.decoder_heads, causal=True
            )
            x = self._attention(
                node, tensor, "encoder_attn", x, audio, self.tokens, self.sequence, g.decoder_heads
            )
            x = self._feed_forward(node, tensor, x, g.decoder_intermediate)
        x = self.norm("decoder.layer_norm", x, f"{base}layer_norm", _EPSILON)
        # The projection is the embedding table again (tied weights), unless the file has one of its own.
        if not g.tied or "proj_out.weight" in (self.tensors or {}):
            words = self.take("proj_out.weight", (g.vocab, g.hidden), "head")
        return self.node("linear", "decoder.projection", (x,), (rows, g.vocab), (words,), output="logits")

    def _convolution(self, name: str, x: str, base: str, channels: int, rows: int, stride: int) -> str:
        """A window of three, padded by one, and the activation; `rows` of each clip go in."""
        hidden, after = self.geometry.hidden, rows // stride
        attrs = {"kernel": _KERNEL, "stride": stride, "padding": 1, "batch": self.batch, "sequence": rows}
        shape = (self.batch * after, channels * _KERNEL)
        windows = self.node("unfold", f"encoder.{name}.windows", (x,), shape, attrs=attrs)
        in_file = (hidden, channels, _KERNEL)
        weights = (
            self.take(f"{base}{name}.weight", (hidden, channels * _KERNEL), "feed_forward", in_file),
            self.take(f"{base}{name}.bias", (hidden,), "vector"),
        )
        out = self.node("linear", f"encoder.{name}", (windows,), (self.batch * after, hidden), weights)
        # Always the exact one: activation_function is of the layers alone.
        return self.activation(f"encoder.{name}.activation", out, "gelu")

    def _attention(
        self,
        node: str,
        tensor: str,
        which: str,
        x: str,
        memory: str,
        sequence: int,
        keys: int,
        heads: int,
        *,
        causal: bool = False,
    ) -> str:
        """x + attention(norm(x)); keys and values come from `memory`, or from norm(x) where that is x."""
        hidden = self.geometry.hidden
        normal = self.norm(f"{node}{which}.norm", x, f"{tensor}{which}_layer_norm", _EPSILON)
        source = normal if memory == x else memory
        base = f"{tensor}{which}."
        q = self.linear(f"{node}{which}.query", normal, f"{base}q_proj", hidden, "attention")
        k = self.linear(f"{node}{which}.key", source, f"{base}k_proj", hidden, "attention", bias=False)
        v = self.linear(f"{node}{which}.value", source, f"{base}v_proj", hidden, "attention")
        attrs = {
            "heads": heads,
            "scale": 1 / math.sqrt(hidden // heads),
            "batch": self.batch,
            "sequence": sequence,
            "keys": keys,
            "causal": int(causal),
        }
        shape = self.shape_of(x)
        context = self.node("attention", f"{node}{which}.context", (q, k, v), shape, attrs=attrs)
        out = self.linear(f"{node}{which}.output", context, f"{base}out_proj", hidden, "attention")
        return self.add(f"{node}{which}.residual", x, out)

    def _feed_forward(self, node: str, tensor: str, x: str, intermediate: int) -> str:
        normal = self.norm(f"{node}feed_forward.norm", x, f"{tensor}final_layer_norm", _EPSILON)
        up = self.linear(f"{node}intermediate", normal, f"{tensor}fc1", intermediate, "feed_forward")
        up = self.activation(f"{node}activation", up, self.geometry.activation)
        down = self.linear(f"{node}output", up, f"{tensor}fc2", self.geometry.hidden, "feed_forward")
        return self.add(f"{node}feed_forward.residual", x, down)
