"""What a language model wrote in a session: is it its own text, and what does the unquantized model write?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.bundle import Bundle
from bench.errors import RunFailure
from bench.harness.outcome import Outcome, Stage
from bench.reference.written import agreement, difference


def verified_tokens(bundle: Bundle) -> int:
    """The length of the prompt whose answer was held to the reference: the whole one, or its beginning."""
    first = next(call for call in bundle.calls if call.verified)
    return bundle.program.entries[first.entry].inputs[0].shape[1]


def read_written(bundle: Bundle, told: Mapping[str, Any], tolerance: float) -> dict[str, Any]:
    """The tokens that the last timed sample wrote, as the row keeps them.

    Args:
        bundle: what ran, with what NumPy writes.
        told: `tokens`, the state by position, and `length`, as the page reads them after the timing.
        tolerance: relative L2 distance that logits may have.

    Returns:
        `tokens`; `ended_at`, the first of them that ends a text, or None (the loop goes on all the same:
        every sample is as long); `agrees_reference` and `agrees_fp32`, how many agree before the first that
        differs, and `compared`, of how many; `first_difference`, where rounding chose between near logits.

    Raises:
        RunFailure: the loop ran beyond its cache, or it wrote what no rounding explains.
    """
    phase = bundle.program.writing
    assert phase is not None, "only a program that writes tells of it"
    prompt = bundle.program.main.inputs[0].shape[1]
    expected = prompt + phase.calls
    if told["length"] != expected:
        raise RunFailure(
            Outcome.ERROR,
            Stage.MEASURE,
            f"{told['length']} tokens stand in the cache after a prompt of {prompt} and {phase.calls} more; "
            f"expected {expected}",
            name="CacheOverflow" if (told["length"] or 0) > expected else "CacheLength",
        )
    tokens = [int(token) for token in told["tokens"][prompt : prompt + phase.calls]]
    ended = (step for step, token in enumerate(tokens) if token in bundle.program.ends)
    found: dict[str, Any] = {"tokens": tokens, "ended_at": next(ended, None)}
    reference, fp32 = bundle.written(), bundle.written("fp32.")
    if not reference:
        return {**found, "compared": 0, "why_not": "NumPy would take more than a minute for as many tokens"}
    compared = len(reference["tokens"])
    found["compared"] = compared
    found["agrees_fp32"] = agreement(tokens, fp32["tokens"].tolist())
    found["agrees_reference"] = agreement(tokens, reference["tokens"].tolist())
    other = difference(tokens, reference, tolerance)
    if other is None:
        return found
    gap = "more than its best tell" if other.gap is None else f"{other.gap:.3g}"
    if not other.tied:
        raise RunFailure(
            Outcome.INCORRECT,
            Stage.MEASURE,
            f"token {other.step} is {other.token}, the reference writes {other.expected} and prefers it by "
            f"{gap}, where rounding may move a logit by {other.allowed:.3g}",
            name="WrongToken",
        )
    found["first_difference"] = {
        "step": other.step,
        "token": other.token,
        "reference": other.expected,
        "gap": other.gap,
        "allowed": other.allowed,
    }
    return found
