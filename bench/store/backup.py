"""A copy of an SQLite database that has been looked at, before anything is done to the original."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bench.errors import StoreError
from bench.store.address import one_line, parse_url, reading, shown, sqlite_path
from bench.store.schema import OUR_TABLES


def backup(url: str | None = None, target: Path | None = None) -> Path:
    """Copy a database while others may write to it, and check the copy.

    Args:
        url: as for `open_store`.
        target: the new file; None for one beside the database, with the time in its name.

    Returns:
        the copy; to restore, stop every campaign and put it in the database's place.

    Raises:
        StoreError: the database is not an SQLite file, the target exists, or the copy differs
            (then it is removed).
    """
    address = parse_url(url)
    source = sqlite_path(address)
    if source is None:
        raise StoreError(
            f"{shown(address)} is not an SQLite file: back it up with its own tools, for example pg_dump"
        )
    if not source.is_file():
        raise StoreError(f"no database at {source}: nothing to back up")
    copy = target or source.with_name(f"{source.stem}.backup-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.sqlite")
    if copy.exists():
        raise StoreError(f"{copy} is there already: name a new file for the backup")
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        uri = reading(source)
        opened = sqlite3.connect(uri or str(source), uri=uri is not None)
        with closing(opened) as original, closing(sqlite3.connect(copy)) as made:
            original.backup(made, pages=4096)
            problem = _difference(original, made)
            # One file that can be read where nothing may be written; a campaign on it switches back.
            made.execute("PRAGMA journal_mode = DELETE")
    except (sqlite3.Error, OSError) as error:
        copy.unlink(missing_ok=True)
        raise StoreError(f"cannot back {source} up to {copy}: {one_line(error)}") from None
    if problem:
        copy.unlink(missing_ok=True)
        raise StoreError(f"the backup of {source} is not sound ({problem}): nothing was changed")
    return copy


def _difference(original: sqlite3.Connection, made: sqlite3.Connection) -> str | None:
    """What is wrong with the copy, or None."""
    words = [str(row[0]) for row in made.execute("PRAGMA integrity_check")]
    if words != ["ok"]:
        return one_line(words[0])
    there = {row[0] for row in made.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in sorted(OUR_TABLES & there):
        query = f"SELECT count(*) FROM {table}"  # noqa: S608 - a name of our own
        counted, copied = (one.execute(query).fetchone()[0] for one in (original, made))
        # Somebody may have written since: rows are never removed, so the copy may only have fewer.
        if copied > counted:
            return f"{copied} rows of {table}, the original has {counted}"
    return None
