"""The answer first: which precision, browser and platform to take for each model, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.harness.outcome import Outcome
from bench.metrics import DECODE, LATENCY
from bench.plan.request import ASKED
from bench.report import words
from bench.report.board import coverage, measured
from bench.report.row import Arm, value_at, writes

LEAST_COSINE = 0.99
_FEW = 10  # sessions below which a difference of some percent is no finding


@dataclass(frozen=True)
class _Limits:
    """What an arm must keep to be chosen, and the time that it is chosen by: None for what is usual."""

    least_cosine: float
    most_bytes: int | None
    metric: str | None = None
    least_greedy: float | None = None

    def time(self, arm: Arm) -> float:
        """Milliseconds that it is ranked by; infinite where they were not measured."""
        return self._at(arm, "median") or math.inf

    def interval(self, arm: Arm) -> tuple[float, float]:
        """Ends of the 95 % interval of that time; the time itself twice where it has none."""
        low, high = self._at(arm, "ci95_low"), self._at(arm, "ci95_high")
        return (self.time(arm), self.time(arm)) if low is None or high is None else (low, high)

    def _at(self, arm: Arm, part: str) -> float | None:
        usual = DECODE if writes(arm) else LATENCY
        found: float | None = value_at(arm, (self.metric or usual).removesuffix("median") + part)
        return found

    def agrees(self, arm: Arm) -> bool:
        """Whether it writes what the unquantized model writes, as far as that is asked."""
        found = arm["greedy_agreement"]
        return self.least_greedy is None or (found is not None and found >= self.least_greedy)

    def fits(self, arm: Arm) -> bool:
        """Whether its weights are small enough."""
        return self.most_bytes is None or _bytes(arm) <= self.most_bytes

    def met(self, arm: Arm) -> bool:
        """Whether it may be chosen."""
        least = arm["cosine_fp32_low"]
        kept = least is not None and least >= self.least_cosine
        return kept and self.agrees(arm) and self.fits(arm)

    def __str__(self) -> str:
        size = "" if self.most_bytes is None else f" and at most {self.most_bytes / 1e6:g} MB"
        same = "" if self.least_greedy is None else f" and greedy agreement ≥ {self.least_greedy:g}"
        return f"cosine ≥ {self.least_cosine:g}{same}{size}"


def _bytes(arm: Arm) -> float:
    """Of its weights; what was not measured is small in no comparison."""
    return math.inf if arm["weight_bytes"] is None else float(arm["weight_bytes"])


# Model, tokens, batch, tokens that it writes (0: none), whether its weights are synthetic.
_Key = tuple[str, int, int, int, bool]
# Times that a choice may go by, and the rates that rank as they do.
RANKED = {
    LATENCY: LATENCY,
    "prefill_tokens_per_s": LATENCY,
    DECODE: DECODE,
    "decode_tokens_per_s": DECODE,
}


@dataclass(frozen=True)
class Choice:
    """The choice for one model and shape on one host; `arm` is None where none meets the limit.

    `ran` and `asked` count cells: those with a right result, and all.
    """

    model: str
    tokens: int
    batch: int
    generate: int | None
    host: str
    arm: Arm | None
    why: str
    ran: int
    asked: int


def choices(
    arms: Sequence[Arm],
    least_cosine: float = LEAST_COSINE,
    most_bytes: int | None = None,
    metric: str | None = None,
    least_greedy: float | None = None,
) -> list[Choice]:
    """One for each model, shape and host, in that order; made-up weights by themselves.

    Of the same request on the same host only what the newest kernels gave counts: nobody runs the others now.

    Of the arms that ran as requested and whose every session keeps the limit, the fastest; of those that its
    interval does not tell from the fastest, the one with the fewest bytes. A fallback is never chosen: it is
    another arm's number.

    Args:
        arms: of a `Board`.
        least_cosine: to the unquantized model's output.
        most_bytes: of weights; None for any.
        metric: one of `RANKED`; by default the time of a token of language models, of an inference of others.
        least_greedy: share of the tokens that it writes as the unquantized model does; None for any.
    """
    limits = _Limits(least_cosine, most_bytes, metric and RANKED[metric], least_greedy)
    arms = _newest(arms)
    groups: dict[_Key, list[Arm]] = {}
    for arm in arms:
        names = ("requested_model", "requested_sequence_length", "requested_batch_size")
        model, tokens, batch = (value_at(arm, name) for name in names)
        key = (model, tokens, batch, arm["requested_generate"] or 0, arm["model_weights"] == "synthetic")
        groups.setdefault(key, []).append(arm)
    found = []
    for key, members in sorted(groups.items()):
        hosts = sorted({_host(arm) for arm in members if measured(arm)}) or [""]
        for host in hosts:
            here = [arm for arm in members if not host or _host(arm) in (host, "")]
            found.append(_choose(key, host if len(hosts) > 1 else "", here, limits))
    return found


def _newest(arms: Sequence[Arm]) -> list[Arm]:
    """Without arms whose kernels others have followed for the same request on the same host."""
    newest: dict[tuple[Any, ...], tuple[int, str]] = {}
    for arm in arms:
        if arm["kernels"] is not None:
            last = (max(arm["runs"]), str(arm["kernels"]))
            newest[_asked(arm)] = max(newest.get(_asked(arm), last), last)
    return [arm for arm in arms if arm["kernels"] is None or arm["kernels"] == newest[_asked(arm)][1]]


def _asked(arm: Arm) -> tuple[Any, ...]:
    return (*(value_at(arm, name) for name in ASKED), _host(arm), arm["adapter"])


def _host(arm: Arm) -> str:
    return ", ".join(words.distinct((arm["os"], arm["cpu"])))


def _choose(key: _Key, host: str, arms: Sequence[Arm], limits: _Limits) -> Choice:
    ran, asked = coverage(arms)
    shape = (*key[:3], key[3] or None)
    speedy = [
        arm
        for arm in arms
        if measured(arm) and arm["outcome"] == Outcome.OK and math.isfinite(limits.time(arm))
    ]
    kept = [arm for arm in speedy if arm["cosine_fp32_low"] is not None]
    good = [arm for arm in kept if limits.met(arm)]
    if not good:
        return Choice(*shape, host, None, _why_none(speedy, kept, limits), ran, asked)
    fastest = min(good, key=limits.time)
    high = limits.interval(fastest)[1]
    near = [arm for arm in good if limits.interval(arm)[0] <= high]
    best = min(near, key=lambda arm: (_bytes(arm), limits.time(arm)))
    return Choice(*shape, host, best, _why(best, fastest, near, good, limits), ran, asked)


def _why_none(speedy: Sequence[Arm], kept: Sequence[Arm], limits: _Limits) -> str:
    if not speedy:
        return "no arm ran as requested with a right result"
    if not kept:
        return (
            "no arm has a cosine to the unquantized model (a single number has none: rel_l2_fp32 says more)"
        )
    close = max(kept, key=lambda arm: (limits.fits(arm), arm["cosine_fp32_low"]))
    size = ""
    if limits.most_bytes is not None:
        known = close["weight_bytes"]
        size = ", bytes not measured" if known is None else f", {known / 1e6:.1f} MB"
    if limits.least_greedy is not None:
        agreed = close["greedy_agreement"]
        size += ", tokens not compared" if agreed is None else f", greedy agreement {agreed:.2f}"
    return (
        f"none of {len(kept)} keeps {limits}; the closest is {name(close)} "
        f"at {close['cosine_fp32_low']:.4f}{size}"
    )


def _why(
    best: Arm,
    fastest: Arm,
    near: Sequence[Arm],
    good: Sequence[Arm],
    limits: _Limits,
) -> str:
    if len(good) == 1:
        text = f"the only arm with {limits}"
    elif best is fastest:
        text = f"the fastest of {len(good)} arms with {limits}"
    else:
        text = (
            f"the fewest bytes among the {len(near)} fastest of {len(good)} arms with {limits}, "
            "whose intervals overlap"
        )
    if best is fastest and len(near) > 1:
        text += f"; {len(near) - 1} more within its interval, none smaller"
    if best["sessions"] < _FEW:
        plural = "" if best["sessions"] == 1 else "s"
        text += f"; {best['sessions']} session{plural}: a few percent prove nothing"
    if words.software(best):
        text += "; SOFTWARE ADAPTER or CPU: says nothing about a GPU"
    if best["model_weights"] == "synthetic":
        text += "; SYNTHETIC WEIGHTS: its cosine means nothing"
    return text


def name(arm: Arm) -> str:
    """`chrome 153.0.8010.0 webgpu, 4-bit, mixed`: what an arm is, apart from model and shape."""
    platform = arm["effective_platform"] or arm["requested_platform"]
    parts = (f"{words.browser(arm)} {platform}", f"{words.bits(arm)}-bit", words.options(arm))
    return ", ".join(part for part in parts if part)
