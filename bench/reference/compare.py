"""Numbers for "is the kernel right?" and "what did the precision cost?".

Each function takes one mapping of outputs (name -> float array) for each verified call, in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.models.program import Program
from bench.record import Quality

Outputs = Mapping[str, NDArray[Any]]

# The output that the `*_fp32` numbers speak of: what people use the model for, where it has such a thing.
_PREFERRED = ("sentence_embedding", "logits", "pooler_output", "last_hidden_state")


def chosen_output(program: Program) -> str:
    """The output the `*_fp32` numbers speak of.

    `sentence_embedding`, else `logits`, else `pooler_output`, else `last_hidden_state`, else the program's
    last.
    """
    return next((name for name in _PREFERRED if name in program.outputs), program.outputs[-1])


def rel_l2(y: NDArray[Any], reference: NDArray[Any]) -> float:
    """||y - reference|| / ||reference|| in float64; infinite where shapes differ or `y` is not finite."""
    if y.shape != reference.shape or not np.isfinite(y).all():
        return math.inf
    wide = reference.astype(np.float64)
    error, scale = float(np.linalg.norm(y - wide)), float(np.linalg.norm(wide))
    if scale == 0:
        return 0.0 if error == 0 else math.inf
    return error / scale


def kernel_rel_l2(got: Sequence[Outputs], reference: Sequence[Outputs]) -> float:
    """The largest `rel_l2` over all outputs that the reference has; a missing output is infinite."""
    return max(
        rel_l2(one[name], truth[name]) if name in one else math.inf
        for one, truth in zip(got, reference, strict=True)
        for name in truth
    )


def cosine_fp32(program: Program, got: Sequence[Outputs], fp32: Sequence[Outputs]) -> float | None:
    """Mean over rows of the cosine between the chosen output and the unquantized model's.

    None where a row is a single number: that has no direction, and its cosine could only tell a sign.
    """
    y, truth = _rows(program, got), _rows(program, fp32)
    if y.shape[1] == 1:
        return None
    product = np.linalg.norm(y, axis=1) * np.linalg.norm(truth, axis=1)
    return float(np.mean((y * truth).sum(axis=1) / np.where(product > 0, product, 1)))


def rel_l2_fp32(program: Program, got: Sequence[Outputs], fp32: Sequence[Outputs]) -> float:
    """`rel_l2` of the chosen output against the unquantized model's, over all calls together."""
    return rel_l2(_rows(program, got), _rows(program, fp32))


def max_abs_fp32(program: Program, got: Sequence[Outputs], fp32: Sequence[Outputs]) -> float:
    """The largest difference of an element of the chosen output from the unquantized model's."""
    return float(np.max(np.abs(_rows(program, got) - _rows(program, fp32))))


def top1_agreement(program: Program, got: Sequence[Outputs], fp32: Sequence[Outputs]) -> float | None:
    """Share of rows whose largest logit is the unquantized model's.

    None for a program without `logits`, and where each row has one: it is always the largest.
    """
    if "logits" not in program.outputs:
        return None
    y, truth = _rows(program, got), _rows(program, fp32)
    if y.shape[1] == 1:
        return None
    return float(np.mean(y.argmax(axis=1) == truth.argmax(axis=1)))


def quality(
    program: Program,
    got: Sequence[Outputs],
    reference: Sequence[Outputs],
    fp32: Sequence[Outputs],
    again: Sequence[tuple[Outputs, Outputs]] = (),
) -> Quality:
    """All of the above; only `kernel_rel_l2` (infinite) where an output is missing or not finite.

    Args:
        program: what ran.
        got: what it gave, once for each verified call.
        reference: from the same quantized weights.
        fp32: from the unquantized ones.
        again: what it gave once more for a call, with that call's reference. Whether the kernel is right is
            asked of these too; what the precision costs weighs every call once.
    """
    kernel = kernel_rel_l2([*got, *(one for one, _ in again)], [*reference, *(truth for _, truth in again)])
    if math.isinf(kernel) or not got:
        return Quality(kernel_rel_l2=kernel)
    return Quality(
        kernel_rel_l2=kernel,
        cosine_fp32=cosine_fp32(program, got, fp32),
        rel_l2_fp32=rel_l2_fp32(program, got, fp32),
        max_abs_fp32=max_abs_fp32(program, got, fp32),
        top1_agreement=top1_agreement(program, got, fp32),
    )


def _rows(program: Program, outputs: Sequence[Outputs]) -> NDArray[np.float64]:
    name = chosen_output(program)
    return np.concatenate([np.asarray(one[name], np.float64) for one in outputs if name in one])
