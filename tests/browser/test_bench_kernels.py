"""`bench kernels` as it is typed, in real browsers: both engines on one device, right or without a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli import main
from bench.engines import ENGINES
from bench.harness import kernel_cases
from bench.models.operators import KINDS
from bench.store import open_store

from .conftest import require, typed

pytestmark = pytest.mark.browser
SMALL = [
    *("--matmul", "5,24,64", "--attention", "7,2,16", "--decode", "9,4,2,16", "--layer-norm", "5,24"),
    *("--rms-norm", "5,24", "--convolution", "11,8,12,3,2", "--embedding", "4,30,64"),
]
QUICK = ["--rounds", "5"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    assert ENGINES["ort-web"].installed(), "type: bench engines install (make test does)"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("BENCH_DB", raising=False)
    return tmp_path


@pytest.mark.parametrize("browser", ["chrome", "firefox"])
def test_every_operator_on_both_engines(browser):
    require(browser)
    done = typed("kernels", "--browser", browser, *SMALL, *QUICK, "--bits", "4", "--json", "--name", "k")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    runs = found["runs"]
    assert len(runs) == len(found["ratios"]) == 2 * len(KINDS)
    assert {run["model"]["family"] for run in runs} == set(KINDS)
    devices = {json.dumps(run["environment"]["adapter"], sort_keys=True) for run in runs}
    assert len(devices) == 1
    for run in runs:
        native, kind = run["requested"]["engine"] == "native", run["model"]["family"]
        # The peer has no convolution of packed weights, and says so.
        unpacked = not native and kind == "convolution"
        assert run["outcome"] == ("fallback" if unpacked else "ok"), run["error"]
        assert ("4 bits were requested, 16 ran" in (run["fallback_reason"] or "")) is unpacked
        assert ("an unpacked matrix" in run["effective"]["weight_path"]) is unpacked
        # What the engine's file holds, not what was asked for; without a matrix nothing has bits.
        matrix = kind in ("matmul", "embedding", "convolution")
        assert run["effective"]["bits"] == (None if not matrix else 16 if unpacked else 4)
        half = run["effective"]["activations"] == "f16"
        assert run["quality"]["kernel_rel_l2"] <= (5e-3 if half else 1e-3)
        assert run["metrics"]["latency_ms"]["n"] == 5 and run["metrics"]["gpu_ms"] > 0
        rounds, notes = run["evidence"]["rounds"], run["evidence"]["notes"]
        assert len(rounds["wall_ms"]) == 5 == len(rounds["gpu_ms"]) and run["evidence"]["copies"] == 2
        assert run["evidence"]["shares"]["bandwidth"] > 0
        assert run["effective"]["kernels"] and run["effective"]["engine"] == run["requested"]["engine"]
        if native:
            assert notes["kernels"] and run["metrics"]["phases"]["forward"]["dispatches"] >= 1
        else:
            assert notes["graph_capture"] is True and notes["operators"]
    compared = typed("compare", "engine=ort-web", "engine=native", "--campaign", "k", "--format", "json")
    assert compared.returncode == 0, compared.stderr
    assert json.loads(compared.stdout)
    query = typed("query", "--campaign", "k", "--where", "gpu_ms > 0", "--format", "json")
    assert len(json.loads(query.stdout)) == len(runs)


def test_a_wrong_answer_has_no_time(monkeypatch, capfd):
    require("chrome")
    right = kernel_cases._expected
    monkeypatch.setattr(kernel_cases, "_expected", lambda *given: right(*given) * 1.01)
    assert main(["kernels", "--rms-norm", "5,24", *QUICK]) == 1
    out = capfd.readouterr().out
    assert "relative L2 distance to float64 is 0.0099" in out and "allowed 0.001" in out
    with open_store(create=False) as store:
        rows = store.rows()
    assert {row["outcome"] for row in rows} == {"incorrect"} and len(rows) == 2
    for row in rows:
        assert row["latency_ms_median"] is None and row["gpu_ms"] is None
        assert 0.009 < row["kernel_rel_l2"] < 0.011 and row["error_name"] == "WrongResult"


def test_constants_are_variants_and_one_that_cannot_be_stops_no_other(capfd):
    require("chrome")
    tile = '{"ROW_KERNEL": 0, "BM": 16, "BN": 16, "BK": 8, "TM": 1, "TN": 1}'
    forced = ["--tuning", '{"ROW_KERNEL": 1}', "--tuning", tile, "--engine", "native", "--bits", "4"]
    assert main(["kernels", "--matmul", "5,24,64", *forced, *QUICK, "--blocks", "2", "--json"]) == 1
    runs = json.loads(capfd.readouterr().out)["runs"]
    assert [run["outcome"] for run in runs] == ["ok", "error"] * 2
    for good, bad in (runs[:2], runs[2:]):
        assert all("matmul_row" in name for name in good["evidence"]["notes"]["kernels"])
        assert good["evidence"]["variant"]["tuning"] == {"ROW_KERNEL": 1}
        assert "does not divide" in bad["error"]["message"] and bad["metrics"]["latency_ms"] is None
    assert runs[0]["effective"]["kernels"] == runs[2]["effective"]["kernels"]
    with open_store(create=False) as store:
        assert [row["block"] for row in store.rows()] == [0, 0, 1, 1]


def test_the_peer_may_round_its_activations(capfd):
    require("chrome")
    levels = ["--accuracy-level", "0", "--accuracy-level", "4"]
    assert main(["kernels", "--matmul", "5,24,64", *levels, *QUICK, "--bits", "4", "--bits", "16"]) == 0
    out = capfd.readouterr().out
    # At 16 bits nothing is packed, and the levels are one.
    assert out.count("ort-web level 4") == 1 and out.count("ort-web ") >= 2
    with open_store(create=False) as store:
        assert len(store.rows()) == 5


def test_features_that_the_browser_lacks_are_refused():
    require("chrome")
    refused = typed("kernels", "--rms-norm", "5,24", "--gpu-features", "all", "--browser", "chrome")
    assert refused.returncode in (0, 2)
    if refused.returncode == 2:
        assert refused.stderr.startswith("error: --gpu-features all: chrome has no such features here")
