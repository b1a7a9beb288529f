"""Results of other tools in the database: apart from our runs, since nobody here checked their answers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.errors import InputError
from bench.store.address import shown
from bench.store.exchange import crossbench, llama_bench
from bench.store.exchange.plans import free_name
from bench.store.exchange.result import ForeignFile
from bench.store.schema import CampaignRow, CampaignState, ForeignRow
from bench.store.writing import check_name, in_transaction

__all__ = ["TOOLS", "ForeignFile", "ForeignImported", "import_foreign", "read_foreign"]

_CAMPAIGNS = uuid.UUID(
    "7b0f7c39-2f6a-4f0e-9d3c-6c2b9b2f2a51"
)  # ours: the same file is the same campaign anywhere


@dataclass(frozen=True)
class Tool:
    """Another benchmark whose output can be read."""

    claims: Callable[[Path], bool]
    read: Callable[[Path], ForeignFile]


TOOLS = {
    llama_bench.NAME: Tool(llama_bench.claims, llama_bench.read),
    crossbench.NAME: Tool(crossbench.claims, crossbench.read),
}


@dataclass(frozen=True)
class ForeignImported:
    """What an import of another tool's results did."""

    tool: str
    campaign: str
    asked: str
    new: int
    known: int


def read_foreign(path: Path) -> ForeignFile:
    """Read whatever tool's output this is.

    Raises:
        InputError: no tool's, or torn.
    """
    for tool in TOOLS.values():
        try:
            if tool.claims(path):
                return tool.read(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    if path.is_file() and _starts(path, b"SQLite format 3\0"):
        raise InputError(
            f"{path} is a database: write what it holds into a folder with bench db export FOLDER "
            f"--db sqlite:///{path}, then import that"
        )
    raise InputError(
        f"{path} is nothing that can be imported: name a folder that `bench db export` made, the output of "
        "llama-bench -o json or jsonl, or results of crossbench"
    )


def _starts(path: Path, words: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(words)) == words


def import_foreign(engine: sa.Engine, file: ForeignFile, name: str | None = None) -> ForeignImported:
    """Take another tool's results in as a campaign of their own, as one transaction.

    A result is known by the hash of all it says: the same file adds nothing twice, one that has grown adds
    what is new to the campaign that has the rest.

    Args:
        engine: the database.
        file: what was read.
        name: of a new campaign; None for that of the file.

    Raises:
        InputError: the name cannot be.
    """
    asked = name if name is not None else file.name
    check_name(asked)
    rows = {row["hash"]: row for row in (result.row() for result in file.results)}
    key = str(uuid.uuid5(_CAMPAIGNS, f"{file.tool}:{next(iter(rows))}"))

    def write(connection: sa.Connection) -> ForeignImported:
        known = _known(connection, list(rows))
        fresh = [row for hash_, row in rows.items() if hash_ not in known]
        number, chosen = _campaign(connection, file.tool, asked, key, next(iter(known.values()), None))
        if fresh:
            connection.execute(sa.insert(ForeignRow), [{**row, "campaign_id": number} for row in fresh])
        return ForeignImported(file.tool, chosen, asked, len(fresh), len(known))

    return in_transaction(engine, shown(engine.url), write)


def _known(connection: sa.Connection, hashes: list[str]) -> dict[str, int]:
    """Hash -> campaign of those that are here."""
    known: dict[str, int] = {}
    for start in range(0, len(hashes), 1000):
        part = hashes[start : start + 1000]
        query = sa.select(ForeignRow.hash, ForeignRow.campaign_id).where(ForeignRow.hash.in_(part))
        known |= {row.hash: row.campaign_id for row in connection.execute(query)}
    return known


def _campaign(
    connection: sa.Connection, tool: str, asked: str, key: str, number: int | None
) -> tuple[int, str]:
    """The campaign that has some of the results, or a new one: its number and name."""
    query = sa.select(CampaignRow.id, CampaignRow.name)
    mine = CampaignRow.uuid == key if number is None else CampaignRow.id == number
    if (here := connection.execute(query.where(mine)).one_or_none()) is not None:
        return here.id, here.name
    values: dict[str, Any] = {
        "uuid": key,
        "name": free_name(connection, asked, key),
        "seed": 0,
        "settings": {},
        "state": CampaignState.DONE.value,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "origin": tool,
    }
    connection.execute(sa.insert(CampaignRow).values(**values))
    made = connection.execute(query.where(CampaignRow.uuid == key)).one()
    return made.id, made.name
