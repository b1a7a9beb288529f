"""Faults of the database, each while a finished run is being recorded; they end with the attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from bench.errors import InputError
from bench.harness.injection import Injection


class Locked(Injection):
    """Somebody else holds the writer's lock and does not let go."""

    @contextmanager
    def recording(self, engine: sa.Engine) -> Iterator[None]:
        """Hold the lock as long as the run is being recorded."""
        with engine.connect() as other:
            other.execution_options(bench_writes=True)  # on SQLite it begins with the writer's lock
            with other.begin():
                if engine.dialect.name == "postgresql":
                    other.exec_driver_sql("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
                yield


class Full(Injection):
    """There is no room for another page: what a full disk is to SQLite."""

    @contextmanager
    def recording(self, engine: sa.Engine) -> Iterator[None]:
        """Let no connection grow the file as long as the run is being recorded."""

        def limit(connection: sa.Connection) -> None:
            if engine.dialect.name != "sqlite":
                raise InputError("the fault store_full is one of SQLite: no client can fill a server's disk")
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            # What its pages have left may do for one run; for this, in the same transaction, it does not.
            connection.exec_driver_sql("CREATE TABLE filler AS SELECT zeroblob(1000000)")

        with _at_every_begin(engine, limit):
            yield


class ReadOnly(Injection):
    """It may be read and not written: a disk remounted, a server that became a replica."""

    @contextmanager
    def recording(self, engine: sa.Engine) -> Iterator[None]:
        """Refuse every write as long as the run is being recorded."""
        refuse = "PRAGMA query_only = ON" if engine.dialect.name == "sqlite" else "SET TRANSACTION READ ONLY"

        def begun(connection: sa.Connection) -> None:
            connection.exec_driver_sql(refuse)

        with _at_every_begin(engine, begun):
            yield


@contextmanager
def _at_every_begin(engine: sa.Engine, do: Callable[[sa.Connection], None]) -> Iterator[None]:
    sa.event.listen(engine, "begin", do)
    try:
        yield
    finally:
        sa.event.remove(engine, "begin", do)
        engine.dispose()  # what was set is the connection's
