"""onnxruntime-web beside our own kernels: the same weights, the same checks, in real browsers."""

from __future__ import annotations

import json

import pytest

from bench.cli import main
from bench.engines import ENGINES
from bench.engines.ort_web import VERSION

from .conftest import require

pytestmark = pytest.mark.browser
TINY = ["--model", "bert-tiny", "--sequence-length", "8", "--iterations", "3"]
BOUNDS = {"f16": 5e-3, "f32": 1e-3}


@pytest.fixture(autouse=True)
def installed():
    assert ENGINES["ort-web"].installed(), "type: bench engines install (make test does)"


@pytest.fixture
def bench(tmp_path, capfd, monkeypatch):
    """Run `bench run --json`; the exit code and the runs by engine, browser, platform and bits."""
    monkeypatch.setenv("BENCH_DB", f"sqlite:///{tmp_path / 'runs.sqlite'}")

    def run(*arguments):
        code = main(["run", "--json", *arguments])
        runs = {}
        for one in json.loads(capfd.readouterr().out)["runs"]:
            asked = one["requested"]
            runs[asked["engine"], asked["browser"], asked["platform"], asked["bits"]] = one
        return code, runs

    return run


def verified(run):
    """What every row of this engine says."""
    effective, notes = run["effective"], run["evidence"]["notes"]
    assert run["quality"]["kernel_rel_l2"] <= BOUNDS[effective["activations"]]
    assert run["metrics"]["latency_ms"]["median"] > 0
    assert (effective["engine"], effective["engine_version"]) == ("ort-web", VERSION)
    assert effective["kernels"] and effective["group_size"] in (None, 32)
    assert notes["accuracy_level"] == (None if run["requested"]["bits"] == 16 else 0)
    assert notes["graph_capture"] is False
    assert sum(notes["providers"].values()) > 0
    assert run["metrics"]["weight_bytes"] > 0


@pytest.mark.parametrize("browser", ["chrome", "firefox"])
def test_both_engines_in_webgpu(bench, browser, capfd):
    require(browser)
    engines = ["--engine", "native", "--engine", "ort-web"]
    code, runs = bench(*engines, "--browser", browser, "--bits", "16", "--bits", "4", *TINY)
    assert code == 0
    assert {key[::3]: run["outcome"] for key, run in runs.items()} == {
        ("native", 16): "ok", ("native", 4): "ok", ("ort-web", 16): "ok", ("ort-web", 4): "ok",
    }  # fmt: skip
    for (engine, _, _, bits), run in runs.items():
        ours = runs["native", browser, "webgpu", bits]
        assert run["effective"]["activations"] == ours["effective"]["activations"]
        assert run["effective"]["bits"] == bits and run["effective"]["device"] == ours["effective"]["device"]
        assert {**run["requested"], "engine": "native"} == ours["requested"]
        if engine == "ort-web":
            verified(run)
            assert list(run["evidence"]["notes"]["providers"]) == ["WebGpuExecutionProvider"]
            assert run["effective"]["wait"] == "eager" and run["effective"]["completion_ms"] is not None
            features = run["evidence"]["notes"]["device_features"]
            assert (run["metrics"]["gpu_ms"] is not None) == ("timestamp-query" in features)
            lanes = run["environment"]["adapter"].get("subgroup_sizes") or [0, 0]
            notes = run["evidence"]["notes"]
            assert ("4 lanes" in (notes["withheld"] or "")) == (lanes[1] == 4)
            assert not (notes["withheld"] and "subgroups" in features)
            assert ("shader-f16" in features) == (run["effective"]["activations"] == "f16")
    assert main(["compare", "engine=ort-web", "engine=native", "--format", "json"]) == 0
    cells = json.loads(capfd.readouterr().out)["cells"]
    assert sorted(cell["verdict"] for cell in cells) == ["inconclusive", "inconclusive"]


def test_other_platforms_name_the_provider_of_every_node(bench):
    require("chrome")
    platforms = ["--platform", "webnn", "--platform", "wasm"]
    code, runs = bench("--engine", "ort-web", *platforms, "--bits", "16", "--bits", "4", *TINY)
    assert code == 0
    outcomes = {key[2:]: run["outcome"] for key, run in runs.items()}
    assert outcomes == {
        ("webnn", 16): "ok", ("webnn", 4): "fallback", ("wasm", 16): "ok", ("wasm", 4): "ok",
    }  # fmt: skip
    for (_, _, platform, _), run in runs.items():
        verified(run)
        assert run["effective"]["platform"] == platform
        assert run["metrics"]["gpu_ms"] is None
        assert run["effective"]["device"] == {"webnn": None, "wasm": "cpu"}[platform]
    reason = runs["ort-web", "chrome", "webnn", 4]["fallback_reason"]
    assert "13 MatMulNBits (CPUExecutionProvider)" in reason
    assert "platform webnn was requested" in reason


def test_a_browser_without_webnn_is_unsupported(bench):
    require("firefox")
    code, runs = bench(
        "--engine", "ort-web", "--platform", "webnn", "--browser", "firefox", "--bits", "8", *TINY
    )
    assert code == 3
    (run,) = runs.values()
    assert (run["outcome"], run["error"]["stage"]) == ("unsupported", "probe")
    assert "navigator.ml is undefined" in run["error"]["message"]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_sixteen_rows_of_a_real_model(bench):
    require("chrome")
    require("firefox")
    axes = ["--engine", "native", "--engine", "ort-web", "--browser", "chrome", "--browser", "firefox"]
    code, runs = bench(*axes, "--model", "all-MiniLM-L6-v2", "--sequence-length", "16", "--iterations", "3")
    assert code == 0 and len(runs) == 16
    for (engine, *_), run in runs.items():
        assert run["outcome"] == "ok"
        assert run["quality"]["kernel_rel_l2"] <= BOUNDS[run["effective"]["activations"]]
        if engine == "ort-web":
            verified(run)
