"""The database: schema, writing, querying.

`open_store` gives a `Store`; everything else that other rooms need hangs on it. `upgrade` and `check` look
after the database itself.
"""

from __future__ import annotations

from bench.store.backup import backup
from bench.store.database import CheckReport, check, filled, open_store, upgrade
from bench.store.leases import Lease
from bench.store.schema import CampaignState, CellState
from bench.store.status import Status
from bench.store.store import Campaign, Cell, Store
from bench.store.writing import check_name

__all__ = [
    "Campaign",
    "CampaignState",
    "Cell",
    "CellState",
    "CheckReport",
    "Lease",
    "Status",
    "Store",
    "backup",
    "check",
    "check_name",
    "filled",
    "open_store",
    "upgrade",
]
