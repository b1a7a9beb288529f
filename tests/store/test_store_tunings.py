"""Constants that were found for kernels: kept by what they hold for, the newest first, and they travel."""

import shutil
from pathlib import Path

import pytest
from exchanged import export, take
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from records import fill, tuned_kernel

from bench.store import open_store
from bench.store.database import upgrade
from bench.store.exchange import import_folder, open_export
from bench.store.tunings import HOLDS_FOR

DATA = Path(__file__).resolve().parents[1] / "data"
LATER = "2026-12-01T00:00:00.000+00:00"


@pytest.fixture
def store(any_url):
    with open_store(any_url) as opened:
        yield opened


def test_the_newest_finding_counts(store):
    first, later = tuned_kernel(), tuned_kernel(constants={}, tuned_at=LATER)
    assert store.keep_tuned([first]) == 1 and store.tuned() == [first]
    assert store.keep_tuned([later]) == 1 and store.tuned() == [later]
    assert store.keep_tuned([first]) == 0 and store.tuned() == [later]
    assert store.keep_tuned([later, first]) == 0 and store.tuned() == [later]


def test_what_a_run_finds_replaces_nothing(store):
    """Two workers that find it at the same time: the blocks to come have what the first one kept."""
    first, later = tuned_kernel(), tuned_kernel(constants={}, tuned_at=LATER)
    assert store.keep_tuned([first], replace=False) == 1
    assert store.keep_tuned([later], replace=False) == 0 and store.tuned() == [first]


@pytest.mark.parametrize("name", HOLDS_FOR)
def test_what_holds_for_another_is_another_finding(store, name):
    other = {"features": "all", "kernels": "fedcba9876543210"}.get(name, "another")
    both = [tuned_kernel(), tuned_kernel(**{name: other})]
    assert store.keep_tuned(both) == 2
    assert sorted(store.tuned(), key=repr) == sorted(both, key=repr)
    assert tuned_kernel() in store.tuned("chrome") and not store.tuned("firefox")


def test_all_of_it_travels_with_a_database(store, tmp_path):
    fill(store)
    found = [tuned_kernel(), tuned_kernel(browser="firefox"), tuned_kernel(browser_version="1")]
    store.keep_tuned(found)
    with open_store(f"sqlite:///{tmp_path}/other.sqlite") as other:
        other.keep_tuned([tuned_kernel(constants={}, tuned_at=LATER)])
        done = take(other, export(store, tmp_path / "out"))
        assert done.new["tunings"] == 2 and done.known["tunings"] == 1
        assert {one.constants.get("BM") for one in other.tuned()} == {16, None} and len(other.tuned()) == 3


def test_a_part_of_a_database_takes_along_what_its_browsers_have(store, tmp_path):
    fill(store)
    (version,) = {row["browser_version"] for row in store.rows("browser = chrome and outcome = ok")}
    mine = tuned_kernel(browser_version=version)
    store.keep_tuned([mine, tuned_kernel(browser_version="1"), tuned_kernel(browser="edge")])
    with open_store(f"sqlite:///{tmp_path}/other.sqlite") as other:
        take(other, export(store, tmp_path / "out", where="browser = chrome and outcome = ok"))
        assert other.tuned() == [mine]


def test_an_export_of_before_has_none(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as store:
        import_folder(store.engine, open_export(DATA / "export-0008"))
        assert len(store.rows()) == 22 and store.tuned() == []


def test_a_database_of_before_has_none(tmp_path):
    shutil.copy(DATA / "revision-0008.sqlite", tmp_path / "bench.sqlite")
    upgrade(f"sqlite:///{tmp_path}/bench.sqlite")
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite", create=False) as store:
        assert store.tuned() == [] and store.keep_tuned([tuned_kernel()]) == 1


@given(st.dictionaries(st.text(max_size=6), st.integers(), min_size=1, max_size=3))
def test_constants_that_no_kernel_has_are_none(constants):
    known = {"BM", "BN", "BK", "TM", "TN", "ROWS", "TEAM"}
    if not known & constants.keys():
        with pytest.raises(ValidationError, match="no kernel has that constant"):
            tuned_kernel(constants=constants)
