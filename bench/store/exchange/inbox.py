"""What every part of an import uses: the connection, the files, the account of what was done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from bench.store.address import one_line
from bench.store.exchange.encoding import Placed, read
from bench.store.exchange.layout import Export, Layout, refused


@dataclass
class Imported:
    """What an import did.

    Attributes:
        new: table -> rows that were added; `samples` counts samples.
        known: campaigns and runs that were here already.
        cells_updated: cells whose state went forward.
        notes: what else people should know, each a sentence.
    """

    new: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    cells_updated: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, table: str, count: int, known: int = 0) -> None:
        """Count rows of a table."""
        self.new[table] = self.new.get(table, 0) + count
        self.known[table] = self.known.get(table, 0) + known


@dataclass
class Inbox:
    """One import in its one transaction."""

    connection: sa.Connection
    export: Export
    done: Imported = field(default_factory=Imported)

    def read(self, layout: Layout) -> Iterator[Placed]:
        """The rows of one table's file, checked; blank where an older schema had no such column."""
        lacks = self.export.lacks(layout)
        there = Layout(layout.name, tuple(one for one in layout.columns if one.name not in lacks))
        blank = dict.fromkeys(lacks)
        for place, row in read(self.export.path(layout), there, self.export.manifest.encoding):
            yield place, {**row, **blank}

    def insert(self, table: type[Any], rows: Sequence[Placed]) -> None:
        """Add rows; where the database refuses one, say which and why."""
        if not rows:
            return
        try:
            with self.connection.begin_nested():
                self.connection.execute(sa.insert(table), [row for _, row in rows])
            return
        except DBAPIError as error:
            if _contended(error):
                raise
        for place, row in rows:
            try:
                with self.connection.begin_nested():
                    self.connection.execute(sa.insert(table), [row])
            except DBAPIError as error:
                raise refused(place, f"the database refuses this row ({one_line(error.orig)})") from None
        raise AssertionError("every row went in by itself, but not all at once")


def _contended(error: DBAPIError) -> bool:
    """Another writer was faster, or the connection is gone: no fault of a row. A CHECK is one."""
    words = str(error.orig).lower()
    return "unique" in words or error.connection_invalidated or "locked" in words or "deadlock" in words
