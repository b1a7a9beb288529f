"""A row tells what the page saw: how it waited, on what it ran, by which kernels and in which formats."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bench import __version__
from bench.cli import main
from bench.models.catalog import resolve
from bench.quantize.recipe import bits_mean, mixed
from bench.stats.timer import on_timer
from bench.store import open_store

from .conftest import require

pytestmark = pytest.mark.browser
TINY = ("--model", "bert-tiny", "--sequence-length", "8")
SHORT = (*TINY, "--iterations", "3")


@pytest.fixture
def bench(tmp_path, capfd, monkeypatch):
    """Run `bench run --json`; the exit code and the runs in order."""
    monkeypatch.setenv("BENCH_DB", f"sqlite:///{tmp_path / 'runs.sqlite'}")

    def run(*arguments):
        code = main(["run", "--json", *arguments])
        out = capfd.readouterr()
        return code, json.loads(out.out)["runs"] if out.out else out.err

    return run


@pytest.mark.parametrize("name", ["chrome", "firefox"])
def test_the_page_waits_eagerly_and_says_what_a_plain_wait_costs(bench, name):
    require(name)
    code, (run,) = bench("--browser", name, "--bits", "4", *TINY, "--max-seconds", "1")
    assert code == 0 and run["outcome"] == "ok"
    effective, plain = run["effective"], run["evidence"]["notes"]["plain_waits_ms"]
    assert effective["wait"] == "eager" and len(plain["first"]) == len(plain["next"]) >= 4
    assert effective["completion_ms"] > 0
    if name == "firefox":
        assert 90 < effective["completion_ms"] < 130, "its timer"
        assert run["metrics"]["latency_ms"]["median"] < 0.8 * effective["completion_ms"]
    assert run["metrics"]["timer_ms"] is None and run["metrics"]["sample_ticks"] >= 90
    assert 0.5 < run["evidence"]["kept_busy"]["share"] <= 1


def test_firefox_that_waits_plainly_is_caught(bench):
    """The planted page: it submits nothing while it waits, and Firefox looks on its timer only."""
    require("firefox")
    code, (run,) = bench("--browser", "firefox", "--bits", "4", *SHORT, "--fault", "waits_plainly")
    assert code == 1 and run["outcome"] == "error" and run["error"]["stage"] == "measure"
    assert run["error"]["name"] == "SamplesOnTimer" and run["metrics"]["latency_ms"] is None
    assert 90 < run["metrics"]["timer_ms"] < 130


@pytest.mark.parametrize("name", ["chrome", "firefox"])
def test_the_device_reaches_webgpu(bench, name):
    """This machine has software adapters only: what a GPU does is seen where there is one."""
    require(name)
    code, (run,) = bench("--browser", name, "--bits", "4", "--device", "cpu", *SHORT)
    on_gpu = run["outcome"] == "unsupported"
    if not on_gpu:
        assert code == 0 and run["outcome"] == "ok" and run["effective"]["device"] == "cpu"
        assert run["environment"]["adapter"]["is_fallback_adapter"] is True
    code, (run,) = bench("--browser", name, "--bits", "4", "--device", "gpu", *SHORT)
    if on_gpu:
        assert run["outcome"] == "ok" and run["effective"]["device"] == "gpu"
    else:
        assert code == 3 and run["outcome"] == "unsupported"
        assert "device gpu was asked for, the browser gives a software adapter" in run["error"]["message"]


def test_webgpu_has_no_npu_and_that_is_said_before_anything_runs(bench, tmp_path):
    code, said = bench("--browser", "chrome", "--bits", "4", "--device", "npu", *SHORT)
    assert code == 2 and said.count("\n") == 1 and "device npu" in said and "webnn" in said
    assert (
        not (tmp_path / "runs.sqlite").exists() or not open_store(f"sqlite:///{tmp_path}/runs.sqlite").rows()
    )


@pytest.mark.parametrize("platform", ["webgpu", "webnn"])
def test_bits_are_read_off_what_was_built(bench, platform):
    """Mixed precision: the mean over the matrices as the page built them is the plan's own."""
    require("chrome")
    asked = ("--browser", "chrome", "--platform", platform, "--mixed-precision", *SHORT)
    _, runs = bench(*asked, "--bits", "4", "--bits", "8", "--group-size", "64", "--scheme", "asymmetric")
    weights = resolve("bert-tiny").program(1, 8).weights
    for run in runs:
        bits = 8 if platform == "webnn" else run["requested"]["bits"]
        effective = run["effective"]
        assert effective["bits"] == bits and effective["platform"] == platform
        want = bits_mean(weights, mixed(weights, bits))
        assert effective["bits_mean"] == pytest.approx(want, abs=1e-6)
        assert (effective["group_size"], effective["scheme"]) == (64, "asymmetric")
        matrices = run["evidence"]["notes"]["matrices"]
        assert matrices["usual"].endswith("bits, groups of 64, asymmetric")
        assert (len(matrices) > 1) is (bits == 4)


def test_kernels_are_a_hash_of_what_ran(bench, monkeypatch):
    """The same for the same pages, another for another platform, another shader or other constants."""
    require("chrome")
    both = ("--browser", "chrome", "--platform", "both", "--bits", "16", *SHORT)
    _, first = bench(*both)
    _, second = bench("--browser", "chrome", "--bits", "4", *SHORT)
    kernels = {run["requested"]["platform"]: run["effective"]["kernels"] for run in first}
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in kernels.values())
    assert kernels["webgpu"] != kernels["webnn"]
    assert second[0]["effective"]["kernels"] == kernels["webgpu"], "bits are asked for, they are no kernels"
    assert second[0]["effective"]["engine_version"] == __version__
    mutants = Path(__file__).parents[1]
    monkeypatch.syspath_prepend(mutants)
    monkeypatch.setenv("PYTHONPATH", str(mutants))  # of the process that runs it
    _, (third,) = bench("--browser", "chrome", "--bits", "4", *SHORT, "--fault", "mutants:nan")
    assert third["outcome"] == "incorrect" and third["evidence"]["fault"] == "mutants:nan"
    assert third["effective"]["kernels"] not in (None, kernels["webgpu"])


def test_another_platform_than_asked_is_a_fallback(bench):
    require("chrome")
    code, (run,) = bench(
        "--browser", "chrome", "--platform", "webnn", "--bits", "4", *SHORT, "--fault", "other_platform"
    )
    assert code == 0 and run["outcome"] == "fallback"
    assert run["effective"]["platform"] == "webgpu" and run["effective"]["bits"] == 8
    assert run["fallback_reason"].startswith(
        "platform webnn was requested, webgpu ran; WebNN in standard mode"
    )


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["chrome", "firefox"])
def test_forty_sessions_are_on_no_grid(bench, name):
    """Each by a fresh browser; no pair of them even near the timer."""
    require(name)
    found = []
    for _ in range(40):
        _, (run,) = bench("--browser", name, "--bits", "4", *TINY, "--max-seconds", "1")
        assert run["outcome"] == "ok", run["error"]
        found.append(run)
    for run in found:
        period = run["effective"]["completion_ms"]
        latency = run["metrics"]["latency_ms"]["median"] * run["evidence"]["batch"]
        assert not on_timer([latency], period, run["metrics"]["gpu_ms"])
        assert math.isfinite(latency)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_planted_timer_is_caught_twenty_of_twenty(bench):
    require("firefox")
    names = []
    for _ in range(20):
        _, (run,) = bench("--browser", "firefox", "--bits", "4", *SHORT, "--fault", "waits_plainly")
        names.append(run["error"] and run["error"]["name"])
    assert names == ["SamplesOnTimer"] * 20
