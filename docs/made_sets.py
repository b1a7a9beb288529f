"""The result sets that are published under results/, as the docs read them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from bench.plan.measuring import OPERATORS
from bench.record import RunRecord
from bench.report.board import Board
from bench.store import Campaign, open_store, upgrade
from bench.store.store import Store

RESULTS = Path(__file__).resolve().parent.parent / "results"


@dataclass(frozen=True)
class ResultSet:
    """One published folder, and its name in links and commands.

    Attributes:
        board: all that was asked for; `models` is the same without operators.
        records: the runs by number.
        campaigns: in the order they were made.
    """

    name: str
    folder: Path
    board: Board
    models: Board
    records: dict[int, RunRecord]
    campaigns: tuple[Campaign, ...]

    @property
    def db(self) -> str:
        """The option that makes any command read it, typed in the checkout."""
        return f"--db sqlite:///results/{self.name}/runs.sqlite"

    @property
    def title(self) -> str:
        """Its name as code."""
        return f"`{self.name}`"

    @property
    def of_operators(self) -> list[Campaign]:
        """The campaigns of `bench kernels`: their models are operators."""
        return [one for one in self.campaigns if OPERATORS in one.settings]


@cache
def result_sets(folder: Path | None = None) -> tuple[ResultSet, ...]:
    """Every published set, oldest first; or those of another folder."""
    folder = folder or RESULTS
    with _stores(folder) as stores:
        found = []
        for name, store in stores:
            board = Board.load(store)
            records = {int(run): store.run(int(run)) for run in board.runs["id"]}
            own = [int(one["id"]) for one in store.campaigns() if one["origin"] == "own"]
            campaigns = tuple(store.campaign(number) for number in sorted(own))
            models = _without_operators(board, campaigns)
            found.append(ResultSet(name, folder / name, board, models, records, campaigns))
        return tuple(found)


def _without_operators(board: Board, campaigns: Sequence[Campaign]) -> Board:
    operators = [one.id for one in campaigns if OPERATORS in one.settings]
    if not operators:
        return board
    frames = (board.runs, board.cells[board.cells["id"].isna()])
    return Board.of(pd.concat([one[~one["campaign_id"].isin(operators)] for one in frames]))


@contextmanager
def _stores(published: Path) -> Iterator[list[tuple[str, Store]]]:
    """Copies, brought to today's schema: reading must not change what is published."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        opened = []
        for path in sorted(published.glob("*/runs.sqlite")):
            copy = folder / f"{path.parent.name}.sqlite"
            shutil.copyfile(path, copy)
            upgrade(f"sqlite:///{copy}")
            opened.append(
                (path.parent.name, stack.enter_context(open_store(f"sqlite:///{copy}", create=False)))
            )
        yield opened
