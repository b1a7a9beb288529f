"""Results of other tools as rows: the language of `--where` over another table than that of runs."""

from __future__ import annotations

import sqlalchemy as sa

from bench.store.filter import compile_filter
from bench.store.reading import Row, find_campaign, selection
from bench.store.schema import CampaignRow, ForeignRow

# As people read them: whose and of what first, the tool's own record last.
FOREIGN = (
    sa.select(
        *(ForeignRow.id, CampaignRow.name.label("campaign"), ForeignRow.campaign_id, ForeignRow.tool),
        *(ForeignRow.tool_version, ForeignRow.test, ForeignRow.metric, ForeignRow.value, ForeignRow.unit),
        *(ForeignRow.direction, ForeignRow.n, ForeignRow.model, ForeignRow.bits_mean, ForeignRow.backend),
        *(ForeignRow.browser, ForeignRow.browser_version, ForeignRow.host, ForeignRow.os, ForeignRow.cpu),
        *(ForeignRow.gpu, ForeignRow.started_at, ForeignRow.hash, ForeignRow.samples, ForeignRow.record),
    )
    .join(CampaignRow, CampaignRow.id == ForeignRow.campaign_id)
    .subquery("foreign_results_named")
)


def rows(
    engine: sa.Engine, where: str | None, campaign: int | str | None, limit: int | None, sort: str | None
) -> list[Row]:
    """See `Store.foreign`."""
    query = selection(None, limit, sort, FOREIGN)
    if where is not None:
        query = query.where(compile_filter(where, FOREIGN))
    with engine.connect() as connection:
        if campaign is not None:
            query = query.where(FOREIGN.c.campaign_id == find_campaign(connection, campaign, foreign=True)[0])
        return [dict(row._mapping) for row in connection.execute(query)]
