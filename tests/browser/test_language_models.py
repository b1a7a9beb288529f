"""Language models in real browsers: the loop on the device, each engine and platform, and long prompts."""

from __future__ import annotations

import json

import pytest

from bench.cli import main
from bench.harness.asked import RunSettings
from bench.harness.outcome import Outcome
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.models import llama
from bench.models.catalog import resolve
from bench.plan.request import Request
from bench.settings import load_settings

from .conftest import require

pytestmark = pytest.mark.browser
LONG = pytest.mark.long  # what `make test-long` adds
TINY = ["--model", "llama-tiny", "--sequence-length", "9", "--generate", "12", "--iterations", "3"]
BOUNDS = {"f16": 5e-3, "f32": 1e-3}


@pytest.fixture
def bench(tmp_path, capfd, monkeypatch):
    """Run `bench run --json`; the exit code and the runs."""
    monkeypatch.setenv("BENCH_DB", f"sqlite:///{tmp_path / 'runs.sqlite'}")

    def run(*arguments):
        code = main(["run", "--json", *arguments])
        return code, json.loads(capfd.readouterr().out)["runs"]

    return run


def right(run, generated=12):
    """What every row of a language model holds."""
    metrics, quality, written = run["metrics"], run["quality"], run["evidence"]["written"]
    assert quality["kernel_rel_l2"] <= BOUNDS[run["effective"]["activations"]]
    assert len(written["tokens"]) == written["compared"] == generated
    first = written.get("first_difference")
    assert written["agrees_reference"] == (first["step"] if first else generated)
    assert quality["greedy_agreement"] == written["agrees_fp32"] / generated
    assert list(metrics["phases"]) == ["prefill", "decode"]
    assert metrics["latency_ms"] == metrics["phases"]["prefill"]["latency_ms"]
    assert metrics["decode_tokens_per_s"] == pytest.approx(1000 / metrics["decode_ms"]["median"])
    assert metrics["prefill_tokens_per_s"] > 0
    assert set(run["evidence"]["verdicts"]) >= {"0", *(f"0+{step}" for step in range(1, 9)), "last", "last+8"}


@pytest.mark.parametrize(
    ("browser", "platform", "engine"),
    [
        ("chrome", "webgpu", "native"),
        ("firefox", "webgpu", "native"),
        ("chrome", "webnn", "native"),
        ("chrome", "webgpu", "ort-web"),
        pytest.param("firefox", "webgpu", "ort-web", marks=LONG),
        pytest.param("chrome", "wasm", "ort-web", marks=LONG),
    ],
)
def test_text_is_written_as_numpy_writes_it(bench, browser, platform, engine):
    """Verified step by step, and free-running: the tokens of the last timed sample are the reference's."""
    require(browser)
    where = ["--browser", browser, "--platform", platform, "--engine", engine]
    code, runs = bench(*where, "--bits", "16", "--bits", "4", *TINY)
    assert code == 0
    for run in runs:
        expected = "fallback" if platform == "webnn" and run["requested"]["bits"] == 4 else "ok"
        assert run["outcome"] == expected, (run["fallback_reason"], run["error"])
        right(run)


def test_a_prompt_too_long_for_numpy_is_verified_by_its_beginning(monkeypatch):
    """The row says how long a prompt was verified; the whole one is timed, and its text is not compared."""
    require("chrome")
    monkeypatch.setattr(llama, "_MOST_WORK", 1)
    asked = Request(
        platform="webgpu", browser="chrome", model="llama-tiny", bits=4, sequence_length=40, generate=12
    )
    with PageServer() as server:
        record = execute(
            asked,
            resolve("llama-tiny"),
            server,
            load_settings(),
            RunSettings(iterations=3),
            lambda words: None,
        ).record
    assert record.outcome is Outcome.OK, record.error
    written = record.evidence["written"]
    assert written["compared"] == 0 and len(written["tokens"]) == 12
    assert record.evidence["verified_tokens"] == 32
    assert record.quality.greedy_agreement is None
    speed = 40_000 / record.metrics.latency_ms.median
    assert record.metrics.prefill_tokens_per_s == pytest.approx(speed)


@LONG
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("bits", ["16", "8", "4"])
@pytest.mark.parametrize("browser", ["chrome", "firefox"])
def test_sixty_four_tokens_of_real_weights(bench, browser, bits):
    """Chromium and Firefox write what NumPy writes on the same weights, or part from it in a near tie."""
    require(browser)
    shape = ["--sequence-length", "16", "--generate", "64", "--iterations", "3"]
    code, [run] = bench("--browser", browser, "--model", "smollm2-135m", "--bits", bits, *shape)
    assert code == 0 and run["outcome"] == "ok"
    right(run, 64)
