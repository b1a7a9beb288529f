"""Constants that were found for kernels: kept by adapter, feature set, browser build and hash of our code."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from bench.plan.tuned import TunedKernel
from bench.store.schema import TuningRow
from bench.store.writing import in_transaction

NAMES = tuple(TunedKernel.model_fields)
HOLDS_FOR = ("adapter", "browser", "browser_version", "features", "kernels", "key")


def find(engine: sa.Engine, browser: str | None = None) -> list[TunedKernel]:
    """See `Store.tuned`."""
    query = sa.select(*(getattr(TuningRow, name) for name in NAMES))
    if browser is not None:
        query = query.where(TuningRow.browser == browser)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(*(getattr(TuningRow, name) for name in HOLDS_FOR)))
        return [TunedKernel(**row._mapping) for row in rows]


def keep(engine: sa.Engine, url: str, found: Iterable[TunedKernel], *, replace: bool) -> int:
    """See `Store.keep_tuned`."""
    newest = {_of(one): one for one in sorted(found, key=lambda one: one.tuned_at)}

    def write(connection: sa.Connection) -> int:
        return sum(put(connection, one, replace=replace) for one in newest.values())

    return in_transaction(engine, url, write)


def put(connection: sa.Connection, one: TunedKernel, *, replace: bool = True) -> bool:
    """Write what was found for a kernel unless something newer is known; whether it was written.

    Without `replace` whatever is known stays.
    """
    same = [getattr(TuningRow, name) == getattr(one, name) for name in HOLDS_FOR]
    known = connection.scalar(sa.select(TuningRow.tuned_at).where(*same))
    if known is not None and (not replace or known >= one.tuned_at):
        return False
    if known is not None:
        connection.execute(sa.delete(TuningRow).where(*same))
    connection.execute(sa.insert(TuningRow), [one.model_dump()])
    return True


def _of(one: TunedKernel) -> tuple[str, ...]:
    return tuple(getattr(one, name) for name in HOLDS_FOR)
