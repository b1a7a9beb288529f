"""One side of a comparison: the runs that a campaign or a filter names, and the cells that never ran."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from bench.errors import InputError
from bench.store.filter import Condition, column, compile_filter
from bench.store.reading import ForeignCampaign, Row, columnar, conditions, find_campaign, frame_of
from bench.store.schema import SUMMARY, CampaignRow, CellRow, RunRow
from bench.store.since import moment

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
        met = [conditions(connection, where, campaign)]
        if text is not None:
            met.append(_condition(connection, text, within=campaign is not None))
        return [
            dict(row._mapping)
            for query in _queries(chosen, sa.and_(*met))
            for row in connection.execute(query)
        ]


def table(
    engine: sa.Engine,
    columns: Sequence[str],
    where: str | None,
    campaign: int | str | None,
    since: str | None,
) -> pd.DataFrame:
    """See `Store.table`."""
    chosen = [column(name).name for name in columns]
    with engine.connect() as connection:
        met = conditions(connection, where, campaign)
        return frame_of(columnar(connection, *_queries(chosen, met, since)))


def _queries(chosen: Sequence[str], condition: Condition, since: str | None = None) -> list[sa.Select[Any]]:
    """Runs by id, then cells that never ran: those have begun no more than their campaign."""
    ran = sa.select(*(SUMMARY.c[name] for name in chosen)).where(condition).order_by(SUMMARY.c.id)
    begun = None if since is None else moment(since)
    if begun is not None:
        ran = ran.where(SUMMARY.c.started_at >= begun)
    return [ran, _never_ran(chosen, condition, begun)]


def _condition(connection: sa.Connection, text: str, within: bool) -> Condition:
    """A campaign's name or number, else a filter."""
    if not _COMPARES.search(text):
        if within:
            raise InputError(f"{text!r} within a campaign is not a side: name a filter, for example bits=4")
        try:
            return SUMMARY.c.campaign_id == find_campaign(connection, text)[0]
        except ForeignCampaign:
            raise
        except InputError as error:
            raise InputError(f"{error}; or write a filter such as bits=4") from None
    names = sa.select(CampaignRow.id).where(CampaignRow.name == text)
    named = None if within else connection.scalar(names)
    return compile_filter(text) if named is None else SUMMARY.c.campaign_id == named


def _never_ran(columns: Sequence[str], condition: Condition, begun: str | None) -> sa.Select[Any]:
    """Planned cells without any run that meet the condition, as rows blank but for the plan.

    Without them what was planned since `begun` would leave every denominator.
    """
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
        .where(sa.true() if begun is None else CampaignRow.created_at >= begun)
        .subquery("planned")
    )

    def plain(element: Any, **_: Any) -> Any:
        return blank.c[element.name] if getattr(element, "table", None) is SUMMARY else None

    met = visitors.replacement_traverse(condition, {}, plain)
    return sa.select(*(blank.c[name] for name in columns)).where(met).order_by(blank.c.cell_id)
