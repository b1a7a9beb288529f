"""The result sets that are published under results/, as the docs read them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.record import RunRecord
from bench.report.board import Board
from bench.store import open_store, upgrade
from bench.store.store import Store

RESULTS = Path(__file__).resolve().parent.parent / "results"


@dataclass(frozen=True)
class ResultSet:
    """One published folder: its runs, and its name in links and commands."""

    name: str
    board: Board
    records: dict[int, RunRecord]

    @property
    def db(self) -> str:
        """The option that makes any command read it, typed in the checkout."""
        return f"--db sqlite:///results/{self.name}/runs.sqlite"

    @property
    def title(self) -> str:
        """Its name as code."""
        return f"`{self.name}`"


@cache
def result_sets() -> tuple[ResultSet, ...]:
    """Every published set, oldest first."""
    with _stores() as stores:
        found = []
        for name, store in stores:
            board = Board.load(store)
            records = {int(run): store.run(int(run)) for run in board.runs["id"]}
            found.append(ResultSet(name, board, records))
        return tuple(found)


@contextmanager
def _stores() -> Iterator[list[tuple[str, Store]]]:
    """Copies, brought to today's schema: reading must not change what is published."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        opened = []
        for path in sorted(RESULTS.glob("*/runs.sqlite")):
            copy = folder / f"{path.parent.name}.sqlite"
            shutil.copyfile(path, copy)
            upgrade(f"sqlite:///{copy}")
            opened.append(
                (path.parent.name, stack.enter_context(open_store(f"sqlite:///{copy}", create=False)))
            )
        yield opened
