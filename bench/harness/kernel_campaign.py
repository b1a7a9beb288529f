"""A campaign of operators: case after case is leased, measured, and stored as it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.errors import RunFailure
from bench.harness.asked import interruption, now
from bench.harness.campaign import LEASE_SECONDS, Report, release
from bench.harness.identity import Worker
from bench.harness.kernel_plan import asked, places
from bench.harness.kernel_records import Place, record_of
from bench.harness.kernel_session import KernelSession, KernelWork
from bench.harness.outcome import Stage
from bench.harness.stop import Stop
from bench.harness.turn import turn
from bench.record import RunRecord
from bench.settings import Settings
from bench.store import Campaign, CampaignState, CellState, Store

# Rarer than elsewhere, for the page times meanwhile. A lease lasts longer than this and a page's silence.
_BEAT_SECONDS = 60.0


@dataclass(frozen=True)
class Keeping:
    """Where an operator's runs go, and who measures.

    Attributes:
        store: it has the plan.
        campaign: as it was planned, from `kernel_plan.plan` or from the database.
        blocks: its starts of the browser.
        worker: this very process, from `identity.at_work`.
    """

    store: Store
    campaign: Campaign
    blocks: int
    worker: Worker


class KernelCampaign:
    """Measures every open cell: a start of the browser a block, whoever planned it, and however often."""

    def __init__(
        self,
        keeping: Keeping,
        settings: Settings,
        work: KernelWork,
        say: Callable[[str], None],
        stop: Stop,
    ) -> None:
        """`say` gets a line now and then."""
        self.keeping = keeping
        self.store, self.campaign = keeping.store, keeping.campaign
        self.settings = settings
        self.work = work
        self.say = say
        self.stop = stop
        self.records: list[RunRecord] = []
        at = places(work, keeping.blocks)
        # Block and case -> variant -> the cell's number.
        self.cells: dict[tuple[int, int], dict[int, int]] = {}
        for (block, case, variant), cell in zip(at, self.campaign.cells, strict=True):
            self.cells.setdefault((block, case), {})[variant] = cell.id

    def run(self) -> Report:
        """All that is open; a stop leaves what is not measured as planned."""
        campaign, store, report = self.campaign, self.store, Report(self.campaign)
        store.set_state(campaign.id, CampaignState.RUNNING)
        self.say(f"campaign {campaign.name}: {len(campaign.cells)} cells, kept in {store.url}")
        try:
            for block in range(self.keeping.blocks):
                self._block(block)
        except KeyboardInterrupt:
            report.interrupted = True
            store.leave(campaign.id, "stopped by the user")
        else:
            store.settle(campaign.id)
        report.records, report.finals = self.records, store.finals(campaign.id)
        return report

    def _block(self, block: int) -> None:
        """A start of the browser for all that is open; another one for what is left where it ends early."""
        while self._open(block):
            with self.stop.patient(), turn(self.settings.harness, self.say, self.stop):
                left = self._open(block)  # who had the turn may have measured some of it
                if left:
                    _Block(self, block, left).run()

    def _open(self, block: int) -> list[int]:
        """Cases of a block with cells that nobody has measured, nor is measuring."""
        release(self.store, self.campaign)
        planned = {
            row["cell_id"]
            for row in self.store.cells(campaign=self.campaign.id)
            if row["state"] == CellState.PLANNED.value
        }
        return [
            case
            for case in range(len(self.work.cases))
            if planned.intersection(self.cells[block, case].values())
        ]


class _Block:
    """One start of the browser."""

    def __init__(self, campaign: KernelCampaign, block: int, left: list[int]) -> None:
        self.campaign = campaign
        self.block = block
        self.left = left  # the session's number of a case -> the campaign's
        self.held: dict[int, list[int]] = {}  # the session's number of a case -> variants that are leased
        work = replace(campaign.work, cases=[campaign.work.cases[case] for case in left])
        self.session = KernelSession(work, campaign.settings, campaign.say, self, campaign.stop)
        self.began = now()
        self._beaten = time.monotonic()

    def run(self) -> None:
        """Measure its cases; what a failure ends is a row each."""
        session = self.session
        try:
            session.run()
        except RunFailure as failure:
            if self.held:
                self._end(failure)
            else:
                # A browser that does not start, or dies between two operators, is not started for each.
                for number in range(session.begun, len(self.left)):
                    self.take(number)
                self._end(failure)
        except KeyboardInterrupt:
            for number in self.held:
                session.forget(number)
            self._end(interruption(session.watch.stage))
            raise

    def take(self, number: int) -> list[int]:
        """Lease what is open of a case; its variants that are to be measured here."""
        keeping, cells = self.campaign.keeping, self.campaign.cells[self.block, self.left[number]]
        mine = keeping.store.claim_cells(list(cells.values()), keeping.worker.name, self._seconds)
        taken = [variant for variant, cell in cells.items() if cell in mine]
        if taken:
            self.held[number] = taken
        return taken

    def alive(self, stage: Stage) -> None:
        """Renew the leases now and then."""
        if time.monotonic() - self._beaten < _BEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        keeping = self.campaign.keeping
        for number, variants in self.held.items():
            cells = self.campaign.cells[self.block, self.left[number]]
            for variant in variants:
                keeping.store.beat(cells[variant], keeping.worker.name, stage.value, self._seconds)

    def finished(self, number: int, failure: RunFailure | None = None) -> None:
        """Store what came of a case."""
        campaign, case = self.campaign, self.left[number]
        owner = campaign.keeping.worker.name
        for variant in self.held.pop(number, []):
            place = Place(number, variant, asked(campaign.work, case, variant))
            record = record_of(self.session, place, failure, self.began)
            cell = campaign.cells[self.block, case][variant]
            record.id = campaign.store.record(cell, record, owner=owner)
            campaign.records.append(record)

    def _end(self, failure: RunFailure) -> None:
        for number in list(self.held):
            self.finished(number, failure)

    @property
    def _seconds(self) -> float:
        """Of a lease: a page may be silent for its timeout, and be heard at the end of it."""
        return LEASE_SECONDS + self.campaign.work.timeout
