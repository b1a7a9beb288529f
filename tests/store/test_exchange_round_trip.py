"""Export and import: what leaves a database arrives in another one, whatever kind either is."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import sqlalchemy as sa
from exchanged import DATA, contents, everything, export, plans, records, rows, take, world
from records import fill, operator, record, request

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.store import CampaignState, CellState, check, open_store, upgrade
from bench.store.exchange import import_foreign, read_foreign


@pytest.fixture
def source(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/source.sqlite") as store:
        world(store)
        yield store


@pytest.fixture
def target(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/target.sqlite") as store:
        yield store


@pytest.mark.parametrize("encoding", ["jsonl", "parquet"])
def test_everything_arrives(source, any_url, tmp_path, encoding):
    folder = export(source, tmp_path / "out", encoding)
    with open_store(any_url) as there:
        done = take(there, folder)
        assert rows(there) == rows(source) and len(rows(there)) == 25
        assert records(there) == records(source)
        assert plans(there) == plans(source) and len(plans(there)) == 3
        assert done.new["runs"] == 25 and done.new["campaigns"] == 3 and done.known["runs"] == 0
        assert done.new["samples"] == sum(len(samples) for _, samples in records(source).values()) > 40
        assert there.campaign("déjà vu").plan.hash == there.campaign("déjà vu").plan_hash
    assert check(any_url).problems == []


@pytest.mark.parametrize("encoding", ["jsonl", "parquet"])
def test_from_sqlite_to_postgresql_and_back(source, target, postgres_url, tmp_path, encoding):
    out = export(source, tmp_path / "out", encoding)
    with open_store(postgres_url) as between:
        take(between, out)
        back = export(between, tmp_path / "back", encoding)
        assert rows(between) == rows(source)
    take(target, back)
    assert rows(target) == rows(source) and plans(target) == plans(source)
    assert records(target) == records(source)
    assert contents(back) == contents(out) == contents(export(target, tmp_path / "again", encoding))


def test_the_same_database_gives_the_same_bytes(source, tmp_path):
    for encoding in ("jsonl", "parquet"):
        first, second = (export(source, tmp_path / f"{encoding}{turn}", encoding) for turn in (1, 2))
        assert contents(first) == contents(second)


@pytest.mark.parametrize("number", ["0001", "0002", "0003"])
def test_a_database_of_old_travels_once_it_is_upgraded(tmp_path, target, number):
    path = tmp_path / "old.sqlite"
    shutil.copy(DATA / f"revision-{number}.sqlite", path)
    upgrade(f"sqlite:///{path}")
    with open_store(f"sqlite:///{path}") as old:
        take(target, export(old, tmp_path / "out"))
        assert rows(target) == rows(old) and records(target) == records(old)
        assert plans(target) == plans(old)


def test_twice_adds_nothing(source, any_url, tmp_path):
    folder = export(source, tmp_path / "out")
    with open_store(any_url) as there:
        take(there, folder)
        before = everything(there)
        done = take(there, folder)
        assert everything(there) == before
        assert not any(done.new.values()) and not done.cells_updated and not done.notes
        assert done.known["runs"] == 25 and done.known["campaigns"] == 3
        # Nor does its own export, nor the other encoding of the same.
        assert not any(take(source, folder).new.values())
        assert not any(take(there, export(source, tmp_path / "other", "parquet")).new.values())


def test_a_growing_campaign_adds_only_what_is_new(tmp_path, any_url, target):
    campaign = target.create_campaign(
        "nightly", [request(bits=bits) for bits in (16, 8, 4)], seed=1, settings={}
    )
    for cell in campaign.cells[:1]:
        target.record(cell.id, record(cell.request))
    with open_store(any_url) as there:
        take(there, export(target, tmp_path / "1"))
        assert there.status("nightly").cells == {"done": 1, "planned": 2}
        target.record(campaign.cells[1].id, record(campaign.cells[1].request, Outcome.INTERRUPTED))
        target.skip(campaign.id, "cancelled", from_block=0)
        target.set_state(campaign.id, CampaignState.CANCELLED, "by the user")
        done = take(there, export(target, tmp_path / "2"))
        assert (done.new["runs"], done.known["runs"], done.cells_updated) == (1, 1, 2)
        assert rows(there) == rows(target) and plans(there) == plans(target)


def test_a_campaign_is_done_where_its_last_cell_comes_in(tmp_path, source, target):
    take(target, export(source, tmp_path / "1"))
    source.set_state(source.campaign("later").id, CampaignState.RUNNING)
    cell = source.campaign("later").cells[0]
    source.record(cell.id, record(cell.request, Outcome.UNAVAILABLE))
    source.settle(source.campaign("later").id)
    take(target, export(source, tmp_path / "2"))
    assert target.status("later").state is CampaignState.DONE
    assert rows(target) == rows(source)


def test_a_done_cell_never_goes_back(tmp_path, source, target):
    early = export(source, tmp_path / "early")
    take(target, early)
    here = target.campaign("later")
    target.record(here.cells[0].id, record(here.cells[0].request))
    assert target.settle(here.id) is CampaignState.DONE
    before = everything(target)
    assert not any(take(target, early).new.values())
    assert everything(target) == before


def test_a_running_campaign_is_left_alone_and_the_others_are_not(tmp_path, source, any_url):
    with open_store(any_url) as there:
        take(there, export(source, tmp_path / "1"))
        later = there.campaign("later")
        there.set_state(later.id, CampaignState.RUNNING)
        lease = there.claim(later.id, "me", 90)
        held = everything(there)["cells"]
        for name in ("later", "déjà vu"):
            cell = source.campaign(name).cells[-1 if name == "later" else 1]
            source.record(cell.id, record(cell.request))
        done = take(there, export(source, tmp_path / "2"))
        assert [note for note in done.notes if "'later' is running here" in note] == done.notes != []
        assert done.new["runs"] == 1 and there.status("later").runs == {}
        assert there.status("later").leases[0].owner == "me"
        assert set(held) - set(everything(there)["cells"]) == {
            row for row in held if "'planned'" in row and row not in everything(there)["cells"]
        }
        # A cell in hand counts even where the campaign is not said to run.
        there.set_state(later.id, CampaignState.CANCELLED)
        assert take(there, tmp_path / "2").notes
        there.record(lease.cell.id, record(lease.cell.request), owner="me")
        done = take(there, tmp_path / "2")
        assert done.new["runs"] == 1 and "another attempt number" in done.notes[0]


def test_who_runs_a_cell_does_not_come_along(tmp_path, source, target):
    later = source.campaign("later")
    source.set_state(later.id, CampaignState.RUNNING)
    source.claim(later.id, "host:1:2", 90)
    folder = export(source, tmp_path / "out")
    take(target, folder)
    status = target.status("later")
    assert status.state is CampaignState.INTERRUPTED and status.note == "was running when it was exported"
    assert status.cells == {"planned": 1} and status.leases == []
    assert b"host:1:2" not in b"".join(contents(folder).values())
    # It can go on here.
    target.set_state(status.id, CampaignState.RUNNING)
    assert target.claim(status.id, "me", 90) is not None


def test_two_campaigns_of_one_name_stay_two(tmp_path, source, any_url):
    with open_store(any_url) as there:
        fill(there)
        mine = plans(there)
        done = take(there, export(source, tmp_path / "out"))
        uuid = source.campaign("nightly").uuid
        name = f"nightly@{uuid[:8]}"
        assert done.notes == [f"another campaign here is named 'nightly': the imported one is {name!r}"]
        assert there.campaign(name).uuid == uuid and there.status(name).cells == {"done": 22, "planned": 2}
        assert mine.items() <= plans(there).items()
        assert there.campaign(name).plan.hash == source.campaign("nightly").plan_hash
        assert not any(take(there, tmp_path / "out").new.values())
        # Back where it came from it is known by its UUID, under the name it has there.
        take(source, export(there, tmp_path / "back"))
        assert source.campaign("nightly").uuid == uuid and source.status("nightly").cells["done"] == 22


def test_the_same_uuid_with_another_plan_is_refused(tmp_path, source, target):
    take(target, export(source, tmp_path / "out"))
    with target.engine.connect() as connection, connection.begin():
        connection.execute(sa.text("UPDATE campaigns SET seed = 8 WHERE name = 'nightly'"))
    before = everything(target)
    with pytest.raises(InputError, match=r"campaigns.jsonl, line \d: .*same UUID here but another seed"):
        take(target, tmp_path / "out")
    with target.engine.connect() as connection, connection.begin():
        connection.execute(sa.text("UPDATE campaigns SET seed = 7 WHERE name = 'nightly'"))
        connection.execute(sa.text("UPDATE cells SET block = 9 WHERE position = 3"))
    with pytest.raises(
        InputError, match=r"cells.jsonl, line \d+: cell 3 of that campaign asks for something else"
    ):
        take(target, tmp_path / "out")
    assert len(before["runs"]) == len(everything(target)["runs"])


def test_a_cell_that_ran_in_both_places_keeps_both_runs(tmp_path, source, target):
    take(target, export(source, tmp_path / "1"))
    uuids = set()
    for store, median in ((source, 11.0), (target, 12.0)):
        cell = store.campaign("later").cells[0]
        run = record(cell.request, median=median)
        store.record(cell.id, run)
        uuids.add(run.uuid)
    done = take(target, export(source, tmp_path / "2"))
    both = target.rows("campaign = later")
    assert {row["uuid"] for row in both} == uuids and [row["attempt"] for row in both] == [1, 2]
    assert done.notes[0].startswith("1 runs have another attempt number")
    assert not any(take(target, tmp_path / "2").new.values())


def test_only_one_campaign(tmp_path, source, target):
    take(target, export(source, tmp_path / "out", campaign="déjà vu"))
    assert [row["name"] for row in target.campaigns()] == ["déjà vu"] and len(target.rows()) == 3
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["campaign"] == "déjà vu"
    assert check(target.url).counts["environments"] == 1


def test_only_some_runs(tmp_path, source, target):
    take(target, export(source, tmp_path / "out", where="outcome = ok and bits = 4"))
    assert {row["uuid"] for row in target.rows()} == {
        row["uuid"] for row in source.rows("outcome=ok and bits=4")
    }
    assert {row["name"] for row in target.campaigns()} == {
        row["campaign"] for row in source.rows("outcome=ok and bits=4")
    }
    cells = target.cells(campaign="nightly")
    assert len(cells) == 24 and {row["state"] for row in cells} == {"done", "skipped", "planned"}
    assert {row["note"] for row in cells if row["state"] == "skipped"} == {
        "its runs were left out of an export"
    }
    # What was left out comes with the whole, and the cells go forward.
    take(target, export(source, tmp_path / "whole"))
    assert rows(target) == rows(source)
    assert target.status("nightly").cells == source.status("nightly").cells


def test_an_operator_without_a_matrix_has_no_bits_and_travels(tmp_path, source, target):
    """What `bench kernels --attention` stores: 16 bits were asked for, and nothing has any."""
    made = operator("native", [0.5] * 5, [0.25] * 5, model="attention 512x32x128", bits=16)
    made.effective.bits = made.effective.bits_mean = None
    made.metrics.weight_bytes = made.metrics.weight_bytes_fp16 = made.metrics.memory_reduction = None
    rounded = operator("ort-web", [0.5] * 5, [0.25] * 5, level=4, model="matmul 1x8x32", bits=16)
    rounded.effective.bits, rounded.quality.kernel_rel_l2 = 16, 8e-3  # more rounding was asked for
    campaign = source.create_campaign("operators", [made.requested, rounded.requested], seed=7, settings={})
    for cell, one in zip(campaign.cells, (made, rounded), strict=True):
        source.record(cell.id, one)
    take(target, export(source, tmp_path / "out", campaign="operators"))
    assert {(row["outcome"], row["effective_bits"]) for row in target.rows()} == {("ok", None), ("ok", 16)}


def test_other_results_travel_too(tmp_path, source, target):
    import_foreign(source.engine, read_foreign(DATA / "crossbench"))
    for encoding in ("jsonl", "parquet"):
        folder = export(source, tmp_path / encoding, encoding)
        done = take(target, folder)
        assert done.new["foreign_results"] == (42 if encoding == "jsonl" else 0)
    assert contents(export(target, tmp_path / "back")) == contents(tmp_path / "jsonl")
    assert {row["origin"] for row in target.campaigns()} == {"own", "crossbench"}
    assert not import_foreign(target.engine, read_foreign(DATA / "crossbench")).new
    only = export(source, tmp_path / "only", campaign="crossbench")
    assert (only / "runs.jsonl").read_bytes() == b""


def test_pandas_reads_the_files_without_us(source, tmp_path):
    lines, columns = (export(source, tmp_path / encoding, encoding) for encoding in ("jsonl", "parquet"))
    runs = [
        pd.read_json(lines / "runs.jsonl", lines=True, precise_float=True),
        pd.read_parquet(columns / "runs.parquet"),
    ]
    measured = {row["uuid"]: row["latency_ms_median"] for row in source.rows("outcome = ok")}
    for frame in runs:
        ok = frame[frame.outcome == "ok"]
        assert dict(zip(ok.uuid, ok.latency_ms_median, strict=True)) == measured
    samples = pd.read_parquet(columns / "samples.parquet").explode(
        ["phase", "kind", "position", "batch", "value_ms"]
    )
    assert len(samples) == sum(len(found) for _, found in records(source).values())


def test_states_are_those_of_cells(source):
    """The order in which cells go forward holds every state but the one of a cell in hand."""
    from bench.store.exchange import plans as arriving

    assert set(arriving._CELLS_GO) == set(CellState) - {CellState.LEASED}
    assert set(arriving._CAMPAIGNS_GO) == set(CampaignState) - {CampaignState.RUNNING}
