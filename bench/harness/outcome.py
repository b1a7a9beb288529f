"""The closed vocabulary of a run: outcomes, stages, error categories."""

from __future__ import annotations

import re
from enum import StrEnum


class Outcome(StrEnum):
    """How a run ended. Closed: the database holds a CHECK over these values."""

    OK = "ok"
    FALLBACK = "fallback"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"
    ERROR = "error"
    INCORRECT = "incorrect"
    TIMEOUT = "timeout"
    DEVICE_LOST = "device_lost"
    CRASHED = "crashed"
    INTERRUPTED = "interrupted"

    @property
    def meaning(self) -> str:
        """In a few words, for the docs."""
        return _OUTCOMES[self]

    @property
    def measured(self) -> bool:
        """Whether a run with this outcome carries speed: it ran and its numbers were right."""
        return self in (Outcome.OK, Outcome.FALLBACK)

    @property
    def failed(self) -> bool:
        """Whether this outcome makes a campaign exit with 1 (outside experimental mode)."""
        return self in (
            Outcome.ERROR,
            Outcome.INCORRECT,
            Outcome.TIMEOUT,
            Outcome.DEVICE_LOST,
            Outcome.CRASHED,
        )


_OUTCOMES = {
    Outcome.OK: "ran as requested, and correct",
    Outcome.FALLBACK: "ran and correct, but at other bits, platform or device than requested; "
    "`fallback_reason` says why",
    Outcome.UNSUPPORTED: "the browser lacks it: no `navigator.gpu` or adapter, no `navigator.ml` or context",
    Outcome.UNAVAILABLE: "that browser or its driver is not on this machine",
    Outcome.ERROR: "a stage raised; stage, name, message and operator are kept",
    Outcome.INCORRECT: "it ran, but its output fails the check; it has no speed",
    Outcome.TIMEOUT: "a stage passed its deadline; the browser was ended",
    Outcome.DEVICE_LOST: "the GPU device or the WebNN context went away",
    Outcome.CRASHED: "browser or driver died",
    Outcome.INTERRUPTED: "the harness was stopped mid-run; the cell runs again on resume",
}


class Stage(StrEnum):
    """Where a run is. In this order, except that a run may end anywhere."""

    LAUNCH = "launch"
    PROBE = "probe"
    LOAD = "load"
    BUILD = "build"
    COMPILE = "compile"
    VERIFY = "verify"
    WARMUP = "warmup"
    MEASURE = "measure"
    TEARDOWN = "teardown"

    @property
    def meaning(self) -> str:
        """In a few words, for the docs."""
        return _STAGES[self]


_STAGES = {
    Stage.LAUNCH: "driver and browser start",
    Stage.PROBE: "agent, isolation, clock step, adapter, WebNN devices",
    Stage.LOAD: "graph, weights and shaders come from the loopback server",
    Stage.BUILD: "buffers and uploads (WebGPU), operands (WebNN)",
    Stage.COMPILE: "pipelines (WebGPU), `MLGraphBuilder.build` (WebNN)",
    Stage.VERIFY: "outputs are compared with the NumPy reference, before timing and after it",
    Stage.WARMUP: "batches until the times are steady",
    Stage.MEASURE: "the samples",
    Stage.TEARDOWN: "the browser ends",
}


class Category(StrEnum):
    """Sorts a browser's words without replacing them."""

    UNSUPPORTED_OPERATION = "unsupported_operation"
    UNSUPPORTED_TYPE = "unsupported_type"
    IMPLEMENTATION_LIMIT = "implementation_limit"
    OUT_OF_RESOURCES = "out_of_resources"
    OUT_OF_MEMORY = "out_of_memory"
    SHADER_COMPILATION = "shader_compilation"
    VALIDATION = "validation"
    OTHER = "other"

    @property
    def meaning(self) -> str:
        """In a few words, for the docs."""
        return _CATEGORIES[self]


_CATEGORIES = {
    Category.UNSUPPORTED_OPERATION: "an operator or a call that this browser does not have",
    Category.UNSUPPORTED_TYPE: "a data type that this browser does not take",
    Category.IMPLEMENTATION_LIMIT: "more of something than this browser or its adapter allows",
    Category.OUT_OF_RESOURCES: "the browser or the GPU had nothing left of something that is not memory",
    Category.OUT_OF_MEMORY: "an allocation failed",
    Category.SHADER_COMPILATION: "a shader that the browser does not take",
    Category.VALIDATION: "a call that the browser finds wrong in itself",
    Category.OTHER: "words that no rule sorts",
}


# First match wins, so the more telling patterns stand first. Lower-case substrings of the browser's words;
# tests hold each to a message really seen.
_PATTERNS: tuple[tuple[Category, tuple[str, ...]], ...] = (
    (
        Category.UNSUPPORTED_TYPE,
        (
            "not a valid enum value of type mloperanddatatype",
            "unsupported data type",
            "data type is not supported",
            "precision not supported",
            "int4 precision",
            "requested precision",
        ),
    ),
    (
        Category.SHADER_COMPILATION,
        (
            *("gpucompilation", "shader compilation", "parsing wgsl", "parsing error"),
            *("shader module", "shadermodule", "tint"),
        ),
    ),
    (Category.OUT_OF_MEMORY, ("out of memory", "outofmemory", "oom", "allocation failed", "bad_alloc")),
    (Category.OUT_OF_RESOURCES, ("out of resources", "too many", "resource exhausted", "device was lost")),
    (
        Category.IMPLEMENTATION_LIMIT,
        (
            "exceeds the",
            "exceed the",
            "limit",
            "maximum",
            "larger than",
            "too large",
            "not supported on this",
        ),
    ),
    (
        Category.UNSUPPORTED_OPERATION,
        ("not supported", "unsupported", "not implemented", "is not a function", "notsupportederror"),
    ),
    (Category.VALIDATION, ("validation", "invalid", "must be", "does not match", "typeerror")),
)
_SHORT = 4  # letters
# Said of a session that is gone, not of what the browser was asked to do.
_OF_THE_DRIVER = ("invalid session id", "invalidsessionid", "no such window")


def categorize(name: str, message: str) -> Category:
    """Sort an error by its type name and message, both verbatim from the browser."""
    text = f"{name}: {message}".lower()
    if any(word in text for word in _OF_THE_DRIVER):
        return Category.OTHER
    for category, needles in _PATTERNS:
        if any(_said(needle, text) for needle in needles):
            return category
    return Category.OTHER


def _said(needle: str, text: str) -> bool:
    """Short words only as words of their own: a `room` is no `oom`, a `hint` no `tint`."""
    if len(needle) > _SHORT:
        return needle in text
    return re.search(rf"\b{needle}\b", text) is not None
