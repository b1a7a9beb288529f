"""Where a campaign came from: planned here, another tool's, or taken in from an export.

An imported campaign keeps the name of the folder beside its settings. That is of this database alone: it is
in no export, and in no campaign that is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_IMPORTED = "imported"


def marked(settings: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Settings that remember the export they came in."""
    return {**settings, _IMPORTED: folder}


def unmarked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the campaign was planned with them."""
    return {name: value for name, value in settings.items() if name != _IMPORTED}


def imported(settings: Mapping[str, Any]) -> str | None:
    """The export it came in; None where it did not."""
    folder = settings.get(_IMPORTED)
    return None if folder is None else str(folder)


def shown(row: Mapping[str, Any]) -> str:
    """Of a row of `Store.campaigns`: `own`, the name of another tool, or `imported: FOLDER`."""
    return str(row["origin"] if row["imported"] is None else f"imported: {row['imported']}")
