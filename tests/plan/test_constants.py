"""What may be forced on our kernels is what they read, and nothing else."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.plan.constants import CONSTANTS, check_constants

PAGES = Path(__file__).resolve().parents[2] / "bench" / "pages" / "webgpu"
TILES = {"SM", "SN", "SLICES", "TK", "RK"}  # read by the keys of a tile, not by name


def test_the_kernels_read_these_names_and_no_others():
    read = {
        name
        for path in PAGES.glob("*.js")
        for name in re.findall(r"\b(?:tuning|forced)\??\.([A-Z_]+)\b", path.read_text())
    }
    assert read | TILES == set(CONSTANTS)


@given(st.dictionaries(st.sampled_from([*CONSTANTS, "WRONG"]), st.integers(-5, 300)))
def test_whatever_is_given_is_taken_or_named(constants):
    bad = {
        name for name, value in constants.items() if value not in getattr(CONSTANTS.get(name), "allowed", ())
    }
    pairs = [
        ("TM", "BM"),
        ("TN", "BN"),
        ("SM", "BM"),
        ("SN", "BN"),
        ("TEAM", "THREADS"),
        ("RQ", "TQ"),
        ("RK", "TK"),
    ]
    undivided = [pair for pair in pairs if set(pair) <= set(constants)]
    try:
        check_constants(constants)
    except InputError as error:
        said = str(error)
        assert any(said.startswith(f"{name}: ") for name in bad) or any(part in said for part, _ in undivided)
    else:
        assert not bad
        assert all(constants[whole] % constants[part] == 0 for part, whole in undivided)


@pytest.mark.parametrize("name", list(CONSTANTS))
def test_each_has_words_and_a_range(name):
    one = CONSTANTS[name]
    assert one.what and list(one.allowed) == sorted(set(one.allowed)) and len(one.allowed) >= 2
    for value in one.allowed:
        check_constants({name: value})


def test_the_page_on_operators_tells_each():
    page = (PAGES.parents[2] / "docs" / "kernels.md").read_text()
    for name, one in CONSTANTS.items():
        assert f"| `{name}` | {one.what} |" in page
