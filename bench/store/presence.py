"""Whether the file of an open SQLite database is still the one at its path, and what is done where it is not.

SQLite writes on into a file that was deleted, moved or replaced: every commit succeeds, and nobody ever finds
what was written. So each commit looks first.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from bench.errors import StoreGone

_BESIDE = ("-wal", "-shm")


def guard(engine: sa.Engine, path: Path) -> None:
    """Let the engine refuse a commit, or another connection, where the path holds another file or none.

    Args:
        engine: that nothing has connected with yet.
        path: its file, which may be made by the first connection.
    """
    own: dict[str, tuple[int, int] | None] = {}

    def look() -> None:
        if "" in own and _identity(path) != own[""]:
            _clear_log(path, own)
            raise StoreGone(path)
        for part in _BESIDE:
            own[part] = _identity(path.with_name(path.name + part))

    @sa.event.listens_for(engine, "do_connect")
    def before(*_: object) -> None:
        look()  # SQLite would make an empty file

    @sa.event.listens_for(engine, "connect")
    def after(*_: object) -> None:
        own.setdefault("", _identity(path))

    @sa.event.listens_for(engine, "commit")
    def committing(_: sa.Connection) -> None:
        look()


def copy(engine: sa.Engine, path: Path) -> None:
    """Write all that the open database holds into a new file, also where its own file is gone.

    Raises:
        OSError: the file cannot be written, or the database cannot be read.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with contextlib.closing(engine.raw_connection()) as opened:
            source = opened.driver_connection
            assert isinstance(source, sqlite3.Connection)
            with contextlib.closing(sqlite3.connect(part)) as target:
                source.backup(target)
        part.replace(path)
    except (StoreGone, sqlite3.Error, sa.exc.SQLAlchemyError) as error:
        raise OSError(str(error)) from None
    finally:
        part.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from any other; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _clear_log(path: Path, own: dict[str, tuple[int, int] | None]) -> None:
    """Our log beside a file that took the place of ours would be read into that one, and ruin it.

    The open connections keep what it holds.
    """
    if _identity(path) is None:
        return
    for part in _BESIDE:
        beside = path.with_name(path.name + part)
        if own.get(part) is not None and _identity(beside) == own[part]:
            with contextlib.suppress(OSError):
                beside.unlink()
