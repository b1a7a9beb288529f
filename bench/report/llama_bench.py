"""Rows of language models as llama-bench prints its own: a Markdown table, a line a test.

Source: llama.cpp, tools/llama-bench: units, digits, and `±`, the standard deviation of the repetitions.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from bench.plan import shapes
from bench.plan.request import OPTIONS
from bench.record import Sample
from bench.report import words
from bench.report.row import Row, value_at, writes

HEADINGS = ("model", "size", "params", "backend", "browser", "test", "t/s")
_PLATFORMS = {"webgpu": "WebGPU", "webnn": "WebNN", "wasm": "WASM"}
_RIGHT = ("size", "params", "test", "t/s")
_LEFT_OUT = ("generate", "engine", "batch_size")  # they stand in other columns


def table(rows: Sequence[Row], samples: Mapping[int, Sequence[Sample]]) -> list[str]:
    """Lines of the table, and beneath it what is not in it and what built the numbers.

    Two lines a run: its prompt, and what it wrote after that. A run without numbers says its outcome.

    Args:
        rows: of `run_summary`; those of other models are counted beneath.
        samples: run -> its samples.
    """
    asked = [row for row in rows if writes(row)]
    body = [line for row in asked for line in _lines(row, samples.get(row["id"], ()))]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *body, strict=True)]
    rule = [
        "-" * (width - 1) + ":" if head in _RIGHT else "-" * width
        for head, width in zip(HEADINGS, widths, strict=True)
    ]
    lines = [_line(HEADINGS, widths), _line(rule, widths), *(_line(one, widths) for one in body), ""]
    if left := len(rows) - len(asked):
        lines.append(f"{left} run{'' if left == 1 else 's'} of models that write no text left out")
    builds = words.distinct(row["harness_version"] for row in asked)
    return [*lines, f"build: webquant-bench {', '.join(builds)}"] if builds else lines


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    cells = (
        text.rjust(width) if head in _RIGHT else text.ljust(width)
        for head, text, width in zip(HEADINGS, texts, widths, strict=True)
    )
    return f"| {' | '.join(cells)} |"


def _lines(row: Row, samples: Sequence[Sample]) -> list[list[str]]:
    prompt, written = row["requested_sequence_length"], row["requested_generate"] or 0
    said = (one.option_said(value_at(row, one.column)) for one in OPTIONS if one.name not in _LEFT_OUT)
    model = " ".join(filter(None, [row["requested_model"], f"{words.bits(row)}-bit", *said]))
    ran = row["effective_platform"] or row["requested_platform"]
    engine = row["effective_engine"] or value_at(row, "requested_engine")
    same = [
        words.visible(model).replace("|", "\\|"),
        _size(row["weight_bytes"]),
        _count(value_at(row, "model_parameters")),
        f"{_PLATFORMS.get(ran, ran)} {engine}",
        f"{row['browser']} {words.short_version(row['browser_version'])}".rstrip(),
    ]
    batch = row["requested_batch_size"]
    return [
        [*same, shapes.of_prompt(prompt), _rate(row, samples, "prefill", batch * prompt)],
        [*same, shapes.of_text(written, prompt), _rate(row, samples, "decode", batch)],
    ]


def _rate(row: Row, samples: Sequence[Sample], phase: str, tokens: int) -> str:
    """`97.52 ± 0.32`: mean and standard deviation of the samples' rates; the outcome where there is none."""
    column = "prefill_tokens_per_s" if phase == "prefill" else "decode_tokens_per_s"
    if value_at(row, column) is None:
        return str(row["outcome"])
    rates = [1000 * tokens / one.value_ms for one in samples if (one.phase, one.kind) == (phase, "measure")]
    if not rates:  # samples are not kept for ever
        return f"{value_at(row, column):.2f}"
    spread = statistics.stdev(rates) if len(rates) > 1 else 0.0
    return f"{statistics.fmean(rates):.2f} ± {spread:.2f}"


def _size(value: int | None) -> str:
    if value is None:
        return ""
    return f"{value / 2**20:.2f} MiB" if value < 2**30 else f"{value / 2**30:.2f} GiB"


def _count(value: int | None) -> str:
    if value is None:
        return ""
    return f"{value / 1e6:.2f} M" if value < 1e9 else f"{value / 1e9:.2f} B"
