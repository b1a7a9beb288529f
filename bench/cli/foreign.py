"""`bench query --foreign`: results of other tools, in the forms that runs have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cli.rows import Format, give, named_columns
from bench.report import words
from bench.store import open_store
from bench.store.foreign import FOREIGN

Row = dict[str, Any]
NOTE = "measured by other tools: nobody here verified these numbers"
_HEADINGS = ("result", "campaign", "test", "metric", "value", "n", "bits", "model", "backend", "browser")
_NESTED = ("samples", "record")


def query_foreign(
    where: str | None,
    campaign: str | None,
    columns: str | None,
    order: tuple[str | None, int | None],
    to: tuple[Format, Path | None],
    db: str | None,
) -> None:
    """Read and print them.

    Args:
        where, campaign, columns, db: as for runs.
        order: `--sort` and `--limit`.
        to: `--format` and `--output`.

    Raises:
        InputError: a filter, column, campaign or limit that cannot be.
    """
    names = named_columns(columns, FOREIGN)
    with open_store(db, create=False) as store:
        rows = store.foreign(where, campaign=campaign, sort=order[0], limit=order[1])
    shown = None if names is not None else (_HEADINGS, [_short(row) for row in rows])
    kinds = {item.name: str if item.name in _NESTED else item.type.python_type for item in FOREIGN.c}
    if to[0] not in (Format.JSON, Format.JSONL):
        rows = [{**row, **{name: _text(row[name]) for name in _NESTED}} for row in rows]
    give(rows, names or list(kinds), *to, shown=shown, kinds=kinds, noun="result", notes=[NOTE])


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False)


def _short(row: Row) -> Sequence[str]:
    value = "" if row["value"] is None else f"{words.number(row['value'], 5)} {row['unit'] or ''}".rstrip()
    return [
        str(row["id"]),
        *(words.visible(str(row[name])) for name in ("campaign", "test", "metric")),
        value,
        "" if row["n"] is None else str(row["n"]),
        words.number(row["bits_mean"], 3),
        *(words.visible(str(row[name] or "")) for name in ("model", "backend")),
        words.visible(f"{row['browser'] or ''} {words.short_version(row['browser_version'])}".strip()),
    ]
