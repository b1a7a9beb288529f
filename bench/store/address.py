"""From a database URL to an engine: what is allowed, what is hidden, and how errors read."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from bench.errors import StoreError

DEFAULT_URL = "sqlite:///results/bench.sqlite"
BUSY_SECONDS = 5.0
READ_ONLY = ("mode", "ro")

_WITH_A_LOG = b"\x02\x02"  # the header's read and write version: https://sqlite.org/fileformat2.html

_SECRET = re.compile(r"(://[^:/?#\s]*:)\S*@")  # to the last @: a password may hold one
_SECRET_OPTION = re.compile(r"((?:password|sslpassword|passfile)=)[^&\s]*", re.IGNORECASE)


def one_line(text: object, limit: int = 300) -> str:
    """Any message on one line, cut at `limit` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def shown(url: URL | str) -> str:
    """The URL as it may be printed: on one line, without its password."""
    text = url.render_as_string(hide_password=True) if isinstance(url, URL) else url
    return one_line(_SECRET_OPTION.sub(r"\1***", _SECRET.sub(r"\1***@", text)))


def parse_url(text: str | None) -> URL:
    """The URL to use: the argument, else BENCH_DB, else the default.

    Raises:
        StoreError: it is not a URL, or names a database we do not write.
    """
    given = text or os.environ.get("BENCH_DB") or DEFAULT_URL
    # The bare names would ask for another driver than the one that our extra installs.
    given = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", given)
    allowed = f"use sqlite:///FILE (for example {DEFAULT_URL}) or postgresql://USER@HOST/NAME"
    if not given.isprintable():
        raise StoreError(f"cannot read the database URL {shown(ascii(given))}: {allowed}")
    try:
        url = sa.make_url(given)
        dialect = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise StoreError(f"cannot read the database URL '{shown(given)}': {allowed}") from None
    if dialect not in ("sqlite", "postgresql"):
        raise StoreError(f"no support for the database '{dialect}' in '{shown(url)}': {allowed}")
    return _sqlite_url(url) if dialect == "sqlite" else url


def _sqlite_url(url: URL) -> URL:
    """The URL with the home folder in place of `~`; its options are those that we honour.

    SQLAlchemy would pass over any other, `mode=ro` too, and write.
    """
    for name, value in url.query.items():
        if (name, value) != READ_ONLY:
            given = value if isinstance(value, str) else ", ".join(value)
            raise StoreError(
                f"unknown option {shown(f'{name}={given}')!r} in the database URL {shown(url)}; "
                "allowed: mode=ro (read, never write)"
            )
    name = url.database or ""
    if name.startswith("file:"):
        raise StoreError(
            f"cannot read the database URL {shown(url)}: name the file itself, sqlite:///{name[5:]}"
        )
    if name.startswith("~"):
        home = os.path.expanduser(name)  # noqa: PTH111 - leaves it alone where there is no such user
        if home.startswith("~") and "/" in home:
            raise StoreError(
                f"cannot read the database URL {shown(url)}: no home folder {name.partition('/')[0]}; "
                "a folder of that name is ./~..."
            )
        url = url.set(database=home)
    return url


def reads_only(url: URL) -> bool:
    """Whether the URL says that nothing may be written."""
    return READ_ONLY in url.query.items()


def reading(path: Path, *, only: bool = False) -> str | None:
    """The URI by which SQLite can read this file; None where its plain name will do.

    A database with a write-ahead log needs files beside it, even to be read. Where they cannot be made and
    there is no log, nobody has it open, and it is read as the unchanging file that it is.

    Args:
        path: the file.
        only: whether nothing may be written, even where it could be.

    Raises:
        StoreError: there is a log that cannot be read here.
    """
    uri = f"{path.resolve().as_uri()}?mode=ro"
    if not path.is_file() or os.access(path.parent, os.W_OK):
        return uri if only else None
    with path.open("rb") as file:
        head = file.read(20)
    if head[18:20] != _WITH_A_LOG:
        return uri if only else None
    log, index = (path.with_name(f"{path.name}-{part}") for part in ("wal", "shm"))
    if not log.exists() or log.stat().st_size == 0:
        return f"{uri}&immutable=1"
    if index.exists() and os.access(index, os.R_OK) and os.access(log, os.R_OK):
        return uri
    raise StoreError(
        f"cannot read the database {path}: what was written last is in {log.name}, and nothing can be "
        f"written into {path.parent}; copy both to where you can, for example: cp {path}* /tmp, then "
        f"--db sqlite:////tmp/{path.name}"
    )


def sqlite_path(url: URL) -> Path | None:
    """The file behind an SQLite URL; None for a server or a database in memory."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    name = url.database.removeprefix("file:")
    return None if name.startswith(":memory:") else Path(name)


def cannot_open(url: URL, cause: object) -> StoreError:
    """One line for whatever the driver said, and what to do about it."""
    reason = one_line(getattr(cause, "orig", None) or cause)
    path = sqlite_path(url)
    if "not a database" in reason or "malformed" in reason:
        advice = "name another file with --db, or restore it from a backup"
    elif "readonly" in reason and path is not None:
        advice = (
            "the file or its folder may not be written: "
            f"`bench db backup FILE --db {shown(url)}` makes a copy elsewhere"
        )
    elif path is None and url.get_backend_name() == "postgresql":
        advice = "check the server, the name and the rights, or choose another with --db"
    else:
        advice = "check the path and its permissions, or choose another with --db"
    return StoreError(f"cannot open the database {shown(url)}: {shown(reason)}; {advice}")


def make_engine(url: URL, *, reads: bool = False) -> sa.Engine:
    """An engine with our SQLite settings; opens nothing yet.

    Args:
        url: as `parse_url` gives it.
        reads: whether it serves one who only reads, also where nothing may be written.

    Raises:
        StoreError: the driver is not installed, or refuses the URL's options; an SQLite file that cannot be
            read where it is.
    """
    sqlite = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"timeout": BUSY_SECONDS} if sqlite else {"connect_timeout": 10}
    options: dict[str, Any] = {"connect_args": arguments}
    if not sqlite:
        # As long as SQLite waits; without it a lock that is never let go stops a campaign for good.
        given = url.query.get("options") or os.environ.get("PGOPTIONS", "")
        arguments["options"] = f"{given} -c lock_timeout={int(BUSY_SECONDS * 1000)}"
        options["pool_pre_ping"] = True  # hours pass between two runs: a server may have been restarted
    if sqlite and sqlite_path(url) is None:
        options["poolclass"] = sa.StaticPool  # a database in memory lives in its one connection
        arguments["check_same_thread"] = False
    path = sqlite_path(url)
    if path is not None and (reads or reads_only(url)):
        try:
            uri = reading(path, only=reads_only(url))
        except OSError as error:
            raise cannot_open(url, error.strerror) from None
        if uri is not None:
            options["creator"] = lambda: sqlite3.connect(
                uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False
            )
    try:
        engine = sa.create_engine(url.difference_update_query([READ_ONLY[0]]), **options)
    except NoSuchModuleError:
        raise StoreError(f"no driver for the database URL '{shown(url)}': use postgresql://...") from None
    except ImportError:
        raise StoreError(
            f"the driver for {shown(url)} is not installed: pip install 'webquant-bench[postgres]'"
        ) from None
    except (ArgumentError, TypeError, ValueError) as error:
        raise cannot_open(url, error) from None
    if sqlite:
        _set_up_sqlite(engine)
    return engine


def _set_up_sqlite(engine: sa.Engine) -> None:
    """Let SQLAlchemy own transactions, DDL included, and hold what SQLite leaves loose by default."""

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver would commit before DDL and begin late
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        # A writer takes its lock first: two that read and then both write could only fail.
        writes = connection.get_execution_options().get("bench_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
