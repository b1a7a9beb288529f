"""`Store`: one open database, and everything the other rooms ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bench.harness.outcome import Outcome
from bench.plan.cells import Plan, PlannedCell
from bench.plan.request import Request
from bench.plan.tuned import TunedKernel
from bench.record import RunRecord, Sample
from bench.store import failures, foreign, groups, leases, reading, sides, status, tunings, writing
from bench.store.leases import Lease
from bench.store.reading import Row
from bench.store.schema import CampaignState
from bench.store.status import Refusal, Status
from bench.store.writing import Campaign, Cell

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Campaign", "Cell", "Row", "Store"]


@dataclass(frozen=True)
class Store:
    """An open database. A context manager; `close` gives its connections back.

    `url` is fit to be printed: its password is hidden.
    """

    engine: sa.Engine
    url: str

    def create_campaign(
        self,
        name: str | None,
        requests: Sequence[Request],
        *,
        seed: int,
        settings: Mapping[str, Any],
        blocks: Sequence[int] | None = None,
    ) -> Campaign:
        """Write a whole plan in one transaction, before anything runs.

        Args:
            name: unique; None for one made of the time, like `run-20261123-031500-ab12cd34`.
            requests: one for each cell, in the order they are to run.
            seed: what the order was drawn with.
            settings: whatever else the plan was made with, as JSON.
            blocks: the block of each cell; None puts all into block 0.

        Raises:
            InputError: the name is taken or empty, or the plan has no cells.
        """
        if blocks is not None and len(blocks) != len(requests):
            raise ValueError(f"{len(blocks)} blocks for {len(requests)} requests")
        cells = [
            PlannedCell(position, blocks[position] if blocks is not None else 0, "arm", request)
            for position, request in enumerate(requests)
        ]
        return self.plan_campaign(name, Plan(seed, {}, tuple(cells)), settings=settings)

    def plan_campaign(self, name: str | None, plan: Plan, *, settings: Mapping[str, Any]) -> Campaign:
        """Write a plan with its definition and hash in one transaction, before anything runs.

        Raises:
            InputError: the name is taken or empty, or the plan has no cells.
        """
        return writing.create_campaign(self.engine, name, plan, settings)

    def record(
        self, cell_id: int, record: RunRecord, *, owner: str | None = None, again: bool = False
    ) -> int:
        """Write one run and the state of its cell in one transaction; returns the run's id.

        A record whose uuid is already there is left as it is and its id returned. An outcome that is not
        measured loses its speeds (latency, throughput, GPU time, first inference); its raw samples stay. The
        cell is done then, except after an interrupted run, or where it is to run `again`.

        Args:
            cell_id: which cell.
            record: the run.
            owner: who holds the cell's lease; None where nobody leases.
            again: whether the cell is to be run once more.

        Raises:
            InputError: there is no such cell.
            ValueError: the record answers another request than the cell's.
            StoreError: the database stayed locked, or refused the write.
        """
        return writing.record_run(self.engine, self.url, cell_id, record, owner, again)

    def claim(self, campaign_id: int, owner: str, seconds: float) -> Lease | None:
        """Lease the next planned cell of a running campaign for so long; None where there is none."""
        return leases.claim(self.engine, campaign_id, owner, seconds)

    def claim_cells(self, cells: Sequence[int], owner: str, seconds: float) -> set[int]:
        """Lease those of these cells that are planned, for so long; which they are."""
        return leases.claim_cells(self.engine, cells, owner, seconds)

    def beat(self, cell_id: int, owner: str, stage: str | None, seconds: float) -> bool:
        """Renew a lease; False where it was lost to another. A database that is busy is no loss."""
        return leases.beat(self.engine, cell_id, owner, stage, seconds)

    def reap(
        self, campaign_id: int, gone: Callable[[str], bool], write_off: Callable[[Lease], RunRecord]
    ) -> list[Lease]:
        """Take the leases of those who are gone, each as an interrupted run; their cells are planned again.

        Args:
            campaign_id: whose leases.
            gone: whether an owner is known to be dead, before its lease is over.
            write_off: makes the interrupted run's record.

        Returns:
            the leases that were taken.
        """
        return leases.reap(self.engine, campaign_id, gone, write_off)

    def skip(self, campaign_id: int, note: str, *, from_block: int = 0) -> int:
        """Let the planned cells from a block on be skipped, and say why; how many they were."""
        return leases.skip(self.engine, campaign_id, note, from_block=from_block)

    def leave(self, campaign_id: int, note: str) -> None:
        """A worker goes before the last cell: interrupted, unless others still run cells of it."""
        leases.leave(self.engine, campaign_id, note)

    def finals(self, campaign_id: int) -> list[tuple[Request, Outcome]]:
        """The last run of every cell that has one: what was asked for, and its outcome."""
        return status.finals(self.engine, campaign_id)

    def settle(self, campaign_id: int) -> CampaignState:
        """Call a campaign done where no cell is open; the state it is in then."""
        return leases.settle(self.engine, campaign_id)

    def set_state(self, campaign_id: int, state: CampaignState, note: str | None = None) -> None:
        """Say where a campaign is, and why."""
        writing.set_state(self.engine, campaign_id, state, note)

    def status(self, key: int | str) -> Status:
        """A campaign in numbers, by name or number.

        Raises:
            InputError: there is none.
        """
        return status.status(self.engine, key)

    def campaigns(self) -> list[Row]:
        """Every campaign: id, name, state, note, created_at, origin, imported, and its cells, done, skipped.

        `origin` is `own` or another tool; `imported` is the export it came in, or None.
        """
        return status.listing(self.engine)

    def durations(self, campaign_id: int | None = None, *, limit: int = 2000) -> list[tuple[Request, float]]:
        """Wall seconds of the newest runs, without the making of bundles; of one campaign, or of all."""
        return status.durations(self.engine, campaign_id, limit)

    def refusals(self) -> dict[tuple[str, str, str | None], Refusal]:
        """(browser, platform, feature set) -> the run that found it unsupported, where the newest run did."""
        return status.refusals(self.engine)

    def campaign(self, key: int | str) -> Campaign:
        """A campaign with its cells, by name or number.

        Raises:
            InputError: there is none.
        """
        return reading.campaign(self.engine, key)

    def run(self, run_id: int) -> RunRecord:
        """One run as it was recorded, samples included.

        Raises:
            InputError: there is no such run; the message names those that exist.
        """
        return reading.run(self.engine, run_id)

    def samples(self, run_id: int) -> list[Sample]:
        """The raw samples of a run in the order they were taken; empty where none were."""
        return reading.samples(self.engine, run_id)

    def evidence(self, key: str, runs: Sequence[int]) -> dict[int, Any]:
        """One part of the evidence of each of these runs that has it, by the run's id."""
        return reading.evidence(self.engine, key, runs)

    def rows(
        self,
        where: str | None = None,
        *,
        campaign: int | str | None = None,
        since: str | None = None,
        limit: int | None = None,
        sort: str | None = None,
    ) -> list[Row]:
        """Rows of `run_summary` as plain dictionaries; None where nothing was measured.

        Args:
            where: a filter (`bench.store.filter`).
            campaign: a campaign's name or number.
            since: only runs that began since then: `30d`, `12h`, a date (`bench.store.since`).
            limit: the most rows that are given, after sorting.
            sort: columns joined by commas, `-` in front for descending; blanks last; by id without it.

        Raises:
            InputError: a filter, column, campaign, time or limit that cannot be.
        """
        query = reading.selection(None, limit, sort)
        with self.engine.connect() as connection:
            met = reading.conditions(connection, where, campaign, since)
            return [dict(row._mapping) for row in connection.execute(query.where(met))]

    def side(
        self,
        text: str | None,
        columns: Sequence[str],
        *,
        where: str | None = None,
        campaign: int | str | None = None,
    ) -> list[Row]:
        """One side of a comparison: runs, then planned cells without a run, blank but for what was asked.

        Args:
            text: a campaign's name or number, or a filter; None for everything.
            columns: of `run_summary`, which are all that the rows have.
            where: a filter besides.
            campaign: a campaign within which `text` is a filter.

        Raises:
            InputError: no such campaign, filter or column.
        """
        return sides.side(self.engine, text, columns, where, campaign)

    def summary(
        self,
        where: str | None = None,
        *,
        campaign: int | str | None = None,
        since: str | None = None,
        limit: int | None = None,
        sort: str | None = None,
    ) -> pd.DataFrame:
        """`rows` as a frame with every column of `run_summary`, typed, also where it is empty.

        Whole numbers are `Int64`, flags `boolean`, reals `float64` (NaN: not measured), text `object`.
        """
        query = reading.selection(None, limit, sort)
        with self.engine.connect() as connection:
            met = reading.conditions(connection, where, campaign, since)
            return reading.frame_of(reading.columnar(connection, query.where(met)))

    def table(
        self,
        columns: Sequence[str],
        where: str | None = None,
        *,
        campaign: int | str | None = None,
        since: str | None = None,
    ) -> pd.DataFrame:
        """Some columns of `run_summary` as `summary` types them: runs by id, then cells that never ran.

        The latter are blank but for what was planned. Fit for 100,000 rows.

        Raises:
            InputError: a filter, column, campaign or time that cannot be.
        """
        return sides.table(self.engine, columns, where, campaign, since)

    def groups(
        self,
        by: str | None,
        numbers: str | None = None,
        *,
        where: str | None = None,
        campaign: int | str | None = None,
        since: str | None = None,
    ) -> list[Row]:
        """Runs in groups: the columns `by`, `runs`, `outcomes` in words, and `function(column)` of each.

        Args:
            by: columns joined by commas; None for a single group.
            numbers: `median(latency_ms_median), max(weight_bytes)`; of the runs that ran as requested
                unless `outcome` is among the columns (`bench.store.groups`).
            where, campaign, since: as for `rows`.

        Raises:
            InputError: a column, function, filter, campaign or time that cannot be.
        """
        names, wanted = groups.columns(by), groups.aggregates(numbers or groups.DEFAULT)
        frame = self.table(groups.needed(names, wanted), where, campaign=campaign, since=since)
        return groups.grouped(frame, names, wanted)

    def failures(
        self,
        where: str | None = None,
        *,
        campaign: int | str | None = None,
        since: str | None = None,
        every: bool = False,
    ) -> list[Row]:
        """Failures by outcome, stage and message, most frequent first; messages that differ only in numbers
        are one.

        Args:
            where, campaign, since: as for `rows`.
            every: also what is missing or was stopped: every outcome without a speed.

        Returns:
            count, outcome, stage, category, name, message (verbatim, the newest), browsers with counts,
            first_seen, last_seen, run (the newest).

        Raises:
            InputError: a filter, campaign or time that cannot be.
        """
        return failures.failures(self.engine, where, campaign, since, every=every)

    def foreign(
        self,
        where: str | None = None,
        *,
        campaign: int | str | None = None,
        limit: int | None = None,
        sort: str | None = None,
    ) -> list[Row]:
        """Results of other tools, which nobody here verified (`bench.store.foreign`); as `rows` otherwise.

        Raises:
            InputError: a filter, column, campaign or limit that cannot be.
        """
        return foreign.rows(self.engine, where, campaign, limit, sort)

    def tuned(self, browser: str | None = None) -> list[TunedKernel]:
        """Constants that were found for kernels, of one browser or of all, by what they hold for."""
        return tunings.find(self.engine, browser)

    def keep_tuned(self, found: Sequence[TunedKernel], *, replace: bool = True) -> int:
        """Keep what was found for kernels, in one transaction; how much of it was newer than what is here.

        Without `replace` what is known of a kernel stays, however old.

        Raises:
            StoreError: the database stayed locked, or refused the write.
        """
        return tunings.keep(self.engine, self.url, found, replace=replace)

    def cells(self, *, campaign: int | str | None = None) -> list[Row]:
        """What was planned: campaign, cell_id, position, role, state, note, block and what was requested."""
        return reading.cells(self.engine, campaign)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
