"""The database: schema, writing, querying.

`open_store` gives a `Store`; everything else that other rooms need hangs on it. `upgrade` and `check` look
after the database itself.
"""

from __future__ import annotations

from bench.store.database import CheckReport, check, open_store, upgrade
from bench.store.schema import CampaignState
from bench.store.store import Campaign, Cell, Store
from bench.store.writing import check_name

__all__ = [
    "Campaign",
    "CampaignState",
    "Cell",
    "CheckReport",
    "Store",
    "check",
    "check_name",
    "open_store",
    "upgrade",
]
