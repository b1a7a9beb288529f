"""What the database keeps of a campaign of operators gives back all that it was planned with."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.harness.kernel_cases import Case
from bench.harness.kernel_plan import plan, restored
from bench.harness.kernel_session import KernelWork, Variant
from bench.models import operators
from bench.plan.request import BITS
from bench.store import open_store

NAMES = ("matmul 5x24x64", "matmul 1x8x32", "rms-norm 5x24", "embedding 4x30x64", "convolution 11x8x12x3x2")
OURS = st.builds(
    Variant, st.just("native"), st.dictionaries(st.sampled_from(["BM", "ROWS"]), st.integers(1, 64))
)
PEERS = st.builds(Variant, st.just("ort-web"), st.just({}), st.sampled_from([0, 4]))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('plan')}/k.sqlite", create=True) as opened:
        yield opened


@st.composite
def works(draw):
    group, scheme = draw(st.sampled_from([(32, "symmetric"), (64, "asymmetric")]))
    shapes = [operators.of(one) for one in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))]
    bits = draw(st.lists(st.sampled_from(BITS), min_size=1, unique=True))
    # As `bench kernels` makes them: a group and a scheme are a matrix's.
    cases = [
        Case(shape, each, *((group, scheme) if shape.packed else (32, "symmetric")))
        for shape in shapes
        for each in (bits if shape.packed else [16])
    ]
    variants = draw(st.lists(st.one_of(OURS, PEERS), min_size=1, max_size=5, unique_by=lambda one: one.label))
    return KernelWork(
        draw(st.sampled_from(["chrome", "firefox:/opt/a b"])),
        draw(st.sampled_from(["stock", "f16"])),
        draw(st.sampled_from(["auto", "cpu"])),
        cases,
        variants,
        draw(st.integers(5, 50)),
        draw(st.none() | st.floats(0, 64)),
        draw(st.floats(1, 3600)),
        draw(st.booleans()),
    )


@settings(deadline=None, max_examples=40)
@given(work=works(), blocks=st.integers(1, 3))
def test_it_gives_back_what_was_planned(store, work, blocks):
    campaign = store.campaign(plan(store, work, blocks, None).id)
    assert restored(campaign) == (work, blocks)


def test_a_cell_has_one_holder(store):
    work = KernelWork(
        "chrome", "stock", "auto", [Case(operators.of("rms-norm 5x24"), 16, 32, "symmetric")],
        [Variant("native"), Variant("ort-web")], 5, None, 9.0,
    )  # fmt: skip
    cells = [cell.id for cell in plan(store, work, 1, None).cells]
    assert store.claim_cells(cells[:1], "a", 60) == set(cells[:1])
    assert store.claim_cells(cells, "b", 60) == set(cells[1:])
    assert store.claim_cells(cells, "a", 60) == set()


@pytest.mark.parametrize("change", [{"forced": None}, {"timeout": None}, {"forced": []}])
def test_one_that_keeps_too_little_is_refused(store, change):
    work = KernelWork(
        "chrome", "stock", "auto", [Case(operators.of("rms-norm 5x24"), 16, 32, "symmetric")],
        [Variant("native")], 5, None, 9.0,
    )  # fmt: skip
    campaign = plan(store, work, 1, None)
    kernels = {**campaign.settings["kernels"], **change}
    campaign.settings["kernels"] = {
        name: value for name, value in kernels.items() if value is not None or name not in change
    }
    with pytest.raises(InputError, match="type bench kernels again, with another --name"):
        restored(campaign)
