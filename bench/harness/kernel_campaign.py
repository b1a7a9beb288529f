"""A campaign of operators: planned whole before anything runs, each stored as it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench.errors import RunFailure
from bench.harness.asked import interruption, now
from bench.harness.campaign import Report
from bench.harness.kernel_records import Place, record_of, request_of
from bench.harness.kernel_session import KernelSession, KernelWork
from bench.harness.stop import Stop
from bench.harness.turn import turn
from bench.plan.cells import Plan, PlannedCell
from bench.plan.measuring import OPERATORS
from bench.plan.request import Request
from bench.record import RunRecord
from bench.settings import Settings
from bench.store import Campaign, CampaignState, Store


class KernelCampaign:
    """Plans every cell, runs the sessions, and stores each operator as it ends."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        work: KernelWork,
        blocks: int,
        say: Callable[[str], None],
        stop: Stop,
    ) -> None:
        """`blocks` starts of the browser; `say` gets a line now and then."""
        self.say = say
        self.store = store
        self.settings = settings
        self.work = work
        self.blocks = blocks
        self.stop = stop
        self.records: list[RunRecord] = []
        self.cells: dict[tuple[int, int, int], int] = {}  # block, case, variant -> the cell's number

    def run(self, name: str | None) -> Report:
        """All of it; a stop leaves what is not measured as planned."""
        campaign = self._plan(name)
        store, report = self.store, Report(campaign)
        store.set_state(campaign.id, CampaignState.RUNNING)
        self.say(f"campaign {campaign.name}: {len(campaign.cells)} cells, kept in {store.url}")
        try:
            for block in range(self.blocks):
                self._block(block)
        except KeyboardInterrupt:
            report.interrupted = True
            store.leave(campaign.id, "stopped by the user")
        else:
            store.settle(campaign.id)
        report.records, report.finals = self.records, store.finals(campaign.id)
        return report

    def _plan(self, name: str | None) -> Campaign:
        work = self.work
        places = [
            (block, case, variant)
            for block in range(self.blocks)
            for case, one in enumerate(work.cases)
            for variant in work.variants_of(one)
        ]
        cells = tuple(
            PlannedCell(position, block, "arm", self._request(case, variant))
            for position, (block, case, variant) in enumerate(places)
        )
        kernels = {
            "rounds": work.rounds,
            "spread": work.spread,
            "variants": [one.label for one in work.variants],
        }
        campaign = self.store.plan_campaign(name, Plan(0, {}, cells), settings={OPERATORS: kernels})
        self.cells = {place: cell.id for place, cell in zip(places, campaign.cells, strict=True)}
        return campaign

    def _request(self, case: int, variant: int) -> Request:
        work = self.work
        engine = work.variants[variant].engine
        return request_of(work.cases[case], engine, work.browser, work.features, work.device)

    def _block(self, block: int) -> None:
        """A start of the browser for all cases; another one for what is left where it ends early."""
        left = list(range(len(self.work.cases)))
        while left:
            left = self._session(block, left)

    def _session(self, block: int, left: list[int]) -> list[int]:
        """Measure these cases in one browser; those that another one must."""
        work = replace(self.work, cases=[self.work.cases[case] for case in left])
        session = KernelSession(work, self.settings, self.say, self.stop)
        began = now()
        ended: set[int] = set()

        def keep(number: int, failure: RunFailure | None = None) -> None:
            ended.add(number)
            self._keep((block, left[number]), session, number, failure, began)

        try:
            with self.stop.patient(), turn(self.settings.harness, self.say, self.stop):
                session.run(keep)
        except RunFailure as failure:
            lost = session.current
            # A browser that does not start, or dies between two operators, is not started for each of them.
            whole = lost is None or lost in ended
            for number in range(len(left)) if whole else [lost]:
                if number is not None and number not in ended:
                    keep(number, failure)
        except KeyboardInterrupt:
            if session.current is not None and session.current not in ended:
                keep(session.current, interruption(session.watch.stage))
            raise
        return [case for number, case in enumerate(left) if number not in ended]

    def _keep(
        self,
        at: tuple[int, int],
        session: KernelSession,
        number: int,
        failure: RunFailure | None,
        began: str,
    ) -> None:
        block, case = at
        for variant in self.work.variants_of(self.work.cases[case]):
            place = Place(number, variant, self._request(case, variant))
            record = record_of(session, place, failure, began)
            record.id = self.store.record(self.cells[block, case, variant], record)
            self.records.append(record)
