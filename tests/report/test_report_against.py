"""Every precision against its 16 bits: paired by block, judged over the whole campaign, nothing hidden."""

import pytest
from compared import bits, campaign
from records import environment, record, request

from bench.harness.outcome import Outcome
from bench.report.against import against_16, campaigns_with_blocks
from bench.report.board import Board
from bench.report.compare import NEEDED, compare
from bench.report.html import make_report, markdown, page
from bench.stats.many import benjamini_hochberg
from bench.stats.verdict import Verdict
from bench.store import open_store

METRIC = "latency_ms_median"
LEVELS = {16: 30.0, 8: 20.0, 4: 30.0, 2: 33.0}


@pytest.fixture
def store():
    with open_store("sqlite://") as opened:
        yield opened


def level(asked, block):
    return LEVELS[asked.bits] * (0.9 if asked.mixed_precision else 1.0)


def only(width, here, elsewhere):
    return lambda asked, _: here if asked.bits == width else elsewhere


def found(store, name="nightly"):
    return against_16(Board.load(store).cells, name)


def test_the_comparison_is_that_of_bench_compare_and_the_verdict_one_of_the_campaign(store):
    campaign(store, "nightly", bits(16, 8, 4, 2), 12, median=level)
    rows = found(store)
    assert [one.arm["requested_bits"] for one in rows] == [8, 4, 2]
    for one in rows:
        width = one.arm["requested_bits"]
        sides = [store.side(f"bits={bit}", [*NEEDED, METRIC]) for bit in (16, width)]
        [alone] = compare(*sides, ("a", "b"), METRIC).cells
        assert one.cell.comparison == alone.comparison and one.cell.base.runs == alone.base.runs
    raw = [one.cell.comparison.p for one in rows]
    assert [one.cell.p for one in rows] == benjamini_hochberg(raw)
    verdicts = {one.arm["requested_bits"]: one.cell.judgement.verdict for one in rows}
    assert verdicts[8] is Verdict.FASTER and verdicts[2] is Verdict.SLOWER
    assert verdicts[4] in (Verdict.EQUIVALENT, Verdict.INCONCLUSIVE)


def test_identical_arms_claim_nothing(store):
    """Twenty arms, all the same as 16 bits: alone, one of them would be called different by chance."""
    arms = [request(bits=width, sequence_length=16 + n) for n in range(20) for width in (16, 4)]
    campaign(store, "nightly", arms, 10, seed=5)
    rows = found(store)
    assert len(rows) == 20 and any(one.cell.comparison.p < 0.05 for one in rows)
    claims = [one for one in rows if one.cell.judgement.verdict in (Verdict.FASTER, Verdict.SLOWER)]
    assert claims == []


def test_mixed_precision_meets_the_plain_sixteen(store):
    arms = [*bits(16, 4), *bits(4, mixed_precision=True)]
    campaign(store, "nightly", arms, 10, median=level)
    rows = found(store)
    assert [(one.arm["requested_bits"], one.arm["requested_mixed_precision"]) for one in rows] == [
        (4, False), (4, True),
    ]  # fmt: skip
    assert rows[1].cell.comparison.ratio == pytest.approx(0.9, rel=0.05)


def test_a_fallback_is_not_compared_and_says_so(store):
    arms = [request(platform="webnn", bits=width) for width in (16, 4)]
    campaign(
        store,
        "nightly",
        arms,
        10,
        outcome=lambda asked, _: Outcome.OK if asked.bits == 16 else Outcome.FALLBACK,
    )
    [one] = found(store)
    assert one.cell.comparison is None and one.cell.missing == "fallback"
    text = page(make_report(store))
    assert '<h2 id="against">' in text and ">fallback</td>" in text


def test_where_sixteen_bits_failed_the_page_says_on_which_side(store):
    campaign(
        store,
        "nightly",
        bits(16, 4),
        4,
        outcome=lambda asked, _: Outcome.CRASHED if asked.bits == 16 else Outcome.OK,
    )
    assert "16-bit: crashed" in page(make_report(store))


def test_what_is_not_comparable_is_refused_in_words():
    # One campaign on two processors: a shared database with two workers.
    with open_store("sqlite://") as other:
        arms, blocks = bits(16, 4) * 4, [place // 2 for place in range(8)]
        planned = other.create_campaign("nightly", arms, seed=1, settings={}, blocks=blocks)
        for cell in planned.cells:
            cpu = "one" if cell.request.bits == 16 else "two"
            other.record(cell.id, record(cell.request, environment=environment(cpu=cpu)))
        [one] = found(other)
        assert one.cell is None and "processors one and two" in one.refused and "--force" not in one.refused
        assert "not compared: not comparable: processors one and two" in page(make_report(other))


def test_one_block_is_no_comparison(store):
    campaign(store, "one", bits(16, 4), 1)
    campaign(store, "none", bits(8, 4), 5)
    assert campaigns_with_blocks(Board.load(store).cells) == []
    assert 'id="against"' not in page(make_report(store))
    campaign(store, "old", bits(16, 4), 4)
    campaign(store, "new", bits(16, 4), 4)
    assert campaigns_with_blocks(Board.load(store).cells) == ["new", "old"]


def test_markdown_has_it_too(store, tmp_path):
    campaign(store, "nightly", bits(16, 8), 10, median=level)
    text = markdown(make_report(store), tmp_path / "r.md")
    assert "## Against 16 bits" in text and "faster" in text
