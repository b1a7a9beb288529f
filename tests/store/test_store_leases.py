"""Leases: one holder a cell, nothing lost when a holder dies, nothing twice when it comes back."""

import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from records import record, request

import bench
from bench.errors import RunFailure, StoreError
from bench.harness.outcome import Outcome, Stage
from bench.harness.run import unfinished
from bench.plan.cells import make_plan
from bench.plan.matrix import expand
from bench.store import CampaignState, open_store

ARMS = expand({"browser": ["chrome", "firefox"], "bits": [16, 4]}, {"model": "m", "platform": "webgpu"})


@pytest.fixture
def store(any_url):
    with open_store(any_url) as opened:
        yield opened


@pytest.fixture
def campaign(store):
    made = store.plan_campaign("one", make_plan(ARMS, 1, blocks=2, twin=True), settings={})
    store.set_state(made.id, CampaignState.RUNNING)
    return made


def write_off(lease):
    failure = RunFailure(Outcome.INTERRUPTED, Stage(lease.stage or "launch"), "gone", name="WorkerGone")
    return unfinished(lease.cell.request, None, failure, lease.leased_at)


def states(store):
    return Counter(cell["state"] for cell in store.cells())


def test_a_plan_comes_back_as_it_was_written(store, campaign):
    back = store.campaign("one")
    assert back.cells == campaign.cells and back.plan_hash == campaign.plan_hash
    assert back.plan.hash == back.plan_hash
    assert Counter(cell.role for cell in back.cells) == {"arm": 8, "twin": 2}


def test_cells_are_leased_in_their_order_and_only_once(store, campaign):
    taken = [store.claim(campaign.id, "a", 60) for _ in range(11)]
    assert [lease.cell.position for lease in taken[:10]] == list(range(10)) and taken[10] is None
    assert states(store) == {"leased": 10}


def test_nothing_is_leased_unless_the_campaign_runs(store, campaign):
    for state in CampaignState:
        store.set_state(campaign.id, state)
        lease = store.claim(campaign.id, "a", 60)
        assert (lease is not None) is (state is CampaignState.RUNNING)


def test_a_run_ends_its_cell_and_its_lease(store, campaign):
    lease = store.claim(campaign.id, "a", 60)
    one = record(lease.cell.request)
    number = store.record(lease.cell.id, one, owner="a")
    assert store.record(lease.cell.id, one, owner="a") == number  # told twice, kept once
    cell = store.cells()[0]
    assert cell["state"] == "done" and len(store.rows()) == 1
    assert store.status("one").leases == []
    row = store.rows()[0]
    assert row["cell_state"] == "done" and row["role"] == lease.cell.role


def test_a_cell_that_is_to_run_again_is_next(store, campaign):
    first = store.claim(campaign.id, "a", 60)
    assert first.failures == 0
    crashed = record(first.cell.request, Outcome.CRASHED)
    store.record(first.cell.id, crashed, owner="a", again=True)
    second = store.claim(campaign.id, "a", 60)
    assert second.cell == first.cell and second.failures == 1
    store.record(second.cell.id, record(second.cell.request), owner="a")
    assert [(row["attempt"], row["outcome"]) for row in store.rows()] == [(1, "crashed"), (2, "ok")]
    assert store.finals(campaign.id) == [(first.cell.request, Outcome.OK)]


def test_an_interrupted_run_counts_as_no_failure(store, campaign):
    lease = store.claim(campaign.id, "a", 60)
    store.record(lease.cell.id, write_off(lease), owner="a")
    again = store.claim(campaign.id, "a", 60)
    assert again.cell == lease.cell and again.failures == 0


def test_a_heartbeat_keeps_a_lease_and_says_where_it_is(store, campaign):
    lease = store.claim(campaign.id, "a", 0.0)
    assert store.beat(lease.cell.id, "a", "measure", 60)
    assert not store.beat(lease.cell.id, "b", "measure", 60)
    [held] = store.status("one").leases
    assert (held.owner, held.stage, held.expired) == ("a", "measure", False)
    assert store.reap(campaign.id, lambda _: False, write_off) == []


def test_who_is_gone_leaves_an_interrupted_run_and_a_planned_cell(store, campaign):
    kept, expired, _dead = (store.claim(campaign.id, owner, 60) for owner in ("alive", "late", "dead"))
    store.beat(expired.cell.id, "late", "verify", -1)
    taken = store.reap(campaign.id, lambda owner: owner == "dead", write_off)
    assert [lease.owner for lease in taken] == ["late", "dead"]
    assert states(store) == {"leased": 1, "planned": 9}
    assert {(row["outcome"], row["error_stage"]) for row in store.rows()} == {
        ("interrupted", "verify"), ("interrupted", "launch"),
    }  # fmt: skip
    assert store.reap(campaign.id, lambda owner: owner == "dead", write_off) == []
    assert store.claim(campaign.id, "new", 60).cell == expired.cell
    assert store.status("one").leases[0].owner == "alive" and kept.cell.position == 0


def test_who_was_taken_for_dead_may_still_bring_its_run(store, campaign):
    """Its run is a real one and is kept, but the holder of today goes on undisturbed."""
    lost = store.claim(campaign.id, "slow", -1)
    store.reap(campaign.id, lambda _: False, write_off)
    again = store.claim(campaign.id, "quick", 60)
    assert again.cell == lost.cell
    store.record(lost.cell.id, record(lost.cell.request), owner="slow")
    assert store.status("one").leases[0].owner == "quick"
    store.record(again.cell.id, record(again.cell.request), owner="quick")
    assert [row["outcome"] for row in store.rows()] == ["interrupted", "ok", "ok"]
    # Nobody holds it: then the late run ends the cell, and it does not run once more.
    lost = store.claim(campaign.id, "slow", -1)
    store.reap(campaign.id, lambda _: False, write_off)
    store.record(lost.cell.id, record(lost.cell.request), owner="slow")
    assert states(store) == {"done": 2, "planned": 8}


def test_skipping_leaving_and_settling(store, campaign):
    lease = store.claim(campaign.id, "a", 60)
    store.leave(campaign.id, "stopped by b")
    assert store.status("one").state is CampaignState.RUNNING  # a still runs
    store.record(lease.cell.id, record(lease.cell.request), owner="a")
    store.leave(campaign.id, "stopped by a")
    assert (store.status("one").state, store.status("one").note) == (
        CampaignState.INTERRUPTED, "stopped by a",
    )  # fmt: skip
    assert store.skip(campaign.id, "precise enough", from_block=1) == 5
    assert store.settle(campaign.id) is CampaignState.INTERRUPTED
    assert store.status("one").blocks == (2, 1)
    assert store.skip(campaign.id, "cancelled") == 4
    assert store.settle(campaign.id) is CampaignState.DONE
    assert {cell["note"] for cell in store.cells()} == {None, "precise enough", "cancelled"}


def test_status_counts(store, campaign):
    for outcome in (Outcome.OK, Outcome.OK, Outcome.TIMEOUT):
        lease = store.claim(campaign.id, "a", 60)
        store.record(lease.cell.id, record(lease.cell.request, outcome), owner="a")
    store.claim(campaign.id, "a", 60)
    status = store.status(campaign.id)
    assert status.cells == {"done": 3, "leased": 1, "planned": 6}
    assert status.runs == {"ok": 2, "timeout": 1}
    assert (status.total, status.open, status.blocks) == (10, 7, (2, 0))
    assert [row["done"] for row in store.campaigns()] == [3]


def test_durations_leave_the_making_of_bundles_out(store, campaign):
    lease = store.claim(campaign.id, "a", 60)
    one = record(
        lease.cell.request,
        started_at="2026-11-23T03:15:00.000+00:00",
        finished_at="2026-11-23T03:15:09.000+00:00",
        phases_ms={"prepare": 4000.0, "measure": 5000.0},
    )
    store.record(lease.cell.id, one, owner="a")
    assert store.durations() == store.durations(campaign.id) == [(lease.cell.request, 5.0)]
    assert store.durations(campaign.id + 1) == []


def test_the_newest_run_says_what_is_unsupported(store):
    cells = store.create_campaign(
        "u", [request(), request(bits=8), request(bits=2)], seed=1, settings={}
    ).cells
    store.record(cells[0].id, record(cells[0].request, Outcome.UNSUPPORTED))
    assert list(store.refusals()) == [("chrome", "webgpu", "stock")]
    store.record(cells[1].id, record(cells[1].request, Outcome.INTERRUPTED))
    assert list(store.refusals()) == [("chrome", "webgpu", "stock")]
    store.record(cells[2].id, record(cells[2].request, Outcome.OK))
    assert store.refusals() == {}


WORKER = """
import sys, uuid
from bench.harness.outcome import Outcome
from bench.store import open_store
sys.path.insert(0, {tests!r})
from records import record
with open_store({url!r}, create=False) as store:
    while (lease := store.claim(1, sys.argv[1], 60)) is not None:
        store.record(lease.cell.id, record(lease.cell.request), owner=sys.argv[1])
"""


def test_workers_at_once_run_each_cell_once(store, any_url, monkeypatch):
    arms = expand(
        {"bits": [16, 8, 4, 2], "batch_size": [1, 2, 3, 4], "browser": ["chrome", "firefox"]},
        {"model": "m", "platform": "webgpu"},
    )
    plan = make_plan(arms, 1, blocks=3)
    campaign = store.plan_campaign("many", plan, settings={})
    store.set_state(campaign.id, CampaignState.RUNNING)
    monkeypatch.setenv("PYTHONPATH", str(Path(bench.__file__).parent.parent))
    program = WORKER.format(tests=str(Path(__file__).parents[1]), url=any_url)
    running = [
        subprocess.Popen([sys.executable, "-c", program, name], stderr=subprocess.PIPE, text=True)
        for name in ("a", "b", "c")
    ]
    assert [process.communicate()[1] for process in running] == ["", "", ""]
    rows = store.rows()
    assert len(rows) == len(plan.cells) == len({row["cell_id"] for row in rows})
    assert states(store) == {"done": len(plan.cells)}


def test_a_locked_database_says_what_to_do_and_a_beat_does_not_wait(tmp_path, monkeypatch):
    from bench.store import address, writing

    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as store:
        campaign = store.plan_campaign("one", make_plan(ARMS, 1), settings={})
        store.set_state(campaign.id, CampaignState.RUNNING)
        lease = store.claim(campaign.id, "a", 60)
    monkeypatch.setattr(writing, "ATTEMPTS", 1)
    monkeypatch.setattr(address, "BUSY_SECONDS", 0.2)
    other = sqlite3.connect(tmp_path / "bench.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(20, lambda: other.execute("ROLLBACK"))
    timer.start()
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite", create=False) as second:
        assert second.beat(lease.cell.id, "a", None, 60)
        with pytest.raises(StoreError, match=r"locked; another program holds it"):
            second.set_state(campaign.id, CampaignState.DONE)
    timer.cancel()
    other.close()
