"""`bench recommend`: which precision, browser and platform to take, and why."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from bench.cli.db import Database
from bench.cli.flags import Campaign, Output, Since, Where, choose
from bench.cli.rows import Format, check_format, give
from bench.cli.tables import Layout
from bench.errors import InputError
from bench.metrics import DECODE, LATENCY
from bench.report import words
from bench.report.board import Board
from bench.report.choice import RANKED, Choice, choices
from bench.report.choice import name as named
from bench.store import open_store

_ARM = (
    *("requested_platform", "browser", "browser_version", "effective_device", "adapter"),
    *("requested_bits", "effective_bits_mean", "requested_mixed_precision", "latency_ms_median"),
    *("latency_ms_ci95_low", "latency_ms_ci95_high", "decode_ms_median", "decode_ms_ci95_low"),
    *("decode_ms_ci95_high", "decode_tokens_per_s", "prefill_tokens_per_s"),
    *("sessions", "weight_bytes", "memory_reduction", "cosine_fp32_low", "greedy_agreement"),
)
_HEADINGS = ("model", "take", "ms [95 %]", "tokens/s [95 %]", "MB", "cosine", "cells", "why")

_TOKENS = _HEADINGS.index("tokens/s [95 %]")
_LAYOUT = Layout(spare=("MB", "cells"), own=("take", "why"))


def recommend_command(
    where: Where = None,
    campaign: Campaign = None,
    since: Since = None,
    least_cosine: Annotated[
        float, typer.Option("--min-cosine", metavar="X", help="What it must keep, from -1 to 1.")
    ] = 0.99,
    most_megabytes: Annotated[
        float | None, typer.Option("--max-mb", metavar="MB", help="Most megabytes of weights.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="COL",
            show_default=False,
            help=f"What it is chosen by: {', '.join(RANKED)}; else {DECODE} of language models, {LATENCY} of "
            "others.",
        ),
    ] = None,
    least_greedy: Annotated[
        float | None,
        typer.Option(
            "--min-greedy", metavar="X", help="Tokens that must be the unquantized model's, 0 to 1."
        ),
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", help="How it is given.")] = Format.TABLE,
    output: Output = None,
    db: Database = None,
) -> None:
    """Recommend an arm for each model and shape, from stored runs alone, with the reason and the coverage.

    Of the arms that ran as requested, kept the least cosine to the unquantized model in every session and
    fit the limit: the fastest (of language models by a token after the prompt); of those that its interval
    does not tell from it, the one with the fewest bytes. A fallback is never recommended. Exit code 3 where
    no arm of any model meets the limits.
    """
    check_format(output_format, output)
    _check(least_cosine, most_megabytes, least_greedy, metric)
    most = None if most_megabytes is None else int(most_megabytes * 1e6)
    with open_store(db, create=False) as store:
        arms = Board.load(store, where, campaign=campaign, since=since).arms
    found = choices(arms, least_cosine, most, metric, least_greedy)
    if not found:
        raise InputError("no runs to recommend from: see what there is with bench query")
    rows = [_row(one) for one in found]
    lines = [_texts(one) for one in found]
    give(rows, list(rows[0]), output_format, output, shown=_shown(lines), noun="model", layout=_LAYOUT)
    if all(one.arm is None for one in found):
        raise typer.Exit(3)


def _shown(lines: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Headings and lines, without the column that only language models fill where there is none."""
    tokens = any(line[_TOKENS] for line in lines)
    kept = [place for place in range(len(_HEADINGS)) if tokens or place != _TOKENS]
    return [_HEADINGS[place] for place in kept], [[line[place] for place in kept] for line in lines]


def _check(
    least_cosine: float, most_megabytes: float | None, least_greedy: float | None, metric: str | None
) -> None:
    """Raise InputError for a limit that is none."""
    if not -1 <= least_cosine <= 1:
        raise InputError(f"--min-cosine {least_cosine} is not a cosine: use a number from -1 to 1")
    if most_megabytes is not None and not 0 < most_megabytes < math.inf:
        raise InputError(f"--max-mb {most_megabytes}: must be a number greater than 0")
    if least_greedy is not None and not 0 <= least_greedy <= 1:
        raise InputError(f"--min-greedy {least_greedy} is no share: use a number from 0 to 1")
    if metric is not None:
        choose("--metric", metric, tuple(RANKED))


def _row(one: Choice) -> dict[str, Any]:
    arm = one.arm
    return {
        "model": one.model,
        "sequence_length": one.tokens,
        "batch_size": one.batch,
        "generate": one.generate,
        "host": one.host or None,
        "recommended": named(arm) if arm else None,
        **{column: arm and arm.get(column) for column in _ARM},
        "why": one.why,
        "cells_ran": one.ran,
        "cells_asked": one.asked,
    }


def _texts(one: Choice) -> list[str]:
    arm = one.arm
    batch = f", batch {one.batch}" if one.batch != 1 else ""
    numbers = ["none", "", "", "", ""]
    if arm is not None:
        size = "" if not (held := arm["weight_bytes"]) else f"{held / 1e6:.1f}"
        cosine = f"{arm['cosine_fp32_low']:.4f}"
        numbers = [named(arm), words.latency(arm), words.tokens(arm), size, cosine]
    where = f" ({one.host})" if one.host else ""
    more = f" + {one.generate}" if one.generate else ""
    return [
        f"{one.model}, {one.tokens}{more} tokens{batch}",
        *numbers,
        f"{one.ran}/{one.asked}",
        one.why + where,
    ]
