"""What `llama-bench -o json` and `-o jsonl` print, one object a test (llama.cpp, tools/llama-bench).

An object has the build, the machine, the model, the test's shape, and the repetitions twice: as nanoseconds
and as tokens per second. Its fields have changed over the years; what is asked for here all of them have.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from bench.store.exchange.result import ForeignFile, ForeignResult, unreadable

NAME = "llama-bench"
_MARKS = ('"build_commit"', '"avg_ts"')


class _Test(BaseModel):
    """The fields that are read; the whole object is kept besides."""

    model_config = ConfigDict(extra="allow")

    build_commit: str
    build_number: int
    cpu_info: str | None = None
    gpu_info: str | None = None
    backends: str | None = None
    model_filename: str
    model_size: int = Field(ge=0)
    model_n_params: int = Field(ge=0)
    n_prompt: int = Field(ge=0)
    n_gen: int = Field(ge=0)
    n_depth: int = Field(default=0, ge=0)
    test_time: str
    avg_ns: FiniteFloat
    avg_ts: FiniteFloat
    samples_ns: list[FiniteFloat]
    samples_ts: list[FiniteFloat]


def claims(path: Path) -> bool:
    """Whether a file looks like this tool's: its words stand near the beginning."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(8192).decode("utf-8", "replace")
    return all(mark in start for mark in _MARKS)


def read(path: Path) -> ForeignFile:
    """Two results a test: its speed and its time.

    Raises:
        InputError: the file is torn or no such output; the message names the line.
    """
    results = []
    for place, item in _objects(path):
        try:
            test = _Test.model_validate(item)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise unreadable(place, f"{where or 'test'}: {first['msg']}") from None
        results += _results(test, item)
    if not results:
        raise unreadable(path, "it holds no test")
    return ForeignFile(NAME, path.stem, results)


def _objects(path: Path) -> list[tuple[str, Any]]:
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.lstrip().startswith("["):
        try:
            return [(f"{path}, test {number}", item) for number, item in enumerate(json.loads(text), start=1)]
        except (ValueError, RecursionError) as error:
            raise unreadable(path, f"{error}: llama-bench was cut off, or wrote something else") from None
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                found.append((f"{path}, line {number}", json.loads(line)))
            except (ValueError, RecursionError) as error:
                raise unreadable(f"{path}, line {number}", f"{error}: the line is torn") from None
    return found


def _results(test: _Test, item: dict[str, Any]) -> list[ForeignResult]:
    """Nothing here is computed but the mean bits, which the file's own two numbers give exactly."""
    same: dict[str, Any] = {
        "tool": NAME,
        "tool_version": f"{test.build_number} ({test.build_commit})",
        "cpu": test.cpu_info or None,
        "gpu": test.gpu_info or None,
        "backend": test.backends or None,
        "model": _file_name(test.model_filename),
        "bits_mean": 8 * test.model_size / test.model_n_params if test.model_n_params else None,
        "test": _shape(test),
        "record": item,
        "started_at": test.test_time,
    }
    speed = ForeignResult(
        **same,
        metric="avg_ts",
        unit="t/s",
        direction="higher",
        value=test.avg_ts,
        n=len(test.samples_ts),
        samples=test.samples_ts,
    )
    time = ForeignResult(
        **same,
        metric="avg_ns",
        unit="ns",
        direction="lower",
        value=test.avg_ns,
        n=len(test.samples_ns),
        samples=test.samples_ns,
    )
    return [speed, time]


def _file_name(path: str) -> str:
    return (PureWindowsPath(path) if "\\" in path else PurePosixPath(path)).name or path


def _shape(test: _Test) -> str:
    """As llama-bench names it in its own tables: pp512, tg128, pp512+tg128, with the depth behind."""
    parts = [f"pp{test.n_prompt}"] * (test.n_prompt > 0) + [f"tg{test.n_gen}"] * (test.n_gen > 0)
    return "+".join(parts or ["pp0"]) + (f" @ d{test.n_depth}" if test.n_depth else "")
