"""The closed vocabulary of a run: outcomes, stages, error categories."""

from __future__ import annotations

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
        ("shader compilation", "error while parsing wgsl", "shader module", "shadermodule", "wgsl", "tint"),
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


def categorize(name: str, message: str) -> Category:
    """Sort an error by its type name and message, both verbatim from the browser."""
    text = f"{name}: {message}".lower()
    for category, needles in _PATTERNS:
        if any(needle in text for needle in needles):
            return category
    return Category.OTHER
