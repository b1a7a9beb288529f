"""`--gpu-features` in real browsers: SwiftShader has no set beyond stock, lavapipe in Firefox has f16."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.browsers import BROWSERS
from bench.cli import main
from bench.plan.cells import make_plan
from bench.plan.reading import read_campaign
from bench.settings import load_settings
from bench.store import open_store

from .conftest import require, typed

pytestmark = pytest.mark.browser
TINY = ["--model", "bert-tiny", "--sequence-length", "8", "--iterations", "3", "--bits", "4"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("BENCH_DB", raising=False)
    return tmp_path


@pytest.fixture(scope="module", params=["chrome", "firefox"])
def known(request):
    """A browser and which sets it has, as the doctor says."""
    require(request.param)
    command = [sys.executable, "-m", "bench", "doctor", "--json", "--browser", request.param]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    builds = [one["gpu_features"] for one in found["browsers"]]
    assert all(set(one) == {"stock", "f16", "all"} and one["stock"] is None for one in builds)
    return request.param, builds[0]


def test_a_set_is_what_the_device_had_or_is_refused_in_one_line(known, place):
    name, sets = known
    for features in ("f16", "all"):
        why = sets[features]
        database = place / f"{features}.sqlite"
        asked = ["--gpu-features", features, "--browser", name, "--db", f"sqlite:///{database}"]
        done = typed("run", *asked, "--json", *TINY)
        if why is None:
            [run] = json.loads(done.stdout)["runs"]
            assert (done.returncode, run["outcome"]) == (0, "ok")
            assert run["requested"]["gpu_features"] == run["effective"]["features"] == features
            continue
        lines = [one for one in done.stderr.splitlines() if "SYNTHETIC" not in one and "looking" not in one]
        assert (done.returncode, done.stdout, len(lines)) == (2, "", 1)
        assert lines[0].startswith(f"error: --gpu-features {features}: {name} has no such features here")
        assert why in lines[0] and not database.exists()


def test_what_goes_on_without_the_features_is_a_row(known, capfd):
    """As after a move to another machine: both engines say what is missing, by its name."""
    name, sets = known
    lacks = next((one for one in ("f16", "all") if sets[one]), None)
    if lacks is None:
        pytest.skip(f"the adapter of {name} lacks nothing")
    text = f"""
name = "moved"
[matrix]
model = ["bert-tiny"]
platform = ["webgpu"]
browser = ["{name}"]
bits = [4]
engine = ["native", "ort-web"]
gpu_features = ["{lacks}"]
sequence_length = [8]
"""
    Path("moved.toml").write_text(text + "[run]\niterations = 3\n")
    assert main(["campaign", "run", "moved.toml"]) == 2
    _, arms = read_campaign(text, "moved.toml")
    with open_store() as store:
        store.plan_campaign("moved", make_plan(arms, 0), settings={"iterations": 3})
    assert main(["campaign", "resume", "moved"]) == 3
    with open_store(create=False) as store:
        rows = store.rows()
    assert {row["requested_engine"] for row in rows} == {"native", "ort-web"}
    for row in rows:
        assert (row["outcome"], row["error_stage"]) == ("unsupported", "probe")
        feature = sets[lacks].removeprefix("no ")
        assert (
            row["error_message"]
            == f"the feature set {lacks} needs {feature}, which this adapter does not have"
        )


def test_the_stock_set_of_a_chromium_shows_nothing_experimental():
    """Linux has no adapter without `--enable-unsafe-webgpu`, which shows what is experimental too."""
    require("chrome")
    for build in BROWSERS["chrome"].builds(load_settings()):
        assert BROWSERS["chrome"].with_features(build, "stock", load_settings()).flags == build.flags
    done = typed("doctor", "--json", "--browser", "chrome")
    for one in json.loads(done.stdout)["browsers"]:
        assert one["runs_webgpu"]
        assert not [name for name in one["adapter"]["features"] if "experimental" in name]
