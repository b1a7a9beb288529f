"""Whole runs in real browsers: each outcome that this machine can produce, through `bench run`."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections import Counter

import numpy as np
import psutil
import pytest
import tiny_whisper
from bundled import bundled
from left import orphans
from safetensors.numpy import load_file, save_file

from bench.browsers import BROWSERS
from bench.cli import main
from bench.models.catalog import resolve
from bench.settings import load_settings
from bench.store import open_store

from .conftest import require

pytestmark = pytest.mark.browser
TINY = ["--model", "bert-tiny", "--sequence-length", "8", "--iterations", "3"]
CONTRACT = {
    "id", "outcome", "fallback_reason", "requested", "effective", "environment", "model", "metrics",
    "quality", "error",
}  # fmt: skip


@pytest.fixture
def bench(tmp_path, capfd, monkeypatch):
    """Run `bench run --json`; the exit code and the runs by what was asked of them."""
    monkeypatch.setenv("BENCH_DB", f"sqlite:///{tmp_path / 'runs.sqlite'}")

    def run(*arguments):
        code = main(["run", "--json", *arguments])
        answer = json.loads(capfd.readouterr().out)
        assert set(answer) == {"campaign", "runs"}
        runs = {}
        for one in answer["runs"]:
            assert set(one) >= CONTRACT
            asked = one["requested"]
            runs[asked["browser"], asked["platform"], asked["bits"]] = one
        return code, runs

    return run


def measured(run):
    """A run that has speed must have everything that makes it believable."""
    latency, quality = run["metrics"]["latency_ms"], run["quality"]
    assert latency["n"] >= 3 and latency["median"] > 0
    assert run["metrics"]["throughput_per_s"] == pytest.approx(1000 / latency["median"])
    assert run["metrics"]["first_inference_ms"] > 0
    assert quality["kernel_rel_l2"] <= (5e-3 if run["effective"]["activations"] == "f16" else 1e-3)
    assert 0.2 < quality["cosine_fp32"] <= 1 + 1e-9
    assert run["environment"]["cross_origin_isolated"] is True
    assert 0 < run["environment"]["timer_resolution_us"] <= 1000
    assert run["metrics"]["canary_ms"] > 0
    assert run["evidence"]["canary"] == {"webgpu": "wgsl", "webnn": "js"}[run["requested"]["platform"]]
    assert run["error"] is None


def test_every_precision_on_both_platforms_in_chrome(bench):
    require("chrome")
    code, runs = bench("--platform", "both", *TINY)
    assert code == 0
    assert {key[1:]: run["outcome"] for key, run in runs.items()} == {
        ("webgpu", 16): "ok", ("webgpu", 8): "ok", ("webgpu", 4): "ok", ("webgpu", 2): "ok",
        ("webnn", 16): "ok", ("webnn", 8): "ok", ("webnn", 4): "fallback", ("webnn", 2): "fallback",
    }  # fmt: skip
    for (_, platform, bits), run in runs.items():
        measured(run)
        upgraded = platform == "webnn" and bits < 8
        assert run["effective"]["bits"] == (8 if upgraded else bits)
        assert run["effective"]["bits_mean"] == run["effective"]["bits"]
        assert bool(run["fallback_reason"]) is upgraded
        assert run["effective"]["device"] == "cpu"  # SwiftShader is a processor, whatever the API is called
    adapter = runs["chrome", "webgpu", 4]["environment"]["adapter"]
    assert adapter["is_fallback_adapter"] is True and "software" in adapter["name"]
    for platform in ("webgpu", "webnn"):
        assert runs["chrome", platform, 16]["metrics"]["memory_reduction"] == 0
    cosines = [runs["chrome", "webgpu", bits]["quality"]["cosine_fp32"] for bits in (16, 8, 4, 2)]
    assert cosines == sorted(cosines, reverse=True)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("chrome", (16, 4)),
        pytest.param("firefox", (2,), marks=pytest.mark.long),
        pytest.param("chrome", (16, 8, 4, 2), marks=pytest.mark.long),
        pytest.param("firefox", (16, 8, 4, 2), marks=pytest.mark.long),
    ],
)
def test_a_model_that_hears(bench, tmp_path, name, asked):
    """Convolutions, causal and cross attention, tied embeddings and a float input, of odd sizes."""
    require(name)
    folder = tiny_whisper.write(tmp_path / "model")
    shape = ("--model", "mine", "--weights", str(folder), "--sequence-length", "19", "--batch-size", "2")
    bits = [word for width in asked for word in ("--bits", str(width))]
    code, runs = bench("--browser", name, "--platform", "both", *shape, *bits, "--iterations", "3")
    assert code == 0 and len(runs) == 2 * len(asked)
    for (_, platform, bits), run in runs.items():
        if name == "firefox" and platform == "webnn":
            assert run["outcome"] == "unsupported"
            continue
        assert run["outcome"] == ("fallback" if platform == "webnn" and bits < 8 else "ok"), run["error"]
        assert run["model"]["family"] == "whisper" and run["quality"]["top1_agreement"] is not None
        assert run["quality"]["kernel_rel_l2"] <= (5e-3 if run["effective"]["activations"] == "f16" else 1e-3)
        if bits == 16:
            assert run["quality"]["top1_agreement"] > 0.9


@pytest.mark.long
@pytest.mark.parametrize("every", [False, True])
def test_real_weights_save_the_memory_that_is_claimed(bench, every):
    require("chrome")
    asked = ("--model", "all-MiniLM-L6-v2", "--sequence-length", "8", "--iterations", "3")
    if every:
        _, runs = bench(*asked, "--platform", "both")
        assert len(runs) == 8
    else:
        _, runs = bench(*asked, "--bits", "8", "--bits", "4", "--bits", "2")
        runs |= bench(*asked, "--platform", "webnn", "--bits", "8")[1]
    saved = {key[1:]: run["metrics"]["memory_reduction"] for key, run in runs.items()}
    for platform, bits, least in [
        ("webgpu", 8, 0.46),
        ("webgpu", 4, 0.71),
        ("webgpu", 2, 0.84),
        ("webnn", 8, 0.46),
    ]:
        assert saved[platform, bits] >= least
    assert all(saved[key] == 0 for key in saved if key[1] == 16)
    assert {run["model"]["weights"] for run in runs.values()} == {"hub"}
    for run in runs.values():
        measured(run)


def test_experimental_mode_asks_the_browser_and_keeps_its_words(bench):
    require("chrome")
    code, runs = bench("--platform", "webnn", "--bits", "4", "--bits", "2", "--experimental-precision", *TINY)
    assert code == 0  # an error in experimental mode is the result that was asked for
    four, two = runs["chrome", "webnn", 4], runs["chrome", "webnn", 2]
    assert (four["outcome"], four["effective"]["bits"]) == ("ok", 4)
    assert "int4" in four["effective"]["weight_path"]
    measured(four)
    assert two["outcome"] == "error" and two["metrics"]["latency_ms"] is None
    assert two["error"] == {
        "stage": "build",
        "category": "unsupported_type",
        "name": "TypeError",
        "message": "Failed to execute 'constant' on 'MLGraphBuilder': Failed to read the 'dataType' "
        "property from 'MLOperandDescriptor': The provided value 'int2' is not a valid enum value of type "
        "MLOperandDataType.",
        "operator": "constant",
    }


def multiplied(requested):
    """Operations of all matrix products of one inference, counted on the program."""
    batch, sequence = requested["batch_size"], requested["sequence_length"]
    program = resolve("bert-tiny").program(batch, sequence)
    shapes = {weight.name: weight.shape for weight in program.weights}
    linear = [node for node in program.main.nodes if node.op == "linear"]
    return sum(2 * node.shape[0] * math.prod(shapes[node.weights[0]]) for node in linear)


def test_mixed_and_asymmetric_and_a_batch(bench):
    require("chrome")
    arguments = [
        "--platform",
        "both",
        "--bits",
        "4",
        "--mixed-precision",
        "--scheme",
        "asymmetric",
        "--batch-size",
        "3",
    ]
    _, runs = bench(*arguments, "--experimental-precision", "--roofline", *TINY)
    for run in runs.values():
        assert run["outcome"] == "ok", run["error"]
        found = run["evidence"]["roofline"]
        if run["requested"]["platform"] == "webnn":
            assert found["note"].startswith("neither the work nor what it runs on")
        else:
            products = multiplied(run["requested"])
            assert products < found["flop"] < 1.2 * products  # attention and norms are the rest
            # Of the embedding table only the rows that are looked up.
            assert found["bytes"] > run["metrics"]["weight_bytes"] / 50
            assert min(found["gflops"], found["gbytes_per_s"]) > 0.01
        assert run["effective"]["bits"] == 4 and 4 < run["effective"]["bits_mean"] < 8
        assert run["effective"]["scheme"] == "asymmetric"
        assert run["metrics"]["throughput_per_s"] == pytest.approx(
            3000 / run["metrics"]["latency_ms"]["median"]
        )
        assert run["quality"]["kernel_rel_l2"] <= 1e-3


def test_other_engines_run_or_refuse_with_evidence(bench):
    for name in ("firefox", "webkitgtk"):
        require(name)
    arguments = ["--platform", "both", "--browser", "firefox", "--browser", "webkitgtk", "--browser", "edge"]
    code, runs = bench(*arguments, "--bits", "4", *TINY)
    assert code == 0
    assert runs["firefox", "webgpu", 4]["outcome"] == "ok"
    measured(runs["firefox", "webgpu", 4])
    assert runs["firefox", "webgpu", 4]["effective"]["activations"] == "f16"
    for key, words in {
        ("firefox", "webnn", 4): "navigator.ml is undefined",
        ("webkitgtk", "webgpu", 4): "navigator.gpu is undefined",
        ("webkitgtk", "webnn", 4): "navigator.ml is undefined",
    }.items():
        assert runs[key]["outcome"] == "unsupported"
        assert runs[key]["error"]["stage"] == "probe" and words in runs[key]["error"]["message"]
        assert runs[key]["environment"]["user_agent"]
        assert runs[key]["metrics"]["latency_ms"] is None
    if not BROWSERS["edge"].builds(load_settings()):
        assert {runs["edge", platform, 4]["outcome"] for platform in ("webgpu", "webnn")} == {"unavailable"}
        assert "edge is not on this machine" in runs["edge", "webgpu", 4]["error"]["message"]


def test_another_build_refuses_webnn_in_its_own_words(bench):
    build = next((b for b in BROWSERS["chrome"].builds(load_settings()) if b.source == "distribution"), None)
    if build is None:
        pytest.skip("this machine has no distribution's Chromium beside the fetched one")
    code, runs = bench("--platform", "webnn", "--browser", f"chrome:{build.binary}", "--bits", "8", *TINY)
    (run,) = runs.values()
    assert code == 3  # nothing could run
    assert run["outcome"] == "unsupported"
    assert run["error"]["message"].endswith("WebNN is not supported on this platform.")


def test_a_device_that_did_not_run_it_is_a_fallback(bench):
    require("chrome")
    code, runs = bench("--platform", "webnn", "--device", "gpu", "--bits", "8", *TINY)
    assert code == 0
    # LiteRT answers for a GPU and says that it shares the graph with the processor.
    run = runs["chrome", "webnn", 8]
    assert run["outcome"] == "fallback"
    assert "device gpu was requested, gpu+cpu ran it" in run["fallback_reason"]
    assert run["effective"]["device"] == "gpu+cpu"


def test_saved_outputs_are_what_was_verified(bench, tmp_path):
    require("chrome")
    _, runs = bench("--bits", "8", *TINY, "--batch-size", "2", "--save-outputs", str(tmp_path / "out"))
    (run,) = runs.values()
    folder = tmp_path / "out" / str(run["id"])
    saved = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    assert saved["input_ids"].shape == saved["attention_mask"].shape == (2, 8)
    assert saved["last_hidden_state"].shape == (2, 8, 128)
    reference = bundled(resolve("bert-tiny"), bits=8, batch=2, sequence=8).reference()["0"]
    np.testing.assert_allclose(
        saved["last_hidden_state"].reshape(16, 128), reference["last_hidden_state"], rtol=1e-3, atol=1e-4
    )


def test_a_wrong_result_has_no_speed(bench, tmp_path, monkeypatch):
    require("chrome")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("CHROME_BINARY", str(BROWSERS["chrome"].find(None, SETTINGS).binary))
    bundle = bundled(resolve("bert-tiny"), bits=4, batch=1, sequence=8)
    tensors = load_file(bundle.weights_path)
    for name, words in tensors.items():
        if name.endswith("intermediate.dense.weight.codes"):
            tensors[name] = (words >> 4) & 0x0F0F0F0F | (words & 0x0F0F0F0F) << 4
    save_file(tensors, bundle.weights_path)  # nibbles swapped, after the reference was made
    code, runs = bench("--bits", "4", *TINY)
    (run,) = runs.values()
    assert code == 1
    assert run["outcome"] == "incorrect"
    assert "relative L2 distance" in run["error"]["message"]
    assert run["metrics"]["latency_ms"] is None and run["metrics"]["throughput_per_s"] is None
    assert run["quality"]["kernel_rel_l2"] > 1e-3
    assert main(["query", "--where", "latency_ms_median is not null", "--format", "json"]) == 0


SETTINGS = load_settings()


def test_a_stage_past_its_deadline_is_a_timeout(bench, own_processes):
    require("chrome")
    begun = time.monotonic()
    code, runs = bench(
        "--model", "bert-base-uncased", "--sequence-length", "32", "--bits", "8", "--timeout", "2"
    )
    (run,) = runs.values()
    assert code == 1
    assert run["outcome"] == "timeout"
    assert run["error"]["stage"] in ("build", "compile", "verify")
    assert "deadline of 2 s" in run["error"]["message"]
    assert time.monotonic() - begun < 60
    assert not own_processes()


def is_kind(process, kind):
    """Whether this is that part of a browser session."""
    line = " ".join(process.cmdline())
    if kind == "driver":
        return process.name() == "chromedriver"
    if kind == "browser":
        return process.name() != "chromedriver" and "--type=" not in line
    return f"--type={kind}" in line


def kill_when_measuring(processes, kind, delay, still=None):
    """A thread that kills the busiest of these processes of a kind, a while after the first of it was seen.

    Those of the kind `still` are stopped before.
    """

    def hunt():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            time.sleep(0.05)
            if not any(is_kind(process, kind) for process in list_alive()):
                continue
            time.sleep(delay)
            for process in list_alive():
                if still and is_kind(process, still):
                    process.suspend()
            found = [process for process in list_alive() if is_kind(process, kind)]
            with contextlib.suppress(psutil.Error):
                max(found, key=lambda process: sum(process.cpu_times()[:2])).kill()
            return

    def list_alive():
        with contextlib.suppress(psutil.Error):
            return [process for process in processes() if "chrom" in process.name()]
        return []

    thread = threading.Thread(target=hunt, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("kind", "still", "outcomes"),
    [
        ("browser", None, {"crashed"}),
        ("browser", "renderer", {"crashed"}),
        ("driver", None, {"crashed"}),
        ("renderer", None, {"crashed"}),
        ("gpu-process", None, {"device_lost"}),
    ],
)
def test_what_dies_is_a_row_and_leaves_nothing(bench, own_processes, kind, still, outcomes):
    require("chrome")
    thread = kill_when_measuring(own_processes, kind, 2.5, still)
    arguments = ["--model", "all-MiniLM-L6-v2", "--sequence-length", "64", "--bits", "8", "--timeout", "60"]
    code, runs = bench(*arguments, "--iterations", "30")
    thread.join()
    (run,) = runs.values()
    assert code == 1
    assert run["outcome"] in outcomes, run["error"]
    assert run["error"]["message"]
    assert run["metrics"]["latency_ms"] is None
    assert not own_processes() and not orphans()


def test_every_run_is_in_the_view_with_its_evidence(bench, tmp_path):
    require("chrome")
    _, runs = bench("--platform", "both", "--browser", "chrome", "--browser", "edge", "--bits", "8", *TINY)
    with open_store(f"sqlite:///{tmp_path / 'runs.sqlite'}", create=False) as store:
        frame = store.summary()
        assert Counter(frame["outcome"]) == Counter(run["outcome"] for run in runs.values())
        one = frame[(frame["requested_platform"] == "webgpu") & (frame["browser"] == "chrome")].iloc[0]
        assert one["latency_ms_median"] == runs["chrome", "webgpu", 8]["metrics"]["latency_ms"]["median"]
        assert bool(one["adapter_is_fallback"]) and "software" in one["adapter"]
        samples = store.samples(int(one["id"]))
        assert sum(sample.kind == "measure" for sample in samples) == one["latency_ms_n"] == 3
