"""The Llama family: RMSNorm, rotary positions, grouped queries, SwiGLU; Llama, Mistral, Qwen2, Qwen3.

A program has two entries. `prefill` takes the prompt's tokens, `decode` the token that was chosen last; both
leave keys and values in the caches, and the token that comes next in the states. So a text is written by
calling `decode` again and again, with nothing read back in between.

Source: Touvron et al. 2023 (arXiv 2302.13971), section 2.2; names as in the transformers library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.models.builder import Builder, Shapes
from bench.models.graph import Graph, Input, State, Weight
from bench.models.llama_config import MODEL_TYPES, Geometry, read_geometry
from bench.models.program import Call, Phase, Program
from bench.models.rope import MAX_ROWS
from bench.models.sentence_modules import Pooling
from bench.plan.request import GENERATE

__all__ = ["COPIES", "MODEL_TYPES", "build", "calls", "constants", "layout", "read_geometry"]

COPIES = (("lm_head.weight", "embed_tokens.weight"),)
STEPS = 8  # tokens after the prompt whose logits are verified
PREFILL, DECODE, CHECKED = "prefill", "decode", "checked_prefill"
# A longer prompt is verified by a shorter one: NumPy would take more than a minute over parameters x tokens.
_MOST_WORK = 2_500_000_000_000
_LEAST_CHECKED = 32
_TABLE, _ROPE = "model.embed_tokens", "rope"


def build(
    config: Mapping[str, Any],
    tensors: Shapes | None,
    *,
    batch: int,
    sequence: int,
    name: str,
    pooling: Pooling | None = None,
    where: str = "model.safetensors",
    generate: int | None = None,
) -> Program:
    """The program for a prompt of `sequence` tokens and `generate` after it.

    Args:
        config: parsed `config.json`.
        tensors: name -> shape of what the weights file holds; None takes every tensor to exist.
        batch: 1.
        sequence: tokens of the prompt.
        name: for people.
        pooling: None; a sentence encoder is another family.
        where: the weights file, for error messages.
        generate: tokens after the prompt; `GENERATE` by default.

    Raises:
        InputError: config, weights and shape contradict each other.
    """
    geometry = read_geometry(config)
    wanted = GENERATE if generate is None else generate
    if pooling is not None:
        raise InputError(f"{where}: pooling over a language model is not supported")
    if batch != 1:
        raise InputError(f"batch_size {batch}: a language model runs one sequence at a time here; use 1")
    _check_window(geometry, name, sequence, wanted)
    capacity = sequence + max(wanted, STEPS)
    model = _Model(geometry, tensors, where, capacity)
    entries = {PREFILL: model.prefill(sequence), DECODE: model.decode()}
    parameters = sum(weight.parameters for weight in model.weights.values())
    checked = max(_LEAST_CHECKED, _MOST_WORK // max(parameters, 1))
    if checked < sequence:
        entries[CHECKED] = model.prefill(checked)
    phases = (Phase(PREFILL, PREFILL, calls=1), Phase(DECODE, DECODE, "token", calls=wanted))
    weights = tuple(model.weights.values())
    program = Program(name, "llama", weights, entries, phases, model.states(), "tokens", geometry.ends)
    program.check()
    return program


def layout(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor, as a checkpoint of that config has them."""
    model = _Model(read_geometry(config), None, "config.json", 1)
    model.decode()
    found: dict[str, tuple[int, ...]] = {
        name: weight.shape for name, weight in model.weights.items() if weight.role != "constant"
    }
    return found


def constants(config: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """The tables that are computed: `rope` float32 [positions, head], cosines then sines."""
    geometry = read_geometry(config)
    return {_ROPE: geometry.rope.table(_positions(geometry), geometry.head)}


def calls(config: Mapping[str, Any], prompt: NDArray[np.int32], program: Program, seed: int) -> list[Call]:
    """What is called from a reset on: the prompt, then a token at a time, told which one each time.

    Where the prompt is too long to be verified, the first set verifies its beginning, and the second, of
    which no answer is held to anything, says how the timing begins.

    Args:
        config: parsed `config.json`.
        prompt: token ids, int32 [sequence].
        program: as `build` gives it.
        seed: of the set of calls.
    """
    forced = [Call(DECODE, forced=("token",))] * STEPS
    whole = Call(PREFILL, {"input_ids": prompt[None]})
    if CHECKED not in program.entries:
        return [whole, *forced] if seed == 0 else []
    length = program.entries[CHECKED].inputs[0].shape[1]
    if seed == 0:
        return [Call(CHECKED, {"input_ids": prompt[None, :length].copy()}), *forced]
    untold = Call(PREFILL, whole.inputs, verified=False)
    return [untold, Call(DECODE, verified=False)] if seed == 1 else []


def _check_window(geometry: Geometry, name: str, sequence: int, generate: int) -> None:
    total = sequence + generate
    if total > geometry.window:
        raise InputError(
            f"sequence_length {sequence} + generate {generate} = {total} tokens, "
            f"but {name} has a window of {geometry.window}"
        )
    if geometry.slides is not None and total > geometry.slides:
        raise InputError(
            f"sequence_length {sequence} + generate {generate} = {total} tokens, but {name} sees "
            f"{geometry.slides} back (sliding_window), which is not computed here; ask for fewer"
        )
    if total > MAX_ROWS:
        raise InputError(f"sequence_length {sequence} + generate {generate}: at most {MAX_ROWS} tokens")


def _positions(geometry: Geometry) -> int:
    return min(geometry.window, MAX_ROWS)


class _Model:
    """Builds the entries, which share weights and states."""

    def __init__(self, geometry: Geometry, tensors: Shapes | None, where: str, capacity: int) -> None:
        self.geometry = geometry
        self.tensors = tensors
        self.where = where
        self.capacity = capacity
        self.weights: dict[str, Weight] = {}

    def states(self) -> tuple[State, ...]:
        width = self.geometry.kv_heads * self.geometry.head
        caches = tuple(
            State(f"{kind}_cache.{index}", (self.capacity, width))
            for index in range(self.geometry.layers)
            for kind in ("key", "value")
        )
        whole = (("token", 1), ("tokens", self.capacity + 1), ("length", 1))
        return (*caches, *(State(name, (size,), "int32") for name, size in whole))

    def prefill(self, rows: int) -> Graph:
        ids = Input("input_ids", (1, rows), self.geometry.vocab)
        return self._entry(ids.name, rows, (ids,))

    def decode(self) -> Graph:
        return self._entry("token", 1, ())

    def _entry(self, ids: str, rows: int, inputs: tuple[Input, ...]) -> Graph:
        one, told = Builder(self.tensors, self.where), self.geometry
        one.weights = self.weights
        one.constant(_ROPE, (_positions(told), told.head))
        table = one.take(f"{_TABLE}.weight", (told.vocab, told.hidden), "embedding")
        x = one.node("embedding", "embed_tokens", (ids,), (rows, told.hidden), (table,), {"wide": 1})
        for index in range(told.layers):
            x = self._layer(one, index, x, rows)
        if rows > 1:
            x = one.node("last_token", "last_token", (x,), (1, told.hidden))
        x = self._norm(one, "norm", x, "model.norm")
        if told.tied:
            shape, wide = (1, told.vocab), {"wide": 1}
            logits = one.node("linear", "lm_head", (x,), shape, (table,), wide, output="logits")
        else:
            logits = one.linear(
                "lm_head", x, "lm_head", told.vocab, "head", bias=False, output="logits", wide=True
            )
        states = ("token", "tokens", "length")
        one.node("next_token", "next_token", (logits, *states), (1, 1), attrs={"count": rows}, updates=states)
        return Graph(inputs, tuple(one.nodes), ("logits",))

    def _layer(self, one: Builder, index: int, x: str, rows: int) -> str:
        told, base, name = self.geometry, f"model.layers.{index}", f"layer{index}"
        width, narrow = told.heads * told.head, told.kv_heads * told.head
        h = self._norm(one, f"{name}.norm", x, f"{base}.input_layernorm")
        q, k, v = (
            one.linear(f"{name}.{p}", h, f"{base}.self_attn.{p}_proj", n, "attention", bias=told.biased)
            for p, n in (("q", width), ("k", narrow), ("v", narrow))
        )
        if told.head_norms:
            q, k = (
                self._norm(one, f"{name}.{p}_norm", value, f"{base}.self_attn.{p}_norm", heads)
                for p, value, heads in (("q", q, told.heads), ("k", k, told.kv_heads))
            )
        q, k = (
            one.node(
                "rope", f"{name}.{p}_rope", (value, "length"), one.shape_of(value), (_ROPE,), {"heads": heads}
            )
            for p, value, heads in (("q", q, told.heads), ("k", k, told.kv_heads))
        )
        caches = (f"key_cache.{index}", f"value_cache.{index}")
        attrs = {"heads": told.heads, "kv_heads": told.kv_heads, "scale": told.head**-0.5}
        inputs = (q, k, v, *caches, "length")
        mixed = one.node(
            "cached_attention", f"{name}.attention", inputs, (rows, width), attrs=attrs, updates=caches
        )
        out = one.linear(
            f"{name}.o",
            mixed,
            f"{base}.self_attn.o_proj",
            told.hidden,
            "attention",
            bias=told.projected_bias,
            wide=True,
        )
        x = self._add(one, f"{name}.attended", x, out)
        h = self._norm(one, f"{name}.post_norm", x, f"{base}.post_attention_layernorm")
        gate, up = (
            one.linear(
                f"{name}.{p}",
                h,
                f"{base}.mlp.{p}_proj",
                told.intermediate,
                "feed_forward",
                bias=told.feed_forward_bias,
            )
            for p in ("gate", "up")
        )
        gate = one.activation(f"{name}.act", gate, told.activation)
        h = one.node("multiply", f"{name}.gated", (gate, up), one.shape_of(up))
        down = one.linear(
            f"{name}.down",
            h,
            f"{base}.mlp.down_proj",
            told.hidden,
            "feed_forward",
            bias=told.feed_forward_bias,
            wide=True,
        )
        return self._add(one, f"{name}.out", x, down)

    def _norm(self, one: Builder, name: str, x: str, base: str, groups: int = 1) -> str:
        rows, width = one.shape_of(x)
        gamma = one.take(f"{base}.weight", (width // groups,), "vector")
        attrs: dict[str, int | float | str] = {"epsilon": self.geometry.epsilon}
        # Of thirty layers' halves, those of the norms cost most: SmolLM2's logits would be 5e-3 off.
        attrs |= {"groups": groups} if groups > 1 else {"wide": 1}
        return one.node("rms_norm", name, (x,), (rows, width), (gamma,), attrs)

    def _add(self, one: Builder, name: str, a: str, b: str) -> str:
        return one.node("add", name, (a, b), one.shape_of(a), attrs={"wide": 1})
