"""The house is open where docs/architecture.md says so.

A toy of each kind is added in the files that the page names, and nothing else; then it runs in NumPy and in
real browsers, through the command line.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from toy_changes import ADDED, KINDS

import bench

from .conftest import require

pytestmark = pytest.mark.browser
ROOT = Path(bench.__file__).resolve().parents[1]
TOYS = Path(__file__).resolve().parents[1] / "toys"
CONFIG = {"model_type": "toy", "vocab_size": 37, "hidden_size": 70}


def named():
    """Kind of change -> patterns of the files that docs/architecture.md names for it."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| an? ([\w ]+) \| (.+) \|$", text, flags=re.MULTILINE)
    return {kind: re.findall(r"`([^`]+)`", files) for kind, files in rows}


def is_named(path, patterns):
    return any(re.fullmatch(re.escape(one).replace("NAME", r"[\w/.]+"), path) for one in patterns)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_change_is_made_in_the_files_that_the_docs_name(kind):
    touched = {path for path, _, _ in KINDS[kind]} | set(ADDED[kind])
    assert [path for path in sorted(touched) if not is_named(path, named()[kind])] == []


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Runs `bench` out of a copy of the package with all toys in it."""
    folder = tmp_path_factory.mktemp("house")
    for room in ("bench", "migrations"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for changes in KINDS.values():
        for path, before, after in changes:
            text = (folder / path).read_text(encoding="utf-8")
            assert text.count(before) == 1, (path, before)
            (folder / path).write_text(text.replace(before, after), encoding="utf-8")
    for path in [path for paths in ADDED.values() for path in paths]:
        (folder / path).parent.mkdir(exist_ok=True)
        shutil.copy(TOYS / path, folder / path)
    (folder / "weights").mkdir()
    (folder / "weights/config.json").write_text(json.dumps(CONFIG))
    rng = np.random.default_rng(5)
    shape = (CONFIG["vocab_size"], CONFIG["hidden_size"])
    weights = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name in ("table.weight", "head.weight")}
    save_file(weights, folder / "weights/model.safetensors")

    def run(*arguments):
        environment = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "BENCH_DB": f"sqlite:///{folder}/runs.sqlite",
            "BENCH_OFFLINE": "1",
        }
        return subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            capture_output=True, text=True, env=environment, cwd=folder, check=False,
        )  # fmt: skip

    return run


MODEL = ("--weights", "weights", "--model", "toy", "--sequence-length", "5", "--max-seconds", "0.5", "--json")


def rows_of(done):
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert [run["outcome"] for run in runs] == ["ok"] * len(runs), done.stderr
    return runs


def check_phases(run):
    assert run["model"]["family"] == "toy"
    phases = run["metrics"]["phases"]
    assert list(phases) == ["prefill", "decode"]
    assert (phases["prefill"]["unit"], phases["decode"]["unit"]) == ("inference", "token")
    metrics = run["metrics"]
    assert metrics["latency_ms"] == phases["prefill"]["latency_ms"]
    assert metrics["decode_ms"] == phases["decode"]["latency_ms"]
    assert metrics["prefill_tokens_per_s"] == pytest.approx(5000 / metrics["latency_ms"]["median"])
    assert metrics["decode_tokens_per_s"] == pytest.approx(1000 / metrics["decode_ms"]["median"])
    # Two sets of a prompt and three tokens, and the first set once more after the timing.
    assert set(run["evidence"]["verdicts"]) == {
        *("0", "0+1", "0+2", "0+3", "1", "1+1", "1+2", "1+3"),
        *("last", "last+1", "last+2", "last+3"),
    }


@pytest.mark.parametrize("name", ["chrome", "firefox"])
def test_the_toy_family_runs_at_its_toy_format(house, name):
    require(name)
    asked = ("--bits", "16", "--bits", "4", "--scheme", "complement", "--flavour", "sweet")
    runs = rows_of(house("run", *MODEL, "--browser", name, *asked))
    for run in runs:
        check_phases(run)
        assert run["requested"]["flavour"] == "sweet"
        assert run["metrics"]["phases"]["decode"]["dispatches"] == 3
    packed = next(run for run in runs if run["requested"]["bits"] == 4)
    assert packed["effective"]["scheme"] == "complement" and packed["quality"]["cosine_fp32"] > 0.9
    shown = house(
        "query",
        "--columns",
        "requested_flavour,decode_ms_n",
        "--format",
        "csv",
        "--where",
        f"browser = {name}",
    )
    lines = shown.stdout.splitlines()
    assert lines[0] == "requested_flavour,decode_ms_n" and len(lines) == 3
    assert all(re.fullmatch(r"sweet,\d+", line) for line in lines[1:])


def test_it_runs_through_webnn_with_states_swapped(house):
    require("chrome")
    for run in rows_of(
        house("run", *MODEL, "--browser", "chrome", "--platform", "webnn", "--bits", "16", "--bits", "8")
    ):
        check_phases(run)
        assert run["metrics"]["phases"]["decode"]["dispatches"] is None


def test_what_has_no_form_elsewhere_is_refused_by_name(house):
    refused = house("run", *MODEL, "--browser", "chrome", "--engine", "ort-web", "--bits", "16")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "toy: states and several entries (total, seen, decode) are not exported" in refused.stderr
    refused = house("run", *MODEL, "--browser", "chrome", "--engine", "toy", "--bits", "4")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "error: engine toy for toy at 4 bits: it runs the toy family at 16 bits only\n"


def test_the_toy_engine_runs_it_too(house):
    require("chrome")
    (run,) = rows_of(house("run", *MODEL, "--browser", "chrome", "--engine", "toy", "--bits", "16"))
    check_phases(run)
    assert (run["effective"]["engine"], run["effective"]["device"]) == ("toy", "cpu")
    assert run["quality"]["kernel_rel_l2"] < 1e-4
