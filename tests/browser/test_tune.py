"""`bench tune` as it is typed, in real browsers: what it finds is right, kept, taken up, and said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_llama
import tiny_model

from bench.faults.serving import Shaders
from bench.harness.asked import RunSettings
from bench.harness.code import code_hash
from bench.harness.outcome import Outcome
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.harness.tuned import found_in
from bench.models.catalog import resolve
from bench.plan.request import Request
from bench.plan.tuned import Tune
from bench.settings import load_settings
from bench.store import open_store

from .conftest import require, typed

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("BENCH_DB", raising=False)
    tiny_model.write(tmp_path / "mine")
    tiny_llama.write(tmp_path / "writer")
    return tmp_path


def told(*arguments):
    done = typed(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def the_run(*arguments):
    (run,) = told("run", *arguments, "--iterations", "3")["runs"]
    assert run["outcome"] == "ok", run["error"]
    return run


def options(name, **more):
    given = {"model": name, "weights": name, "bits": "4", "group-size": "16", **more}
    return [part for flag, value in given.items() for part in (f"--{flag.replace('_', '-')}", str(value))]


MINE = options("mine", sequence_length=29)
WRITER = options("writer", sequence_length=9, generate=8)


@pytest.mark.parametrize(
    ("model", "browser"),
    [
        pytest.param(MINE, "chrome", id="encoder-chrome"),
        pytest.param(MINE, "firefox", id="encoder-firefox", marks=pytest.mark.long),
        pytest.param(WRITER, "chrome", id="decoder-chrome", marks=pytest.mark.long),
        pytest.param(WRITER, "firefox", id="decoder-firefox"),
    ],
)
def test_what_is_found_is_kept_and_taken_up(browser, model):
    require(browser)
    where = [*model, "--browser", browser]
    before = the_run(*where, "--tune", "off")
    assert before["effective"]["kernels"] == code_hash() and "tuned" not in before["evidence"]
    found = told("tune", *where, "--seconds", "300", "--forms", "4")
    assert found["failed"] == [] and found["left"] == {} and found["known"] == 0
    for one in found["tuned"]:
        assert 2 <= one["tried"] <= 4 and one["kernels"] == code_hash()
        assert one["browser_version"] == before["environment"]["browser_version"]
        assert (
            one["tuned_ms"] <= 0.97 * one["default_ms"]
            if one["constants"]
            else one["tuned_ms"] == one["default_ms"]
        )
    kinds = {one["key"].split()[0] for one in found["tuned"]}
    assert kinds >= {"matmul", "attention", "rms_norm" if model is WRITER else "layer_norm"}
    assert told("tune", *where)["known"] == len(found["tuned"]), "known kernels are not tuned again"
    # A form that this machine would not choose is taken up too, where it is said to be the best.
    stated = told("tune", "--list")
    assert {one["key"] for one in stated["tuned"]} == {one["key"] for one in found["tuned"]}
    chosen = next(
        one
        for one in stated["tuned"]
        if one["key"].startswith("matmul 29x" if model is MINE else "matmul 9x")
    )
    chosen |= {
        "constants": {"BM": 8, "BN": 16, "BK": 32, "TM": 2, "TN": 4},
        "tuned_at": "2099-01-01T00:00:00.000+00:00",
    }
    file = {"format": "webquant-bench tuning", "version": 1, "tuned": [chosen]}
    Path("tuning.json").write_text(json.dumps(file))
    done = typed("tune", "--import", "tuning.json", "--browser", browser)
    assert (done.returncode, done.stdout) == (0, "1 of 1 kernels are new here\n"), done.stderr
    after = the_run(*where)
    notes = after["evidence"]["notes"]
    assert notes["tuned"][chosen["key"]] == chosen["constants"]
    assert any('"BM":8' in name for name in notes["kernels"])
    assert after["effective"]["kernels"] != code_hash(), "another arm than the one without these constants"
    assert the_run(*where, "--tune", "off")["effective"]["kernels"] == code_hash()


def test_the_first_block_of_a_campaign_tunes_and_the_others_do_not(place):
    require("chrome")
    (place / "two.toml").write_text(
        'name = "two"\na_a = false\n[run]\nblocks = 2\ntune = "first"\niterations = 3\n[matrix]\n'
        'model = ["mine"]\nbrowser = ["chrome"]\nplatform = ["webgpu"]\nbits = [8, 4]\n'
        'sequence_length = [29]\ngroup_size = [16]\nweights = ["mine"]\n'
    )
    done = typed("campaign", "run", "two.toml")
    assert done.returncode == 0, done.stderr
    with open_store(create=False) as store:
        runs = [store.run(row["id"]) for row in store.rows(sort="id")]
    tuned = [run.evidence.get("tuned") for run in runs]
    assert len(tuned) == 4 and all(one["found"] for one in tuned[:2]), tuned
    assert not any(one["found"] or one["left"] for one in tuned[2:])
    arms = {(run.requested.bits, run.effective.kernels) for run in runs}
    assert len(arms) == 2, "both blocks ran the same kernels"


def test_a_wrong_form_and_one_that_does_not_compile_are_left_out(place):
    """A form with a tile of 64 columns is wrong, one with steps of 64 is no WGSL."""
    require("chrome")
    right = "result(activate(sum + b))"
    torn = "array<f32, 2>(1.0, 1.0)[${BK}u / 64u * 7u]"  # beyond its end: that is seen where it is compiled
    broken = Shaders({"matmul_tile.wgsl": [(right, f"{right} * {torn} * select(1.0, 0.5, ${{BN}}u == 64u)")]})
    asked = Request(
        platform="webgpu", browser="chrome", model="mine", weights="mine", bits=4, group_size=16,
        sequence_length=29,
    )  # fmt: skip
    how = Tune(on="any", seconds=300, forms=8, only=True)
    with PageServer() as server:
        record = execute(
            asked, resolve("mine", Path("mine")), server, load_settings(), RunSettings(how=how, timeout=60.0),
            lambda words: None, injection=broken,
        ).record  # fmt: skip
    assert record.outcome is Outcome.OK, record.error
    matmuls = [one for one in found_in(record) if one.key.startswith("matmul 29x")]
    assert matmuls and all(one.refused == 1 and one.wrong >= 2 for one in matmuls), matmuls
    assert not any(64 in one.constants.values() for one in matmuls)


def test_a_file_of_another_adapter_is_refused(place):
    require("chrome")
    told("tune", *MINE, "--browser", "chrome", "--seconds", "1")
    assert typed("tune", "--export", "mine.json").returncode == 0
    file = json.loads((place / "mine.json").read_text())
    file["tuned"][0]["adapter"] = "nvidia hopper"
    (place / "theirs.json").write_text(json.dumps(file))
    (place / "bench.sqlite").unlink(missing_ok=True)
    done = typed("tune", "--import", "theirs.json", "--db", "sqlite:///new.sqlite")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not (place / "new.sqlite").exists()
    assert (
        "theirs.json: it was tuned on 'nvidia hopper' in chrome, and chrome has 'google swiftshader"
        in done.stderr
    )
    assert "tune on this adapter, with bench tune" in done.stderr
