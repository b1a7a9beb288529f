"""The program in NumPy: float32, with float64 inside softmax, normalizations and pooling.

Written for clarity first: it is the truth that every kernel is held to. Matrix products go through BLAS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.models.graph import Input, Node
from bench.models.program import Program

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
Values = dict[str, NDArray[Any]]

# erf by cubic Hermite interpolation between exact values and slopes: with steps of 1/256 the error stays
# below h**4 / 384 * max|erf''''| < 2e-11; beyond 6 it is 1 in float64.
_STEPS = 256
_LIMIT = 6.0
_GRID = np.arange(int(_LIMIT * _STEPS) + 2) / _STEPS
_ERF = np.array([math.erf(x) for x in _GRID])
_SLOPE = 2 / math.sqrt(math.pi) * np.exp(-(_GRID**2)) / _STEPS


def erf(x: NDArray[Any]) -> F64:
    """The error function, elementwise, in float64; absolute error below 2e-11."""
    magnitude = np.minimum(np.abs(x.astype(np.float64)), _LIMIT)
    scaled = magnitude * _STEPS
    index = scaled.astype(np.int64)
    t = scaled - index
    a, b, da, db = _ERF[index], _ERF[index + 1], _SLOPE[index], _SLOPE[index + 1]
    cubic = a + t * (da + t * (3 * (b - a) - 2 * da - db + t * (2 * (a - b) + da + db)))
    signed: F64 = np.copysign(cubic, x)
    return signed


def run(
    program: Program,
    weights: Mapping[str, F32],
    inputs: Mapping[str, NDArray[Any]],
    *,
    entry: str | None = None,
    states: Mapping[str, NDArray[Any]] | None = None,
    keep: Collection[str] = (),
) -> dict[str, F32]:
    """Call one entry of a program.

    Args:
        program: what to execute; shapes are its own.
        weights: float32, by weight name; looked up when an operator needs one, so a lazy mapping may load
            them.
        inputs: int32 [B, T] or float32 [rows, features], by input name.
        entry: which graph; that of the main phase by default.
        states: by name, as `Program.zeros` gives them; changed in place. Zeros by default.
        keep: names of intermediates to return as well.

    Returns:
        The graph's outputs (and `keep`), float32, by name; graph outputs first, in the graph's order.

    Raises:
        ValueError: an input is missing, has another shape or type, or a value out of range; a weight has
            another shape.
        KeyError: a weight is missing, or `keep` names no value of the graph.
    """
    graph = program.main if entry is None else program.entries[entry]
    held = program.zeros() if states is None else states
    values: Values = {item.name: _checked_input(item, inputs) for item in graph.inputs}
    values.update({state.name: held[state.name] for state in program.states})
    wanted = [*graph.outputs, *keep, *(state.name for state in program.states)]
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    for index, node in enumerate(graph.nodes):
        params = [weights[name] for name in node.weights]
        for name, param in zip(node.weights, params, strict=True):
            if param.shape != program.weight(name).shape:
                raise ValueError(f"{name} has shape {param.shape}, not {program.weight(name).shape}")
        result = OPERATORS[node.op](node, [values[name] for name in node.inputs], params)
        if result.shape != node.shape:
            raise ValueError(f"{node.name} gave {result.shape}, the graph says {node.shape}")
        values[node.output] = result
        for name in node.inputs:  # what nobody needs any more makes room
            if last_use[name] == index and name not in wanted:
                values.pop(name, None)
    return {name: values[name] for name in (*graph.outputs, *keep)}


def _checked_input(item: Input, inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    name = item.name
    if name not in inputs:
        raise ValueError(f"input {name} is missing")
    array = inputs[name]
    if array.shape != item.shape:
        raise ValueError(f"input {name} has shape {array.shape}, not {item.shape}")
    if array.dtype != item.dtype:
        raise ValueError(f"input {name} is {array.dtype}, not {item.dtype}")
    if item.dtype == "float32":
        if not np.isfinite(array).all():
            raise ValueError(f"input {name} must be finite")
        return array
    if array.min() < 0 or array.max() >= item.maximum:
        raise ValueError(f"input {name} must lie in 0..{item.maximum - 1}")
    return array


def _embedding(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    rows: F32 = w[0][x[0].reshape(-1)]
    return rows


def _add(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    total: F32 = x[0] + x[1]
    return total


def _layer_norm(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    # Ba et al. 2016 (arXiv 1607.06450), with the biased variance.
    values = x[0].astype(np.float64)
    centred = values - values.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1, keepdims=True)
    normal = centred / np.sqrt(variance + float(node.attrs["epsilon"]))
    scaled: F32 = (normal * w[0] + w[1]).astype(np.float32)
    return scaled


def _linear(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    product: F32 = x[0] @ w[0].T
    return product + w[1] if len(w) > 1 else product


def _activation(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    function = _ACTIVATIONS[str(node.attrs["kind"])]
    result = np.empty_like(x[0])
    step = max(1, (1 << 20) // x[0].shape[1])  # by rows: float64 intermediates of a large batch would not fit
    for start in range(0, len(result), step):
        result[start : start + step] = function(x[0][start : start + step])
    return result


def _gelu(x: F32) -> F64:
    curve: F64 = 0.5 * x * (1 + erf(x / np.sqrt(2.0)))  # Hendrycks and Gimpel 2016 (arXiv 1606.08415)
    return curve


def _gelu_tanh(x: F32) -> F64:
    wide = x.astype(np.float64)
    curve: F64 = 0.5 * wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
    return curve


def _softmax_rows(scores: F64) -> F64:
    """Softmax over the last axis; a row of nothing but -inf becomes zeros."""
    top = scores.max(axis=-1, keepdims=True)
    raised = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = raised.sum(axis=-1, keepdims=True)
    shares: F64 = raised / np.where(total > 0, total, 1)
    return shares


def _attention(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    # Vaswani et al. 2017 (arXiv 1706.03762), section 3.2; masked keys have no weight at all.
    batch, sequence = int(node.attrs["batch"]), int(node.attrs["sequence"])
    keys, heads = int(node.attrs.get("keys", sequence)), int(node.attrs["heads"])
    future = np.triu(np.ones((sequence, keys), bool), 1) if node.attrs.get("causal") else None
    result = np.empty((batch, sequence, heads, x[0].shape[1] // heads), np.float32)
    for index in range(batch):  # one sentence at a time: all scores in float64 would not fit
        q, k, v = (
            a[index * rows : (index + 1) * rows].reshape(rows, heads, -1).transpose(1, 0, 2)
            for a, rows in zip(x[:3], (sequence, keys, keys), strict=True)
        )
        scores = (q @ k.transpose(0, 2, 1)).astype(np.float64) * float(node.attrs["scale"])
        if len(x) > 3:
            scores[:, :, x[3][index] == 0] = -np.inf
        if future is not None:
            scores[:, future] = -np.inf
        result[index] = (_softmax_rows(scores).astype(np.float32) @ v).transpose(1, 0, 2)
    return result.reshape(batch * sequence, -1)


def _unfold(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    kernel, stride, padding = (int(node.attrs[key]) for key in ("kernel", "stride", "padding"))
    batch, sequence = int(node.attrs["batch"]), int(node.attrs["sequence"])
    padded = np.pad(x[0].reshape(batch, sequence, -1), ((0, 0), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=1)[:, ::stride]
    return np.ascontiguousarray(windows).reshape(-1, x[0].shape[1] * kernel)


def _mean_pool(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    batch, sequence = int(node.attrs["batch"]), int(node.attrs["sequence"])
    tokens = x[0].reshape(batch, sequence, -1).astype(np.float64)
    valid = (x[1] != 0).astype(np.float64)[:, :, None]
    # The floor is sentence-transformers' own, for a sentence without tokens.
    mean: F64 = (tokens * valid).sum(axis=1) / np.maximum(valid.sum(axis=1), 1e-9)
    return mean.astype(np.float32)


def _first_token(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    batch, sequence = int(node.attrs["batch"]), int(node.attrs["sequence"])
    return np.ascontiguousarray(x[0].reshape(batch, sequence, -1)[:, 0])


def _l2_normalize(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    # y = x / max(|x|, epsilon), as torch.nn.functional.normalize does.
    length = np.sqrt(np.square(x[0].astype(np.float64)).sum(axis=1, keepdims=True))
    unit: F64 = x[0] / np.maximum(length, float(node.attrs["epsilon"]))
    return unit.astype(np.float32)


def _softmax(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    return _softmax_rows(x[0].astype(np.float64)).astype(np.float32)


def _multiply(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    product: F32 = x[0] * x[1]
    return product


def _rms_norm(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    # Zhang and Sennrich 2019 (arXiv 1910.07467).
    values = x[0].reshape(-1, len(w[0])).astype(np.float64)
    scale = 1 / np.sqrt(np.square(values).mean(axis=1, keepdims=True) + float(node.attrs["epsilon"]))
    normal: F32 = (values * scale * w[0]).astype(np.float32)
    return normal.reshape(x[0].shape)


def _rope(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    rows, heads = x[0].shape[0], int(node.attrs["heads"])
    angles = w[0][int(x[1][0]) : int(x[1][0]) + rows]
    cosine, sine = np.split(angles[:, None, :], 2, axis=-1)
    left, right = np.split(x[0].reshape(rows, heads, -1), 2, axis=-1)
    turned = np.concatenate([left * cosine - right * sine, right * cosine + left * sine], axis=-1)
    return turned.reshape(x[0].shape)


def _cached_attention(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    q, k, v, keys, values, length = x
    rows, heads, shared = len(q), int(node.attrs["heads"]), int(node.attrs["kv_heads"])
    begin = int(length[0])
    keys[begin : begin + rows], values[begin : begin + rows] = k, v
    seen = begin + rows
    query = q.reshape(rows, heads, -1).transpose(1, 0, 2)
    # Head h of the queries reads head h // (heads / shared) of the keys.
    key, value = (
        np.repeat(cache[:seen].reshape(seen, shared, -1).transpose(1, 0, 2), heads // shared, axis=0)
        for cache in (keys, values)
    )
    later = np.arange(seen)[None, :] > begin + np.arange(rows)[:, None]
    result = np.empty_like(query)
    for head in range(heads):  # one at a time: the scores of all heads in float64 would not fit
        scores = (query[head] @ key[head].T).astype(np.float64) * float(node.attrs["scale"])
        scores[later] = -np.inf
        result[head] = _softmax_rows(scores).astype(np.float32) @ value[head]
    return np.ascontiguousarray(result.transpose(1, 0, 2)).reshape(q.shape)


def _last_token(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    return x[0][-1:].copy()


def _next_token(node: Node, x: list[NDArray[Any]], w: list[F32]) -> F32:
    logits, token, tokens, length = x
    token[0] = np.argmax(logits[0])
    length += int(node.attrs["count"])
    if length[0] < len(tokens):
        tokens[length[0]] = token[0]
    return logits[:, token[0] : token[0] + 1].copy()


_ACTIVATIONS: dict[str, Callable[[F32], NDArray[Any]]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": lambda x: np.tanh(x.astype(np.float64)),
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(0.5 * x.astype(np.float64))),
    "silu": lambda x: 0.5 * x * (1 + np.tanh(0.5 * x.astype(np.float64))),
}
# Node, inputs (states among them, to be written in place where the node updates them), weights -> output.
OPERATORS: dict[str, Callable[[Node, list[NDArray[Any]], list[F32]], F32]] = {
    "embedding": _embedding,
    "add": _add,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "activation": _activation,
    "attention": _attention,
    "mean_pool": _mean_pool,
    "first_token": _first_token,
    "l2_normalize": _l2_normalize,
    "softmax": _softmax,
    "unfold": _unfold,
    "multiply": _multiply,
    "rms_norm": _rms_norm,
    "rope": _rope,
    "cached_attention": _cached_attention,
    "last_token": _last_token,
    "next_token": _next_token,
}
