"""The kinds of charts there are, in the order of a report; without matplotlib, which is slow to load."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The charts there are."""

    SUPPORT = "support"
    LATENCY = "latency"
    TOKENS = "tokens"
    DEPTH = "depth"
    MEMORY = "memory"
    ACCURACY = "accuracy"
    PARETO = "pareto"
    EXPERIMENTAL = "experimental"
    AUDIO = "audio"
    SAMPLES = "samples"
    HISTORY = "history"
    ROOFLINE = "roofline"
