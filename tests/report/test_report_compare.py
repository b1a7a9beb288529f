"""What meets what, what is refused, and what a comparison says of itself."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from compared import bits, campaign
from records import environment, record, request

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.plan.cells import Plan, PlannedCell
from bench.record import Effective, ModelInfo
from bench.report import compare_text, gate
from bench.report.compare import NEEDED, compare
from bench.stats.blocks import compare_blocks
from bench.stats.verdict import Verdict
from bench.store import open_store

METRIC = "latency_ms_median"


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as opened:
        yield opened


def compared(store, base, other, *, where=None, within=None, **options):
    sides = [store.side(text, [*NEEDED, METRIC], where=where, campaign=within) for text in (base, other)]
    return compare(*sides, (base, other), METRIC, **options)


def only(table):
    (cell,) = table.cells
    return cell


def quicker(asked, block):
    return {16: 30.0, 8: 20.0, 4: 15.0, 2: 20.0}[asked.bits]


def test_precisions_of_one_campaign_are_paired_by_block(store):
    campaign(store, "nightly", bits(16, 4), median=quicker)
    table = compared(store, "bits=16", "bits=4")
    cell = only(table)
    assert table.varied == ("requested_bits",) and "requested_bits" not in cell.arm
    assert cell.comparison.design == "blocks" and cell.comparison.blocks == 10
    assert cell.judgement.verdict is Verdict.FASTER
    rows = {(row["block"], row["requested_bits"]): row for row in store.rows()}
    base, other = ([rows[block, width] for block in range(10)] for width in (16, 4))
    by_hand = compare_blocks(
        [row[METRIC] for row in base],
        [row[METRIC] for row in other],
        [b["position"] - a["position"] for a, b in zip(base, other, strict=True)],
    )
    assert cell.comparison == by_hand
    assert set(cell.base.runs) == {row["id"] for row in base}


def test_the_sides_turn(store):
    campaign(store, "nightly", bits(16, 4), median=quicker)
    there, back = (only(compared(store, *sides)) for sides in (("bits=16", "bits=4"), ("bits=4", "bits=16")))
    assert there.comparison.ratio == pytest.approx(1 / back.comparison.ratio)
    assert back.judgement.verdict is Verdict.SLOWER


def test_campaigns_of_their_own_are_never_paired(store):
    """Block 3 of Monday has nothing to do with block 3 of Tuesday."""
    campaign(store, "monday", bits(16, 4), 12)
    campaign(store, "tuesday", bits(16, 4), 10, median=lambda *_: 24.0, seed=2)
    table = compared(store, "monday", "tuesday")
    assert [cell.comparison.design for cell in table.cells] == ["separate"] * 2 and table.separate
    assert [cell.judgement.verdict for cell in table.cells] == [Verdict.SLOWER] * 2
    assert any("share no block" in line for line in compare_text.summary(table))
    assert compare_text.lines(table)[0][1] == "12 vs 10"


def test_one_block_gets_no_interval(store):
    campaign(store, "single", bits(16, 4), 1, median=quicker)
    table = compared(store, "bits=16", "bits=4")
    cell = only(table)
    assert cell.comparison.low is None and cell.judgement.verdict is Verdict.INCONCLUSIVE
    assert compare_text.lines(table)[0][-2:] == [
        f"{cell.comparison.ratio:.3f}",
        "inconclusive: 9 more blocks",
    ]
    assert any("one block has no interval" in line for line in compare_text.summary(table))
    assert gate.of(cell, -0.9) is gate.Gate.NOISY


def test_what_ended_badly_counts_in_the_coverage(store):
    def ended(asked, block):
        if asked.bits == 4:
            return Outcome.TIMEOUT if block % 3 else Outcome.DEVICE_LOST
        if asked.bits == 2:
            return None  # planned, and never ran
        return Outcome.CRASHED if asked.bits == 8 and block in (1, 5) else Outcome.OK

    arms = [*bits(16, 8, 4, 2), *bits(16, 8, 4, 2, browser="firefox")]
    campaign(store, "nightly", arms, median=quicker, outcome=ended)
    where = "browser=chrome"
    table = compared(store, "bits=16", "bits=8", where=where)
    assert only(table).comparison.blocks == 8 and only(table).unpaired == 2
    assert compare_text.lines(table)[0][0] == "8/10"
    four = only(compared(store, "bits=16", "bits=4", where=where))
    assert (four.missing, four.lacking, four.judgement) == ("timeout", "OTHER", None)
    assert four.other.outcomes == {"timeout": 6, "device_lost": 4}
    two = only(compared(store, "bits=2", "bits=16", where=where))
    assert (two.missing, two.lacking) == ("not run", "BASE")
    whole = compared(store, "browser=chrome", "browser=firefox", where="platform=webgpu", force=True)
    assert whole.aggregate.coverage == "2/4 cells; missing: 1 not run, 1 timeout"
    ratios = [cell.comparison.ratio for cell in whole.cells if cell.comparison]
    assert whole.aggregate.ratio == pytest.approx(math.prod(ratios) ** 0.5)


def test_what_one_side_never_asked_for_is_missing_too(store):
    campaign(store, "wide", bits(16, 8, 4))
    campaign(store, "narrow", bits(16, 4), seed=2)
    table = compared(store, "wide", "narrow")
    assert table.aggregate.coverage == "2/3 cells; missing: 1 not asked for"
    assert [cell.lacking for cell in table.cells if cell.missing] == ["OTHER"]


def test_a_fallback_is_not_compared_as_what_was_asked(store):
    arms = bits(16, 4, platform="webnn")
    campaign(
        store, "nightly", arms, outcome=lambda asked, _: Outcome.OK if asked.bits == 16 else Outcome.FALLBACK
    )
    table = compared(store, "bits=16", "bits=4")
    assert (only(table).missing, only(table).comparison) == ("fallback", None)
    assert table.aggregate.ratio is None and "nothing compared" in compare_text.summary(table)[0]
    forced = compared(store, "bits=16", "bits=4", force=True)
    assert only(forced).comparison.blocks == 10
    assert any(
        "FORCED" in line and "fallbacks to webnn 8-bit" in line for line in compare_text.summary(forced)
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"adapter": {"name": "Another GPU", "is_fallback_adapter": False}},
            "adapters SwiftShader.* and Another GPU",
        ),
        ({"timer_resolution_us": 100.0}, "clock steps 5.00 and 100 µs"),
        ({"cpu": "Another CPU"}, "processors Test CPU, 2 cores and Another CPU"),
    ],
)
def test_what_is_not_comparable_is_refused_unless_forced(store, changes, says):
    campaign(store, "here", bits(16, 4))
    campaign(store, "there", bits(16, 4), environment=environment("chrome", **changes), seed=2)
    with pytest.raises(InputError, match=f"not comparable: {says}.*2 cells.*--force") as caught:
        compared(store, "here", "there")
    assert "\n" not in str(caught.value)
    forced = compared(store, "here", "there", force=True)
    assert forced.aggregate.cells == 2
    assert any(line.startswith("FORCED although not comparable") for line in compare_text.summary(forced))


def test_devices_may_differ_between_platforms_only(store):
    ran = {"platform": "webnn", "bits": 16, "device": "npu", "engine": "native"}
    campaign(store, "both", [request(bits=16), request(bits=16, platform="webnn")])
    campaign(store, "npu", [request(bits=16, platform="webnn")], effective=Effective(**ran), seed=2)
    with pytest.raises(InputError, match="devices cpu and npu"):
        compared(store, "both", "npu", where="platform = webnn")
    table = compared(store, "campaign = both and platform = webgpu", "npu")
    assert any("devices: cpu against npu (1 cell)" in line for line in compare_text.summary(table))


def test_other_weights_and_other_models_are_refused(store):
    campaign(store, "here", bits(16))
    other = ModelInfo(name="all-MiniLM-L6-v2", family="bert", weights="local", sha256="cd" * 32)
    campaign(store, "tuned", bits(16), model=other, seed=2)
    with pytest.raises(InputError, match="weights abababababab and cdcdcdcdcdcd"):
        compared(store, "here", "tuned")
    campaign(store, "larger", bits(16, model="bert-base-uncased"), seed=3)
    with pytest.raises(InputError, match="models all-MiniLM-L6-v2 and bert-base-uncased"):
        compared(store, "here", "larger")


def test_a_clock_that_jitters_is_the_same_clock(store):
    campaign(store, "here", bits(16))
    campaign(
        store, "there", bits(16), environment=environment("chrome", timer_resolution_us=5.000002), seed=2
    )
    assert compared(store, "here", "there").aggregate.cells == 1


@pytest.mark.parametrize(
    ("base", "other", "says"),
    [
        ("bits=16", "bits<16", "bits<16 has bits 4 and 2 for one cell|bits 2 and 4"),
        ("bits=16", "bits=16", "10 cells in common"),
        ("nightly", "bits=4", "10 cells in common"),
        ("bits=16", "bits=8", "bits=8 has no runs"),
        ("bits=16", "tonight", "no campaign 'tonight'.*nightly.*or write a filter"),
        ("bits=16", "btis=4", "did you mean bits"),
    ],
)
def test_sides_that_cannot_be(store, base, other, says):
    campaign(store, "nightly", bits(16, 4, 2))
    with pytest.raises(InputError, match=says) as caught:
        compared(store, base, other)
    assert "\n" not in str(caught.value)


def test_the_last_attempt_counts(store):
    planned = campaign(store, "nightly", bits(16, 4), 10, median=quicker)
    cell = next(one for one in planned.cells if one.request.bits == 4)
    store.record(cell.id, record(cell.request, Outcome.CRASHED))
    assert only(compared(store, "bits=16", "bits=4")).comparison.blocks == 9


def with_twin(store, name, factor=1.0, blocks=10):
    """A campaign of two arms whose first has a hidden twin, `factor` times as slow."""
    rng = np.random.default_rng(8)
    arms = bits(16, 4)
    cells = [
        PlannedCell(3 * block + place, block, role, asked)
        for block in range(blocks)
        for place, (role, asked) in enumerate(
            [("arm", arms[0]), ("arm", arms[1]), ("twin", arms[0])][:: -1 if block % 2 else 1]
        )
    ]
    planned = store.plan_campaign(name, Plan(1, {}, tuple(cells)), settings={})
    for cell in planned.cells:
        level = factor if cell.role == "twin" else 1.0
        median = 20 * level * float(np.exp(0.005 * rng.standard_normal()))
        store.record(cell.id, record(cell.request, median=median))


def test_a_twin_is_no_arm_and_meters_false_alarms(store):
    with_twin(store, "nightly")
    table = compared(store, "bits=16", "bits=4")
    cell = only(table)
    assert cell.comparison.blocks == 10 and len(cell.base.runs) == 10
    (twins,) = table.twins
    assert twins.judgement.verdict is Verdict.EQUIVALENT and twins.comparison.blocks == 10
    assert any("A/A of nightly" in line and "DIFFER" not in line for line in compare_text.summary(table))


def test_a_twin_that_differs_is_a_warning(store):
    with_twin(store, "odd", factor=1.3)
    table = compared(store, "bits=16", "bits=4")
    assert any(
        "A/A of odd" in line and "IDENTICAL ARMS DIFFER" in line for line in compare_text.summary(table)
    )


def test_holm_holds_a_whole_table(store):
    """Twenty identical pairs: alone, one would differ; as a table, none does."""
    claims = {"alone": 0, "table": 0}
    rng = np.random.default_rng(3)
    for _ in range(30):
        sides = [rows(rng, width, range(20)) for width in (16, 4)]
        table = compare(*sides, ("a", "b"), METRIC)
        claims["table"] += any(
            cell.judgement.verdict in (Verdict.FASTER, Verdict.SLOWER) for cell in table.cells
        )
        claims["alone"] += any(cell.comparison.p < 0.05 for cell in table.cells)
        assert all(cell.p >= cell.comparison.p for cell in table.cells)
    assert claims["alone"] > 10 and claims["table"] <= 4


IDS = itertools.count(1)


def rows(rng, width, cells, ratio=1.0, blocks=10):
    """Rows of `run_summary` as they would come from a database, without one."""
    found = []
    for tokens in cells:
        asked = request(bits=width, sequence_length=tokens + 1).model_dump()
        for block in range(blocks):
            number = next(IDS)
            found.append(
                {
                    **dict.fromkeys(NEEDED),
                    **{f"requested_{name}": value for name, value in asked.items()},
                    "id": number,
                    "cell_id": number,
                    "campaign_id": 1,
                    "block": block,
                    "attempt": 1,
                    "position": 2 * block + (block + (width == 4)) % 2,
                    "outcome": "ok",
                    METRIC: 20 * ratio * math.exp(0.03 * rng.standard_normal()),
                }
            )
    return found


def test_identical_arms_rarely_differ():
    """The issue's own figure: 200 pairs, at most 6 % of them called faster or slower."""
    rng = np.random.default_rng(4)
    said = [
        only(compare(rows(rng, 16, [1]), rows(rng, 4, [1]), ("a", "b"), METRIC)).judgement.verdict
        for _ in range(200)
    ]
    assert sum(one in (Verdict.FASTER, Verdict.SLOWER) for one in said) <= 0.06 * 200


def test_five_percent_are_mostly_found():
    rng = np.random.default_rng(4)
    said = [
        only(compare(rows(rng, 16, [1]), rows(rng, 4, [1], 1.05), ("a", "b"), METRIC)).judgement.verdict
        for _ in range(200)
    ]
    assert said.count(Verdict.SLOWER) >= 0.8 * 200


def test_many_cells_are_quick():
    import time

    rng = np.random.default_rng(5)
    sides = [rows(rng, width, range(500)) for width in (16, 4)]
    begin = time.perf_counter()
    table = compare(*sides, ("a", "b"), METRIC)
    assert len(table.cells) == 500 and time.perf_counter() - begin < 5
