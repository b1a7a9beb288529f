"""Campaigns and their cells: new ones come as they are, known ones only go forward."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from bench.store.exchange import check
from bench.store.exchange.encoding import Placed, Row, chunks
from bench.store.exchange.inbox import Inbox
from bench.store.exchange.layout import CAMPAIGNS, CELLS, refused
from bench.store.origin import marked
from bench.store.schema import OWN, CampaignRow, CampaignState, CellRow, CellState, RunRow

_CELLS_GO = (CellState.PLANNED.value, CellState.SKIPPED.value, CellState.DONE.value)
_CAMPAIGNS_GO = (
    CampaignState.PLANNED.value,
    CampaignState.INTERRUPTED.value,
    CampaignState.CANCELLED.value,
    CampaignState.DONE.value,
)


@dataclass
class Arrived:
    """A campaign of the export as it stands here.

    Attributes:
        id: its number here.
        new: whether this import brings it.
        closed: whether it is in hand here, so that nothing of it is taken in.
        origin: whose results it holds.
        positions: of the cells in the file.
        cells: position -> number here.
        asked: position -> platform and bits that the cell asked for.
        attempts: number of a cell here -> attempts of its runs here.
    """

    id: int
    new: bool
    closed: bool
    origin: str
    positions: set[int] = field(default_factory=set)
    cells: dict[int, int] = field(default_factory=dict)
    asked: dict[int, tuple[str, int]] = field(default_factory=dict)
    attempts: dict[int, set[int]] = field(default_factory=dict)


class Plans:
    """The campaigns of an export, by UUID, as they stand here once their cells are in."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._campaigns: dict[str, Arrived] = {}
        self._cells_of: tuple[int, dict[int, sa.Row[Any]]] = (0, {})  # the campaign that the file is at

    def take(self) -> None:
        """Campaigns, then cells."""
        for place, row in self._inbox.read(CAMPAIGNS):
            self._campaign(place, row)
        for part in chunks(self._inbox.read(CELLS)):
            self._cells(part)
        for campaign in self._campaigns.values():
            self._know(campaign)

    def settle(self) -> None:
        """A campaign that was here is done where its last open cell came in done."""
        for campaign in self._campaigns.values():
            self._settle(campaign)

    def of(self, place: str, row: Row, origin: str = OWN) -> Arrived:
        """The campaign that a row names, which must be of the row's own origin."""
        campaign = self._campaigns.get(row["campaign"])
        if campaign is None:
            file = self._inbox.export.path(CAMPAIGNS).name
            raise refused(place, f"campaign {row['campaign']} is not in {file}")
        if campaign.origin != origin:
            raise refused(
                place,
                f"its campaign has the origin {campaign.origin!r}, which is not that of {origin!r} results",
            )
        return campaign

    def _campaign(self, place: str, row: Row) -> None:
        check.campaign(place, row)
        if row["uuid"] in self._campaigns:
            raise refused(place, f"campaign {row['uuid']} is in the file twice")
        here = self._inbox.connection.execute(
            sa.select(CampaignRow.__table__).where(CampaignRow.uuid == row["uuid"]).with_for_update()
        ).one_or_none()
        if here is None:
            self._campaigns[row["uuid"]] = self._new(place, row)
            self._inbox.done.add("campaigns", 1)
        else:
            self._campaigns[row["uuid"]] = self._known(place, row, here)
            self._inbox.done.add("campaigns", 0, known=1)

    def _new(self, place: str, row: Row) -> Arrived:
        name = free_name(self._inbox.connection, row["name"], row["uuid"])
        if name != row["name"]:
            self._inbox.done.notes.append(
                f"another campaign here is named {row['name']!r}: the imported one is {name!r}"
            )
        settings = marked(row["settings"], self._inbox.export.folder.resolve().name)
        self._inbox.insert(CampaignRow, [(place, {**row, "name": name, "settings": settings})])
        made = sa.select(CampaignRow.id).where(CampaignRow.uuid == row["uuid"])
        number = self._inbox.connection.execute(made).scalar_one()
        return Arrived(number, new=True, closed=False, origin=row["origin"])

    def _known(self, place: str, row: Row, here: sa.Row[Any]) -> Arrived:
        """The same plan, or the file is refused: two campaigns never become one."""
        for name in ("seed", "plan_hash", "definition", "origin"):
            if getattr(here, name) != row[name]:
                raise refused(place, f"campaign {here.name!r} has the same UUID here but another {name}")
        leased = sa.exists().where(CellRow.campaign_id == here.id, CellRow.state == CellState.LEASED.value)
        held = self._inbox.connection.execute(sa.select(leased)).scalar_one()
        closed = here.state == CampaignState.RUNNING.value or bool(held)
        if closed:
            self._inbox.done.notes.append(
                f"campaign {here.name!r} is running here: nothing of it was imported; import again when it "
                "has ended"
            )
        elif _goes(_CAMPAIGNS_GO, here.state, row["state"]):
            self._inbox.connection.execute(
                sa.update(CampaignRow)
                .where(CampaignRow.id == here.id)
                .values(state=row["state"], note=row["note"])
            )
        return Arrived(here.id, new=False, closed=closed, origin=row["origin"])

    def _know(self, campaign: Arrived) -> None:
        """What is here of a campaign, now that its cells are."""
        query = sa.select(CellRow.position, CellRow.id).where(CellRow.campaign_id == campaign.id)
        campaign.cells = {row.position: row.id for row in self._inbox.connection.execute(query)}
        if not campaign.new and not campaign.closed:
            pairs = (
                sa.select(RunRow.cell_id, RunRow.attempt)
                .join(CellRow, CellRow.id == RunRow.cell_id)
                .where(CellRow.campaign_id == campaign.id)
            )
            for cell, attempt in self._inbox.connection.execute(pairs):
                campaign.attempts.setdefault(cell, set()).add(attempt)

    def _cells(self, part: list[Placed]) -> None:
        fresh: list[Placed] = []
        for place, row in part:
            check.cell(place, row)
            campaign = self.of(place, row)
            if row["position"] in campaign.positions:
                raise refused(place, f"cell {row['position']} of its campaign is in the file twice")
            campaign.positions.add(row["position"])
            campaign.asked[row["position"]] = (row["requested_platform"], row["requested_bits"])
            if campaign.closed:
                continue
            row["campaign_id"] = campaign.id
            del row["campaign"]
            if campaign.new or not self._known_cell(place, row):
                fresh.append((place, row))
        self._inbox.insert(CellRow, fresh)
        self._inbox.done.add("cells", len(fresh))

    def _known_cell(self, place: str, row: Row) -> bool:
        """Whether a cell is here; then it may go forward, and must be the same cell."""
        number = row["campaign_id"]
        if self._cells_of[0] != number:
            columns = (CellRow.position, CellRow.id, CellRow.block, CellRow.role, CellRow.arm, CellRow.state)
            found = self._inbox.connection.execute(sa.select(*columns).where(CellRow.campaign_id == number))
            self._cells_of = (number, {one.position: one for one in found})
        here = self._cells_of[1].get(row["position"])
        if here is None:
            return False
        if (here.block, here.role, here.arm) != (row["block"], row["role"], row["arm"]):
            raise refused(place, f"cell {row['position']} of that campaign asks for something else here")
        if _goes(_CELLS_GO, here.state, row["state"]):
            self._inbox.connection.execute(
                sa.update(CellRow).where(CellRow.id == here.id).values(state=row["state"], note=row["note"])
            )
            self._inbox.done.cells_updated += 1
        return True

    def _settle(self, campaign: Arrived) -> None:
        """A campaign that was here is done where its last open cell came in done."""
        if campaign.new or campaign.closed or campaign.origin != OWN:
            return
        open_cells = sa.exists().where(
            CellRow.campaign_id == campaign.id, CellRow.state == CellState.PLANNED.value
        )
        done, cancelled = CampaignState.DONE.value, CampaignState.CANCELLED.value
        self._inbox.connection.execute(
            sa.update(CampaignRow)
            .where(CampaignRow.id == campaign.id, CampaignRow.state.not_in([done, cancelled]), ~open_cells)
            .values(state=done, note=None)
        )


def free_name(connection: sa.Connection, name: str, uuid: str) -> str:
    """The name, or the name with as much of the UUID as makes it another campaign's no more."""
    for candidate in (name, f"{name}@{uuid[:8]}", f"{name}@{uuid}"):
        taken = sa.select(CampaignRow.id).where(CampaignRow.name == candidate)
        if connection.scalar(taken) is None:
            return candidate
    raise refused(name, f"every name for campaign {uuid} is taken here")


def _goes(order: tuple[str, ...], here: str, there: str) -> bool:
    """Whether a state of the export lies further on than the one here."""
    return here in order and order.index(there) > order.index(here)
