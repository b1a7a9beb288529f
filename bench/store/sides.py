"""One side of a comparison: the runs that a campaign or a filter names, and the cells that never ran."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from bench.errors import InputError
from bench.store.filter import Condition, column, compile_filter
from bench.store.reading import ForeignCampaign, Row, find_campaign
from bench.store.schema import SUMMARY, CampaignRow, CellRow, RunRow

if TYPE_CHECKING:
    import pandas as pd

_COMPARES = re.compile(r"[=<>~]|\s(?:in|is|like|not)\b", re.IGNORECASE)


def side(
    engine: sa.Engine,
    text: str | None,
    columns: Sequence[str],
    where: str | None,
    campaign: int | str | None,
) -> list[Row]:
    """See `Store.side`."""
    chosen = [column(name).name for name in columns]
    with engine.connect() as connection:
        conditions = [] if where is None else [compile_filter(where)]
        if campaign is not None:
            conditions.append(SUMMARY.c.campaign_id == find_campaign(connection, campaign)[0])
        if text is not None:
            conditions.append(_condition(connection, text, within=campaign is not None))
        found = [
            dict(row._mapping)
            for query in _queries(chosen, sa.and_(sa.true(), *conditions))
            for row in connection.execute(query)
        ]
    return found


def table(
    engine: sa.Engine, columns: Sequence[str], where: str | None, campaign: int | str | None
) -> pd.DataFrame:
    """See `Store.table`: column by column, since a dictionary for each of 100,000 rows takes a gigabyte."""
    from bench.store.reading import frame_of

    chosen = [column(name).name for name in columns]
    values: list[list[Any]] = [[] for _ in chosen]
    with engine.connect() as connection:
        conditions = [] if where is None else [compile_filter(where)]
        if campaign is not None:
            conditions.append(SUMMARY.c.campaign_id == find_campaign(connection, campaign)[0])
        for query in _queries(chosen, sa.and_(sa.true(), *conditions)):
            for part in connection.execution_options(yield_per=5000).execute(query).partitions():
                for known, new in zip(values, zip(*part, strict=True), strict=True):
                    # The same words stand in thousands of rows: kept once.
                    known.extend(sys.intern(one) if type(one) is str else one for one in new)
    return frame_of(dict(zip(chosen, values, strict=True)))


def _queries(chosen: Sequence[str], condition: sa.ColumnElement[bool]) -> list[sa.Select[Any]]:
    """Runs by id, then cells that never ran."""
    ran = sa.select(*(SUMMARY.c[name] for name in chosen)).where(condition).order_by(SUMMARY.c.id)
    return [ran, _never_ran(chosen, condition)]


def _condition(connection: sa.Connection, text: str, within: bool) -> Condition:
    """A campaign's name or number, else a filter."""
    if not _COMPARES.search(text):
        if within:
            raise InputError(f"{text!r} within a campaign is no side: name a filter, for example bits=4")
        try:
            return SUMMARY.c.campaign_id == find_campaign(connection, text)[0]
        except ForeignCampaign:
            raise
        except InputError as error:
            raise InputError(f"{error}; or write a filter such as bits=4") from None
    names = sa.select(CampaignRow.id).where(CampaignRow.name == text)
    named = None if within else connection.scalar(names)
    return compile_filter(text) if named is None else SUMMARY.c.campaign_id == named


def _never_ran(columns: Sequence[str], condition: Condition) -> sa.Select[Any]:
    """Planned cells without any run that meet the condition, as rows blank but for the plan."""
    cells = CellRow.__table__.c
    known: dict[str, sa.ColumnElement[Any]] = {
        **{name: cells[name] for name in SUMMARY.c.keys() if name in cells and name != "id"},  # noqa: SIM118
        "campaign": CampaignRow.__table__.c.name,
        "cell_id": cells.id,
        "browser": cells.requested_browser,
        "model": cells.requested_model,
    }
    blank = (
        sa.select(
            *(known.get(item.name, sa.cast(sa.null(), item.type)).label(item.name) for item in SUMMARY.c)
        )
        .select_from(CellRow.__table__.join(CampaignRow.__table__, CampaignRow.id == CellRow.campaign_id))
        .where(~sa.exists().where(RunRow.cell_id == CellRow.id))
        .subquery("planned")
    )

    def plain(element: Any, **_: Any) -> Any:
        return blank.c[element.name] if getattr(element, "table", None) is SUMMARY else None

    met = visitors.replacement_traverse(condition, {}, plain)
    return sa.select(*(blank.c[name] for name in columns)).where(met).order_by(blank.c.cell_id)
