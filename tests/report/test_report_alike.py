"""What two browsers on one host may differ in, and what arms of other kernels, or on a timer, may not."""

from __future__ import annotations

import pytest
from compared import bits, campaign
from one_gpu import H100, effective, two_browsers
from records import request

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.report import compare_text
from bench.report.alike import adapters_differ, code
from bench.report.board import Board
from bench.report.choice import choices
from bench.report.compare import NEEDED, compare
from bench.report.history import NEEDED as HISTORY
from bench.report.history import history
from bench.store import open_store

METRIC = "latency_ms_median"


@pytest.fixture
def store():
    with open_store("sqlite://") as store:
        yield store


def compared(store, base="browser=chrome", other="browser=firefox", **more):
    sides = [store.side(text, [*NEEDED, METRIC]) for text in (base, other)]
    return compare(sides[0], sides[1], (base, other), METRIC, **more)


def test_two_browsers_on_the_one_gpu_of_a_host_are_compared_and_it_is_said_why(store):
    two_browsers(store)
    table = compared(store)
    (cell,) = table.cells
    assert cell.comparison.blocks == 10 and not table.differs
    assert any(f"this host has no other than {H100}" in line for line in compare_text.summary(table))


@pytest.mark.parametrize(
    "changes",
    [
        {"gpus": f"{H100}; {H100}"},
        {"gpus": ""},
        {"gpus": None},
        {"fallback": True},
    ],
    ids=["two GPUs", "no GPU", "unknown", "software"],
)
def test_where_another_adapter_could_have_run_they_are_not(store, changes):
    two_browsers(store, **changes)
    with pytest.raises(InputError, match="not comparable: adapters NVIDIA H100"):
        compared(store)


def test_clocks_of_other_steps_forbid_only_what_they_could_not_tell(store):
    two_browsers(store, ticks=40.0)
    with pytest.raises(InputError, match=r"clock steps 5.00 and 20.0 µs, with samples of only 40.0 steps"):
        compared(store)


def test_activations_of_two_browsers_stand_beside_the_verdict(store):
    two_browsers(store, activations=("f32", "f16"))
    assert compared(store).beside == {
        "activations f16 and f32": 1,
        **{text: 1 for text in compared(store).cells[0].beside if text.startswith("adapters")},
    }


def test_features_and_limits_of_two_adapters_in_words():
    base = {"features": ["shader-f16", "subgroups"], "limits": {"a": 4.0, "b": 1.0}}
    other = {"features": ["shader-f16"], "limits": {"a": 2.0, "b": 1.0}}
    assert adapters_differ(base, other) == ["features of BASE alone: subgroups", "limits: a 4 and 2"]
    assert adapters_differ(base, base) == [] and adapters_differ(base, None) == []


def test_kernels_of_two_commits_are_not_pooled(store):
    for name, kernels, level in (("monday", "a" * 16, 20.0), ("tuesday", "b" * 16, 30.0)):
        campaign(
            store, name, bits(16, 4), 4,
            median=lambda asked, _, level=level: level if asked.bits == 16 else level / 2,
            effective=effective(request(bits=4), kernels),
        )  # fmt: skip
    table = compared(store, "bits=16", "bits=4")
    assert sorted(cell.arm["kernels"] for cell in table.cells) == ["a" * 16, "b" * 16]
    assert [round(cell.comparison.ratio, 1) for cell in table.cells] == [0.5, 0.5]
    table = compared(store, "monday", "tuesday")
    assert "kernels" in table.varied and len(table.cells) == 2
    with pytest.raises(InputError, match=r"ran one cell of the other side with the kernels a+ and b+"):
        store_side = store.side("campaign in (monday, tuesday) and bits = 16", [*NEEDED, METRIC])
        wednesday(store)
        compare(store_side, store.side("wednesday", [*NEEDED, METRIC]), ("both", "wednesday"), METRIC)
    arms = [arm for arm in Board.load(store).arms if arm["requested_bits"] == 16]
    assert [arm["sessions"] for arm in arms] == [4, 4, 4]
    (choice,) = choices(Board.load(store, "campaign in (monday, tuesday)").arms, 0.9)
    assert choice.arm["kernels"] == "b" * 16, "what runs today, not what was fastest once"


def wednesday(store):
    campaign(store, "wednesday", bits(16), 4, effective=effective(request(bits=16), "c" * 16))


def test_history_names_the_kernels_of_a_step(store):
    for name, kernels, level in (("old", "a" * 16, 20.0), ("new", "b" * 16, 30.0)):
        ran = effective(request(bits=16), kernels)
        campaign(store, name, bits(16), 12, median=lambda _, __, level=level: level, effective=ran)
    rows = [{**row, "started_at": f"{row['id']:04}"} for row in store.side(None, [*HISTORY, METRIC])]
    ((change,),) = [one.changes for one in history(rows, METRIC)]
    assert change.changed == {"kernels": ("a" * 16, "b" * 16)}


def test_rows_without_kernels_are_told_apart_by_their_harness():
    row = {
        "effective_platform": "webgpu", "effective_engine": "native", "effective_engine_version": None,
        "effective_kernels": None, "harness_version": "0.1.0+gabc",
    }  # fmt: skip
    assert code(row) == "harness 0.1.0+gabc"
    assert code({**row, "effective_platform": None}) is None
    assert code({**row, "effective_kernels": "ff"}) == "ff"
    assert code({**row, "effective_engine": "other", "effective_engine_version": "1.2"}) == "1.2"


def test_a_session_on_a_timer_is_left_out_and_counted(store):
    planned = campaign(store, "night", bits(16, 4), 10)
    timed = [cell for cell in planned.cells if cell.request.bits == 4 and cell.block < 3]
    with store.engine.connect().execution_options(bench_writes=True) as connection, connection.begin():
        for cell in timed:
            connection.exec_driver_sql(
                f"UPDATE runs SET timer_ms = 100, latency_ms_median = 100.1 WHERE cell_id = {cell.id}"
            )
    table = compared(store, "bits=16", "bits=4")
    (cell,) = table.cells
    assert cell.comparison.blocks == 7 and cell.timed == 3
    assert cell.other.outcomes == {"on a timer": 3, "ok": 7}
    assert "3 sessions left out: the samples sit on the browser's timer (bench db check)" in "\n".join(
        compare_text.summary(table)
    )
    (arm,) = [arm for arm in Board.load(store).arms if arm["requested_bits"] == 4]
    assert arm["timed"] == 3 and arm["latency_ms_median"] < 25
    rows = store.side("bits=4", [*HISTORY, METRIC])
    assert [len(one.values) for one in history(rows, METRIC)] == [7]


def test_a_crash_counts_to_the_kernels_of_its_campaign(store):
    campaign(
        store, "night", bits(16, 4), 10, effective=effective(request()),
        outcome=lambda asked, block: Outcome.OK if asked.bits == 16 or block else None,
    )  # fmt: skip
    (cell,) = compared(store, "bits=16", "bits=4").cells
    assert cell.comparison.blocks == 9 and cell.other.outcomes == {"ok": 9, "not run": 1}
