"""Two workers and one cell, in any order: a run whose worker held no lease any more displaces none."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from records import record

from bench.errors import RunFailure
from bench.harness.outcome import Outcome, Stage
from bench.harness.run import unfinished
from bench.plan.cells import make_plan
from bench.plan.matrix import expand
from bench.store import CampaignState, open_store

ARM = expand({"bits": [4]}, {"model": "m", "platform": "webgpu", "browser": "chrome"})
OUTCOMES = [Outcome.OK, Outcome.FALLBACK, Outcome.TIMEOUT, Outcome.CRASHED, Outcome.INTERRUPTED]


def write_off(lease):
    failure = RunFailure(Outcome.INTERRUPTED, Stage.LAUNCH, "gone", name="WorkerGone")
    return unfinished(lease.cell.request, None, failure, lease.leased_at)


def planned(store):
    campaign = store.plan_campaign("one", make_plan(ARM, 1), settings={})
    store.set_state(campaign.id, CampaignState.RUNNING)
    return campaign


def taken_over(store, campaign):
    """A lease whose holder stood still until another had it; both leases."""
    lost = store.claim(campaign.id, "slow", -1)
    store.reap(campaign.id, lambda _: False, write_off)
    return lost, store.claim(campaign.id, "quick", 60)


@pytest.mark.parametrize("early", [True, False], ids=["before the successor", "after the successor"])
def test_who_wakes_late_displaces_nobody(any_url, early):
    with open_store(any_url) as store:
        campaign = planned(store)
        lost, held = taken_over(store, campaign)
        good, late = record(held.cell.request), record(lost.cell.request, Outcome.TIMEOUT)
        first = (late, "slow") if early else (good, "quick")
        second = (good, "quick") if early else (late, "slow")
        for one, owner in (first, second):
            store.record(lost.cell.id, one, owner=owner)
        assert store.finals(campaign.id) == [(held.cell.request, Outcome.OK)]
        rows = {row["uuid"]: row for row in store.rows()}
        assert len(rows) == 3 and max(rows.values(), key=lambda row: row["attempt"])["uuid"] == good.uuid
        assert sorted(row["attempt"] for row in rows.values()) == [1, 2, 3]
        assert "late" in store.run(rows[late.uuid]["id"]).evidence
        assert "late" not in store.run(rows[good.uuid]["id"]).evidence
        assert store.status("one").cells == {"done": 1}


def test_a_late_failure_that_nobody_took_over_lets_the_cell_run_again(any_url):
    with open_store(any_url) as store:
        campaign = planned(store)
        lost = store.claim(campaign.id, "slow", -1)
        store.reap(campaign.id, lambda _: False, write_off)
        store.record(lost.cell.id, record(lost.cell.request, Outcome.TIMEOUT), owner="slow")
        assert store.status("one").cells == {"planned": 1}
        again = store.claim(campaign.id, "quick", 60)
        store.record(again.cell.id, record(again.cell.request), owner="quick")
        assert store.finals(campaign.id) == [(again.cell.request, Outcome.OK)]


def possible(store, campaign, working):
    """What may happen next."""
    status = store.status(campaign.id)
    if status.cells.get("planned"):
        yield from (("claim", name) for name in "ab" if name not in working)
    if status.leases:
        yield ("take away",)
    yield from (("record", name) for name in working)


@given(st.data())
@hypothesis_settings(max_examples=60)
def test_in_any_order(data):
    """What a holder of the lease finished stays the cell's last word, and every run told is there."""
    with open_store("sqlite:///:memory:") as store:
        campaign = planned(store)
        working, told, final = {}, set(), None
        while len(told) < 6 and (steps := list(possible(store, campaign, working))):
            step, *who = data.draw(st.sampled_from(steps))
            if step == "claim":
                working[who[0]] = store.claim(campaign.id, who[0], 60)
            elif step == "take away":
                store.reap(campaign.id, lambda _: True, write_off)
            else:
                outcome, again = data.draw(st.sampled_from(OUTCOMES)), data.draw(st.booleans())
                again = again and not outcome.measured
                held = [lease.owner for lease in store.status("one").leases] == who
                lease = working.pop(who[0])
                one = record(lease.cell.request, outcome)
                store.record(lease.cell.id, one, owner=who[0], again=again)
                told.add(one.uuid)
                done = store.status("one").cells == {"done": 1}
                if held and outcome is not Outcome.INTERRUPTED and not again:
                    assert final is None and done, "two holders finished one cell"
                    final = one.uuid
                elif final is None and done:
                    assert outcome.measured, "a failure that came late ended the cell"
                    final = one.uuid
            rows = sorted(store.rows(), key=lambda row: row["attempt"])
            assert told <= {row["uuid"] for row in rows}
            assert [row["attempt"] for row in rows] == list(range(1, len(rows) + 1))
            if final is not None:
                assert rows[-1]["uuid"] == final and store.status("one").cells == {"done": 1}
