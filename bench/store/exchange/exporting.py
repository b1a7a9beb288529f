"""A database, or a part of it, as a folder of files: whole or not at all, the same bytes from the same rows.

The order of rows comes from what they say, never from local numbers, so a copy of a database in another one
gives the same files too.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import bench
from bench.errors import InputError
from bench.store import revision
from bench.store.exchange.encoding import ROWS_AT_ONCE, Row, Writer, writer
from bench.store.exchange.layout import (
    CAMPAIGNS,
    CELLS,
    ENVIRONMENTS,
    FOREIGN,
    FORMAT,
    LAYOUTS,
    MANIFEST,
    MODELS,
    RUNS,
    SAMPLES,
    TUNINGS,
    VERSION,
    Encoding,
    Layout,
    Manifest,
    file_name,
)
from bench.store.filter import compile_filter
from bench.store.origin import unmarked
from bench.store.reading import find_campaign
from bench.store.schema import (
    OWN,
    SUMMARY,
    CampaignRow,
    CampaignState,
    CellRow,
    CellState,
    EnvironmentRow,
    ForeignRow,
    ModelRow,
    RunRow,
    SampleRow,
    TuningRow,
)
from bench.store.tunings import HOLDS_FOR

RUNNING_NOTE = "was running when it was exported"
LEFT_OUT_NOTE = "its runs were left out of an export"


@dataclass(frozen=True)
class Exported:
    """What went into a folder: rows of each table, and samples."""

    folder: Path
    rows: dict[str, int]
    samples: int


def export_folder(
    engine: sa.Engine,
    folder: Path,
    *,
    campaign: int | str | None = None,
    where: str | None = None,
    encoding: Encoding = Encoding.JSONL,
) -> Exported:
    """Write campaigns with everything that belongs to them into a new folder.

    Args:
        engine: the database; it is read as it is at one moment, while campaigns may run.
        folder: must not be there yet.
        campaign: only this one, by name or number.
        where: only runs that meet the filter, and the campaigns they belong to. Cells whose runs are left out
            are skipped in the export, since they ran, but not where it is read.
        encoding: JSON lines or Parquet.

    Raises:
        InputError: the folder is there or cannot be written, no such campaign, a filter that cannot be or
            that nothing meets.
    """
    if os.path.lexists(folder):  # pathlib's raises where a name is too long
        raise InputError(f"{folder} is there already: name a new folder for the export")
    condition = None if where is None else compile_filter(where)
    with _snapshot(engine) as connection, _whole_or_nothing(folder) as place:
        number = None if campaign is None else find_campaign(connection, campaign, foreign=True)[0]
        chosen = _campaigns(connection, number, condition)
        if not chosen:
            what = "there is no campaign yet" if where is None else f"no run meets {where!r}"
            raise InputError(f"nothing to export: {what}")
        export = _Writing(connection, place, encoding, condition)
        for row in chosen:
            export.campaign(row)
        export.shared()
        export.tunings(whole=campaign is None and where is None)
        entries = export.close()
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            schema_revision=revision.head(),
            tool_version=bench.__version__,
            encoding=encoding,
            campaign=None if campaign is None else chosen[0].name,
            where=where,
            samples=export.samples,
            files={file_name(layout, encoding): entries[layout.name] for layout in LAYOUTS},
        )
        with (place / MANIFEST).open("x", encoding="utf-8") as file:
            file.write(manifest.text())
            file.flush()
            os.fsync(file.fileno())
    return Exported(folder, {name: entry.rows for name, entry in entries.items()}, export.samples)


@contextmanager
def _snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One moment of the database, however long reading takes."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[Path]:
    """A hidden folder beside the named one, which takes its name when all is written."""
    place: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        place.chmod(0o777 & ~_umask())
        yield place
        place.rename(folder)
    except OSError as error:
        raise InputError(f"cannot write the export {folder}: {error.strerror or error}") from None
    finally:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)


def _umask() -> int:
    """mkdtemp keeps its folder to its owner; an export is as open as any other file."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _campaigns(
    connection: sa.Connection, number: int | None, condition: sa.ColumnElement[bool] | None
) -> Sequence[sa.Row[Any]]:
    """Those that are exported, oldest first."""
    query = sa.select(CampaignRow.__table__)
    if number is not None:
        query = query.where(CampaignRow.id == number)
    if condition is not None:
        query = query.where(CampaignRow.id.in_(sa.select(SUMMARY.c.campaign_id).where(condition)))
    return sorted(connection.execute(query).all(), key=lambda row: (row.created_at, row.uuid))


class _Writing:
    """The files of one export, filled campaign by campaign."""

    def __init__(
        self,
        connection: sa.Connection,
        place: Path,
        encoding: Encoding,
        condition: sa.ColumnElement[bool] | None,
    ) -> None:
        self.samples = 0
        self._connection = connection
        self._condition = condition
        self._used: dict[str, set[int]] = {"environments": set(), "models": set()}
        self._files: dict[str, Writer] = {}
        for layout in LAYOUTS:
            path = place / file_name(layout, encoding)
            self._files[layout.name] = writer(path, layout, encoding)

    def _write(self, layout: Layout, row: Row) -> None:
        self._files[layout.name].write({one.name: row[one.name] for one in layout.columns})

    def campaign(self, campaign: sa.Row[Any]) -> None:
        """A campaign with its cells, runs and samples, or with another tool's results."""
        row = dict(campaign._mapping)
        if row["state"] == CampaignState.RUNNING.value:
            row |= {"state": CampaignState.INTERRUPTED.value, "note": RUNNING_NOTE}
        # Where it came from is of this database, and not of the campaign.
        row["settings"] = unmarked(row["settings"])
        self._write(CAMPAIGNS, row)
        if row["origin"] != OWN:
            self._foreign(campaign.id, campaign.uuid)
            return
        ran = self._runs(campaign.id, campaign.uuid)
        self._cells(campaign.id, campaign.uuid, ran)

    def _rows(self, query: sa.Select[Any]) -> Iterator[Row]:
        found = self._connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE})
        return (dict(row._mapping) for row in found)

    def _cells(self, number: int, uuid: str, ran: set[int]) -> None:
        query = sa.select(CellRow.__table__).where(CellRow.campaign_id == number).order_by(CellRow.position)
        for row in self._rows(query):
            if row["state"] == CellState.LEASED.value:
                row["state"] = CellState.PLANNED.value  # whoever runs it does not come along
            elif (
                row["state"] == CellState.DONE.value
                and row["position"] not in ran
                and self._condition is not None
            ):
                row |= {"state": CellState.SKIPPED.value, "note": LEFT_OUT_NOTE}
            self._write(CELLS, {**row, "campaign": uuid})

    def _runs(self, number: int, uuid: str) -> set[int]:
        """Write the runs of a campaign; the positions of their cells."""
        query = (
            sa.select(
                RunRow.__table__,
                CellRow.position.label("position"),
                EnvironmentRow.hash.label("environment"),
                ModelRow.hash.label("model"),
            )
            .join(CellRow, CellRow.id == RunRow.cell_id)
            .join(EnvironmentRow, EnvironmentRow.id == RunRow.environment_id)
            .join(ModelRow, ModelRow.id == RunRow.model_id)
            .where(CellRow.campaign_id == number)
            .order_by(CellRow.position, RunRow.attempt)
        )
        if self._condition is not None:
            meeting = sa.select(SUMMARY.c.id).where(self._condition, SUMMARY.c.campaign_id == number)
            query = query.where(RunRow.id.in_(meeting))
        ran: set[int] = set()
        waiting: list[tuple[int, str]] = []
        for row in self._rows(query):
            ran.add(row["position"])
            self._used["environments"].add(row["environment_id"])
            self._used["models"].add(row["model_id"])
            self._write(RUNS, {**row, "campaign": uuid})
            waiting.append((row["id"], row["uuid"]))
            if len(waiting) == ROWS_AT_ONCE:
                self._samples(waiting)
                waiting = []
        self._samples(waiting)
        return ran

    def _samples(self, runs: list[tuple[int, str]]) -> None:
        """The samples of some runs, a row each; none for a run that has none."""
        names = dict(runs)
        taken: dict[int, tuple[list[Any], ...]] = {}
        query = (
            sa.select(
                *(SampleRow.run_id, SampleRow.phase, SampleRow.kind, SampleRow.position, SampleRow.batch),
                SampleRow.value_ms,
            )
            .where(SampleRow.run_id.in_(names))
            .order_by(SampleRow.run_id, SampleRow.position, SampleRow.kind)
        )
        for run, *values in self._connection.execute(query, execution_options={"yield_per": 10_000}):
            columns = taken.get(run)
            if columns is None:
                columns = taken[run] = ([], [], [], [], [])
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        for number, uuid in runs:
            if columns := taken.get(number):
                self.samples += len(columns[0])
                self._write(SAMPLES, dict(zip(_SAMPLE_COLUMNS, (uuid, *columns), strict=True)))

    def _foreign(self, number: int, uuid: str) -> None:
        query = (
            sa.select(ForeignRow.__table__).where(ForeignRow.campaign_id == number).order_by(ForeignRow.hash)
        )
        for row in self._rows(query):
            self._write(FOREIGN, {**row, "campaign": uuid})

    def shared(self) -> None:
        """Environments and models of the runs that were written, by hash."""
        for layout, table in ((ENVIRONMENTS, EnvironmentRow.__table__), (MODELS, ModelRow.__table__)):
            used = self._used[layout.name]
            rows = [row for row in self._rows(sa.select(table)) if row["id"] in used]
            for row in sorted(rows, key=lambda one: str(one["hash"])):
                self._write(layout, row)

    def tunings(self, *, whole: bool) -> None:
        """What was found for kernels: all of it, or that of those builds whose runs were written."""
        keys = [getattr(TuningRow, name) for name in HOLDS_FOR]
        query = sa.select(TuningRow.__table__).order_by(*keys)
        if not whole:
            ran = sa.select(EnvironmentRow.browser, EnvironmentRow.browser_version)
            ran = ran.where(EnvironmentRow.id.in_(self._used["environments"]))
            query = query.where(sa.tuple_(TuningRow.browser, TuningRow.browser_version).in_(ran))
        for row in self._rows(query):
            self._write(TUNINGS, row)

    def close(self) -> dict[str, Any]:
        """Finish every file; what each became."""
        return {name: file.close() for name, file in self._files.items()}


_SAMPLE_COLUMNS = tuple(one.name for one in SAMPLES.columns)
