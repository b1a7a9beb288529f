"""Databases that travel, for tests of export and import: what is in one, how a folder is tampered with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from records import fill, record, request, tuned_kernel

from bench.harness.outcome import Outcome
from bench.plan.cells import make_plan
from bench.store import CampaignState, Store
from bench.store.exchange import Encoding, export_folder, import_folder, open_export
from bench.store.schema import OUR_TABLES

LOCAL = {"id", "campaign_id", "cell_id"}
DATA = Path(__file__).parent / "data"


def world(store: Store) -> None:
    """A campaign of every outcome, one from a file with a twin and retries, one that nobody began."""
    fill(store, leave=2)
    store.keep_tuned([tuned_kernel(), tuned_kernel(key="rms_norm 1x24", constants={})])
    plan = make_plan(
        [request(bits=bits) for bits in (16, 4)],
        3,
        blocks=2,
        twin=True,
        definition={"name": "déjà", "n": 1.5},
    )
    campaign = store.plan_campaign("déjà vu", plan, settings={"max_seconds": 0.25, "iterations": None})
    first, second, *_ = campaign.cells
    store.record(first.id, record(first.request, Outcome.CRASHED), again=True)
    store.record(first.id, record(first.request, median=1 / 3))
    store.record(second.id, record(second.request, Outcome.INTERRUPTED))
    store.set_state(campaign.id, CampaignState.INTERRUPTED, "the budget is spent: 2 > 1")
    store.create_campaign("later", [request(browser="chrome:/opt/b'uild/chrome")], seed=-1, settings={})
    with store.engine.connect() as connection, connection.begin():  # an order that does not hang on UUIDs
        connection.execute(
            sa.text("UPDATE campaigns SET created_at = '2026-11-23T00:00:0' || id || '+00:00'")
        )


def rows(store: Store) -> list[dict[str, Any]]:
    """`run_summary` without numbers that are local, in an order that is not."""
    found = [{key: value for key, value in row.items() if key not in LOCAL} for row in store.rows()]
    return sorted(found, key=lambda row: (row["campaign"], row["position"], row["attempt"]))


def records(store: Store) -> dict[str, Any]:
    """UUID -> the whole record of every run, samples included."""
    found = {}
    for row in store.rows():
        run = store.run(row["id"])
        found[run.uuid] = (run.model_dump(exclude={"id"}), [one.model_dump() for one in run.samples])
    return found


def plans(store: Store) -> dict[str, Any]:
    """UUID -> a campaign: its plan, hash, settings, states."""
    found = {}
    for row in store.campaigns():
        if row["origin"] == "own":
            one = store.campaign(row["id"])
            cells = [
                {key: value for key, value in cell.items() if key not in LOCAL}
                for cell in store.cells(campaign=row["id"])
            ]
            found[one.uuid] = (one.name, one.seed, one.plan.canonical(), one.plan_hash, dict(one.settings))
            found[one.uuid] += (one.state, row["note"], row["created_at"], cells)
    return found


def everything(store: Store) -> dict[str, list[Any]]:
    """Every row of every table, to see that nothing was changed."""
    with store.engine.connect() as connection:
        return {
            table: sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {table}")).all()))
            for table in sorted(OUR_TABLES)
        }


def export(store: Store, folder: Path, encoding: str = "jsonl", **options: Any) -> Path:
    export_folder(store.engine, folder, encoding=Encoding(encoding), **options)
    return folder


def take(store: Store, folder: Path) -> Any:
    return import_folder(store.engine, open_export(folder))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rehash(folder: Path) -> None:
    """Let the manifest say what the files are now: what is wrong with them must be found by reading them."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        entry |= {"sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_line(folder: Path, name: str, line: int, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change one row of a JSON lines file; the manifest follows."""
    path = folder / name
    lines = path.read_text().splitlines()
    row = json.loads(lines[line - 1])
    made = change(row)
    lines[line - 1] = made if isinstance(made, str) else json.dumps(row if made is None else made)
    path.write_text("".join(f"{one}\n" for one in lines))
    rehash(folder)
