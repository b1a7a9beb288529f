"""Twelve ways in which something else runs than was asked for: none passes for it, none is compared as it."""

from __future__ import annotations

import json

import pytest
import tiny_model

from bench.browsers import BROWSERS
from bench.cli import main
from bench.settings import load_settings
from bench.store import open_store

pytestmark = pytest.mark.browser
GPU, NN = ("--platform", "webgpu"), ("--platform", "webnn")
# What is asked for -> the outcome it must have, and words that the row must give as its reason.
FORCED = {
    "no WebGPU": ((*GPU, "--fault", "no_webgpu"), "unsupported", "navigator.gpu is undefined"),
    "no adapter": ((*GPU, "--fault", "no_adapter"), "unsupported", "resolved to null"),
    "no device": ((*GPU, "--fault", "device_refused"), "unsupported", "no device"),
    "software for hardware": ((*GPU, "--device", "gpu"), "unsupported", "device gpu was asked for"),
    "another platform": ((*NN, "--fault", "other_platform"), "fallback", "platform webnn was requested"),
    "no WebNN": ((*NN, "--bits", "8", "--fault", "no_webnn"), "unsupported", "navigator.ml is undefined"),
    "no context": ((*NN, "--bits", "8", "--fault", "context_refused"), "unsupported", "no context"),
    "WebNN on cpu for gpu": ((*NN, "--bits", "8", "--device", "gpu"), "fallback", "device gpu was requested"),
    "WebNN on cpu for npu": ((*NN, "--bits", "8", "--device", "npu"), "fallback", "device npu was requested"),
    "8 bits for 4": (NN, "fallback", "runs 4-bit requests at 8 bits"),
    "8 bits for 2": ((*NN, "--bits", "2"), "fallback", "runs 2-bit requests at 8 bits"),
    "a type refused": ((*NN, "--bits", "2", "--experimental-precision"), "error", "not a valid enum value"),
    "no browser": ((*GPU, "--fault", "browser_missing"), "unavailable", "no chrome binary"),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    if not BROWSERS["chrome"].builds(load_settings()):
        pytest.skip(f"chrome is not on this machine: {BROWSERS['chrome'].remedy}")
    for name in ("BENCH_SEQUENCE_LENGTH", "WEBNN_EXPERIMENTAL_PRECISION", "BENCH_ITERATIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BENCH_DB", f"sqlite:///{tmp_path}/runs.sqlite")
    return tiny_model.write(tmp_path / "model")


def run(capfd, folder, *flags, name, browser="chrome"):
    bits = [] if "--bits" in flags else ["--bits", "4"]
    arguments = ["--model", "mine", "--weights", str(folder), "--sequence-length", "9", "--iterations", "3"]
    main(["run", "--json", "--browser", browser, "--name", name, *arguments, *bits, *flags])
    [one] = json.loads(capfd.readouterr().out)["runs"]
    return one


def test_none_passes_for_what_was_asked(place, capfd):
    assert len(FORCED) >= 12
    for name, (flags, outcome, words) in FORCED.items():
        one = run(capfd, place, *flags, name=name)
        told = one["fallback_reason"] or f"{one['error']['name']}: {one['error']['message']}"
        assert (one["outcome"], words in told) == (outcome, True), (name, told)
        if outcome != "fallback":
            assert one["metrics"]["latency_ms"] is None, name
    # Each against itself: what was not run as asked for is named, and not compared.
    for name in FORCED:
        code = main(["compare", name, name, "--format", "json"])
        said = capfd.readouterr()
        if code == 2:
            assert len(said.err.splitlines()) == 1
            continue
        answer = json.loads(said.out)
        assert code == 3, (name, answer)
    with open_store(create=False) as store:
        assert "ok" not in {row["outcome"] for row in store.rows()}


def test_blocked_f16_is_said(place, capfd):
    """The type of activations is not asked for, but what ran is in the row."""
    if not BROWSERS["firefox"].builds(load_settings()):
        pytest.skip(f"firefox is not on this machine: {BROWSERS['firefox'].remedy}")
    usual = run(capfd, place, *GPU, name="usual", browser="firefox")
    if usual["effective"]["activations"] != "f16":
        pytest.skip("this adapter has no shader-f16 to block")
    blocked = run(capfd, place, *GPU, "--fault", "no_f16", name="blocked", browser="firefox")
    assert blocked["effective"]["activations"] == "f32"
    assert main(["compare", "usual", "blocked"]) == 2, "different activations are not compared"
    assert "f16" in capfd.readouterr().err
