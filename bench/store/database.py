"""Opening, upgrading and checking a database."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError

from bench.errors import StoreError
from bench.store import presence, revision
from bench.store.address import cannot_open, make_engine, one_line, parse_url, reads_only, shown, sqlite_path
from bench.store.backup import backup
from bench.store.filter import Condition
from bench.store.revision import State
from bench.store.schema import OUR_TABLES, SUMMARY
from bench.store.store import Store


@dataclass(frozen=True)
class CheckReport:
    """What `bench db check` found; `problems` is empty where all is well.

    `counts` holds the number of rows of each table of ours, `notes` what is no damage and must be known.
    """

    url: str
    revision: str | None
    head: str
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def open_store(url: str | None = None, *, create: bool = True) -> Store:
    """Open the results database, and make it first where there is none.

    Args:
        url: an SQLAlchemy URL; else the environment's BENCH_DB, else `sqlite:///results/bench.sqlite`.
        create: make a missing database. False for readers: nothing is written then.

    Raises:
        StoreError: it cannot be opened, is not ours, or has another schema than this program.
    """
    address = parse_url(url)
    _look_at_path(address, create=create)
    engine = make_engine(address, reads=not create)
    path = sqlite_path(address)
    if path is not None:
        presence.guard(engine, path)
    try:
        with _one_line_errors(address):
            _accept(engine, address, create=create)
            if create and path is not None:
                _use_wal(engine)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, shown(address))


@contextmanager
def filled(url: str | None = None) -> Iterator[Store]:
    """As `open_store`, for an import: where it is refused there is no new file, nor anything in an old one.

    Raises:
        StoreError: as `open_store`; or another program made the file meanwhile, which then stays as it is.
    """
    address = parse_url(url)
    path = sqlite_path(address)
    if path is None or path.exists():
        with open_store(url) as store:
            yield store
        return
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open_store(address.set(database=str(part)).render_as_string(hide_password=False)) as store:
            yield store
        if path.exists():
            raise StoreError(f"{path} was made by another program meanwhile: import again, into that one")
        part.rename(path)
    finally:
        for suffix in ("", "-wal", "-shm"):
            part.with_name(part.name + suffix).unlink(missing_ok=True)


def upgrade(url: str | None = None) -> tuple[str | None, str, Path | None]:
    """Bring a database to this program's schema, as one transaction.

    An SQLite file that holds anything is copied beside itself first, and the copy is checked.

    Returns:
        the revision before (None for a new database) and after, and the backup, where one was made.

    Raises:
        StoreError: as `open_store`, except that an older schema is what this is for.
    """
    address = parse_url(url)
    _look_at_path(address, create=True)
    engine = make_engine(address)
    try:
        with _one_line_errors(address):
            with engine.connect() as connection:
                found = revision.state(connection)
                before = revision.current(connection)
            if found in (State.NEWER, State.FOREIGN):
                raise _refusal(found, address, before)
            copy = None
            if found is State.OLDER and sqlite_path(address) is not None:
                copy = backup(url)
            if found is not State.CURRENT:
                _migrate(engine)
            if sqlite_path(address) is not None:
                _use_wal(engine)
        return before, revision.head(), copy
    finally:
        engine.dispose()


def check(url: str | None = None) -> CheckReport:
    """Look for damage: SQLite's own checks, the revision, and the rows of each table. Writes nothing.

    Raises:
        StoreError: it cannot be opened at all, or is not ours.
    """
    address = parse_url(url)
    _look_at_path(address, create=False)
    engine = make_engine(address, reads=True)
    try:
        with _one_line_errors(address), engine.connect() as connection:
            found, stored = revision.state(connection), revision.current(connection)
            if found in (State.FOREIGN, State.EMPTY):
                raise _refusal(found, address, stored)
            problems = [] if found is State.CURRENT else [one_line(_refusal(found, address, stored))]
            if engine.dialect.name == "sqlite":
                problems += _sqlite_problems(connection)
            there = OUR_TABLES & set(sa.inspect(connection).get_table_names())  # an old schema has fewer
            counts = {
                table: connection.scalar(sa.select(sa.func.count()).select_from(sa.table(table))) or 0
                for table in sorted(there)
            }
            notes = _notes(connection) if found is State.CURRENT else []
        return CheckReport(shown(address), stored, revision.head(), counts, problems, notes)
    finally:
        engine.dispose()


def _notes(connection: sa.Connection) -> list[str]:
    """What is no damage and must be known: latencies that are a timer's, and those that waited plainly."""
    measured = SUMMARY.c.latency_ms_median.is_not(None)
    found = []
    if runs := _numbers(connection, measured, SUMMARY.c.timer_ms.is_not(None)):
        found.append(
            f"{_named(runs)}: the samples sit on the browser's timer, so the latency is not the model's; "
            "comparisons, charts and recommendations leave it out"
        )
    plain = (SUMMARY.c.effective_platform == "webgpu", SUMMARY.c.effective_wait == "plain")
    if runs := _numbers(connection, measured, *plain, SUMMARY.c.timer_ms.is_(None)):
        found.append(
            f"{_named(runs)}: an older page waited plainly, so the latency holds the 1 to 2 ms that Chromium "
            "may take to notice; compare it with runs that waited alike"
        )
    return found


def _numbers(connection: sa.Connection, *conditions: Condition) -> list[int]:
    query = sa.select(SUMMARY.c.id).where(*conditions).order_by(SUMMARY.c.id)
    return list(connection.scalars(query))


def _named(runs: Sequence[int]) -> str:
    """`runs 72, 86 to 88`."""
    spans: list[list[int]] = []
    for number in runs:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    shown = [str(one) if one == last else f"{one} to {last}" for one, last in spans]
    return f"run{'s' * (len(runs) > 1)} {', '.join(shown)}"


def _sqlite_problems(connection: sa.Connection) -> list[str]:
    words = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    problems = [f"integrity: {one_line(word)}" for word in words if word != "ok"]
    for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        problems.append(f"foreign key: row {row} of {table} names a row of {parent} that is not there")
    return problems


def _look_at_path(address: URL, *, create: bool) -> None:
    """Say what is wrong with an SQLite file before SQLite would make an empty one of it."""
    path = sqlite_path(address)
    if create and reads_only(address):
        raise StoreError(f"{shown(address)} may only be read (mode=ro): leave that out to write into it")
    if path is None:
        return
    try:
        if path.is_dir():
            raise StoreError(
                f"cannot open the database {shown(address)}: {path} is a folder; name a file in it"
            )
        if path.exists():
            return
        if not create:
            raise StoreError(f"no database at {path}: `bench run` makes one, or name another with --db URL")
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_open(address, error.strerror or error) from None


def _accept(engine: sa.Engine, address: URL, *, create: bool) -> None:
    with engine.connect() as connection:
        found = revision.state(connection)
        stored = revision.current(connection)
    if found is State.CURRENT:
        return
    if found is State.EMPTY and create:
        _migrate(engine)
        return
    raise _refusal(found, address, stored)


def _migrate(engine: sa.Engine) -> None:
    # Whoever comes second waits for the lock and then finds nothing left to do.
    with engine.connect().execution_options(bench_writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")  # a migration may take its time
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7291843)")
        revision.upgrade_to_head(connection)


def _use_wal(engine: sa.Engine) -> None:
    """Readers beside a writer. The file keeps the mode; a read-only one keeps the mode it has."""
    raw = engine.raw_connection()
    try:
        with suppress(Exception):  # busy or read-only: works as well without, only slower
            raw.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        raw.close()


def _refusal(found: State, address: URL, stored: str | None) -> StoreError:
    name = shown(address)
    if found is State.OLDER:
        return StoreError(
            f"the database {name} has the older schema {stored}: run `bench db upgrade` "
            "(it makes a backup first)"
        )
    if found is State.NEWER:
        return StoreError(
            f"the database {name} comes from a newer version of this program (schema {stored}, "
            f"this one knows {revision.head()}): update webquant-bench"
        )
    if found is State.EMPTY:
        return StoreError(f"the database {name} is empty: `bench run` fills it, or name another with --db")
    return StoreError(
        f"the database {name} belongs to another program: name another with --db; nothing was written"
    )


@contextmanager
def _one_line_errors(address: URL) -> Iterator[None]:
    try:
        yield
    except (OperationalError, DBAPIError) as error:
        raise cannot_open(address, error) from None
    except UnicodeError as error:
        raise cannot_open(address, error) from None
