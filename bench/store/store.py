"""`Store`: one open database, and everything the other rooms ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bench.plan.request import Request
from bench.record import RunRecord, Sample
from bench.store import reading, sides, writing
from bench.store.reading import Row
from bench.store.schema import CampaignState
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
            name: unique; None for one made of the time, like `run-20261123-031500-ab12`.
            requests: one for each cell, in the order they are to run.
            seed: what the order was drawn with.
            settings: whatever else the plan was made with, as JSON.
            blocks: the block of each cell; None puts all into block 0.

        Raises:
            InputError: the name is taken or empty, or the plan has no cells.
        """
        return writing.create_campaign(self.engine, name, requests, seed, settings, blocks)

    def record(self, cell_id: int, record: RunRecord) -> int:
        """Write one run with environment, model and samples in one transaction; returns the run's id.

        A record whose uuid is already there is left as it is and its id returned. An outcome that is not
        measured loses its speeds (latency, throughput, GPU time, first inference); its raw samples stay.

        Raises:
            InputError: there is no such cell.
            ValueError: the record answers another request than the cell's.
            StoreError: the database stayed locked, or refused the write.
        """
        return writing.record_run(self.engine, self.url, cell_id, record)

    def set_state(self, campaign_id: int, state: CampaignState) -> None:
        """Say where a campaign is."""
        writing.set_state(self.engine, campaign_id, state)

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

    def rows(
        self,
        where: str | None = None,
        *,
        campaign: int | str | None = None,
        limit: int | None = None,
        sort: str | None = None,
    ) -> list[Row]:
        """Rows of `run_summary` as plain dictionaries; None where nothing was measured.

        Args:
            where: a filter (`bench.store.filter`).
            campaign: a campaign's name or number.
            limit: at most so many rows, after sorting.
            sort: columns joined by commas, `-` in front for descending; blanks last; by id without it.

        Raises:
            InputError: a filter, column, campaign or limit that cannot be.
        """
        return reading.rows(self.engine, where, campaign, limit, sort)

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
        limit: int | None = None,
        sort: str | None = None,
    ) -> pd.DataFrame:
        """`rows` as a frame with every column of `run_summary`, typed, also where it is empty.

        Whole numbers are `Int64`, flags `boolean`, reals `float64` (NaN: not measured), text `object`.
        """
        return reading.frame(self.rows(where, campaign=campaign, limit=limit, sort=sort))

    def cells(self, *, campaign: int | str | None = None) -> list[Row]:
        """What was planned: a row a cell (campaign, cell_id, position, block, requested_*)."""
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
