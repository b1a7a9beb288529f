"""Every fault of the catalogue in a real browser: recorded, with the outcome and words it must get, in time.

`make test` brings about some of each kind once; `make test-long` all of them twenty times, and each wrong
kernel at every precision.
"""

from __future__ import annotations

import collections
import json
import os
import re
import time
from pathlib import Path

import mutants
import pytest
import tiny_model
from left import OURS, left_behind, orphans

from bench.browsers import BROWSERS
from bench.errors import InputError
from bench.faults import CATALOGUE, Layer, injection
from bench.harness.asked import RunSettings
from bench.harness.outcome import Outcome, Stage
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.models.catalog import resolve
from bench.plan.request import Request
from bench.report.advice import advise
from bench.settings import load_settings

pytestmark = pytest.mark.browser
GOLDEN = Path(__file__).with_name("golden.json")
# Enough for the stages before the one that hangs, on a machine that is busy with other things too.
DEADLINE = 5.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
# What befalls the database befalls the worker: tests/faults/test_store_faults.py.
ORDINARY = [name for name, fault in CATALOGUE.items() if fault.layer is not Layer.STORE]
KERNELS = {mutant.name: mutant for mutant in mutants.MUTANTS}
BITS = (16, 8, 4, 2)
# Of each layer and each outcome; what costs little.
EVERYDAY = {
    "browser_missing", "browser_exits", "browser_killed_loading", "renderer_killed", "renderer_stopped",
    "driver_missing", "driver_hangs", "driver_of_another_version", "driver_garbage", "driver_killed",
    "gpu_process_killed", "shader_of_garbage", "no_adapter", "device_lost_building", "device_lost_measuring",
    "device_lost_writing", "gpu_clock_fails", "writes_on", "wrong_token",
    "validation_error", "samples_on_timer", "other_platform", "machine_sleeps",
    "stops_computing", "no_webnn", "operator_missing", "context_lost", "dialog", "infinite_loop",
    "unhandled_rejection", "clock_back", "page_missing", "script_missing", "weights_torn", "report_refused",
    "few_descriptors",
}  # fmt: skip


def some(names, everyday):
    return [pytest.param(n, marks=[] if n in everyday else [pytest.mark.long]) for n in names]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Runs a fault on a small model with padding, heads and pooling; its record."""
    if not BROWSERS["chrome"].builds(load_settings()):
        pytest.skip(f"chrome is not on this machine: {BROWSERS['chrome'].remedy}")
    folder = tiny_model.write(tmp_path_factory.mktemp("model"), pooling=tiny_model.MEAN)
    source, writer = resolve("mine", folder), resolve("llama-tiny")
    with pytest.MonkeyPatch.context() as patch, PageServer() as server:
        patch.setenv(OURS, str(folder))

        def run(name, bits=4):
            fault, mutant = CATALOGUE.get(name), KERNELS.get(name)
            few = mutant is not None and mutant.few
            if (fault or mutant).writes:
                asked = Request(
                    platform="webgpu", browser="chrome", model="llama-tiny", bits=bits, sequence_length=9,
                    generate=24,
                )  # fmt: skip
                measuring = RunSettings(iterations=3, timeout=60.0, fault=name)
                broken = mutants.injection(name) if mutant else injection(name)
                return execute(
                    asked, writer, server, load_settings(), measuring, lambda words: None, injection=broken
                ).record
            asked = Request(
                platform=fault.platform if fault else "webgpu",
                browser="chrome",
                model="mine",
                bits=bits,
                group_size=16,
                sequence_length=2 if few else 29,
                batch_size=1 if few else 2,
                weights=str(folder),
            )
            measuring = RunSettings(
                iterations=100_000 if fault and fault.long else 3,
                timeout=DEADLINE if fault and fault.hangs else 60.0,
                fault=name,
            )
            broken = mutants.injection(name) if mutant else injection(name)
            return execute(
                asked, source, server, load_settings(), measuring, lambda words: None, injection=broken
            ).record

        yield run


def told(record):
    """The words of a row without what changes from run to run."""
    text = f"{record.error.name}: {record.error.message}" if record.error else ""
    text = re.sub(r"/\S*webquant-\w+", "TMP", text)
    text = re.sub(r"/r/[\w-]{20,}", "/r/TOKEN", text)
    return re.sub(r"\d+(\.\d+)?(e[-+]\d+)?", "N", text)


def check_kernel(record, name):
    assert record.outcome is Outcome.INCORRECT, record.error
    assert record.evidence["fault"] == name and record.metrics.latency_ms is None
    if KERNELS[name].writes and record.error.name == "WrongToken":
        return  # its logits were right for the tokens that it was told: the text that it wrote is not
    assert record.error.stage is Stage.VERIFY and "relative L2" in record.error.message


def check(record, name):
    fault = CATALOGUE[name]
    assert record.outcome is fault.outcome, record.error
    assert record.evidence["fault"] == name
    if fault.stage is None:
        assert record.error is None
        return
    assert record.error.stage is fault.stage, record.error
    assert fault.words in f"{record.error.name}: {record.error.message}"
    assert record.metrics.latency_ms is None


def test_the_catalogue_is_large_enough():
    assert set(ORDINARY) > EVERYDAY and len(ORDINARY) >= 32 and len(KERNELS) >= 25
    assert {fault.layer for fault in CATALOGUE.values()} == set(Layer)
    assert {fault.outcome for fault in CATALOGUE.values()} >= set(Outcome) - {
        Outcome.FALLBACK, Outcome.INTERRUPTED
    }  # fmt: skip
    assert sum(mutant.few for mutant in KERNELS.values()) >= 6
    with pytest.raises(InputError, match=r"unknown fault 'no_such'; `bench faults list`"):
        injection("no_such")
    for name in ("no_module:x", "mutants:no_such", "json:x"):
        with pytest.raises(InputError, match=f"unknown fault '{name}': "):
            injection(name)


def test_every_fault_still_finds_what_it_breaks():
    """A shader that was changed takes its wrong kernels with it: that is seen without a browser."""
    assert all(fault.make() for fault in CATALOGUE.values())
    assert all(mutants.injection(name) for name in KERNELS)


@pytest.mark.parametrize("name", some(ORDINARY, EVERYDAY))
def test_fault(place, name):
    begun = time.monotonic()
    record = place(name)
    taken = time.monotonic() - begun
    check(record, name)
    if CATALOGUE[name].hangs:
        spent = record.phases_ms[record.error.stage.value] / 1000
        assert spent < DEADLINE + 10, "a hang is ended within 10 s of its deadline"
        assert taken < sum(record.phases_ms.values()) / 1000 + 10
    assert not left_behind(os.environ[OURS]) and not orphans(), "processes are left"
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[name]
    advice = advise(record)
    assert {
        "words": told(record),
        "cause": advice.cause if advice else None,
        "next": advice.next if advice else None,
    } == golden


@pytest.mark.parametrize("number", some(range(len(KERNELS)), range(0, len(KERNELS), 3)))
def test_wrong_kernel_is_caught(place, number):
    """At one precision each, in turn; the long form takes every one."""
    name = list(KERNELS)[number]
    check_kernel(place(name, BITS[number % 4]), name)


def test_no_isolation_is_said(place):
    record = place("no_isolation")
    assert record.environment.cross_origin_isolated is False
    assert record.environment.timer_resolution_us >= 50


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("bits", BITS)
def test_every_wrong_kernel_at_every_precision(place, bits):
    missed = [name for name in KERNELS if place(name, bits).outcome is not Outcome.INCORRECT]
    assert missed == []


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ORDINARY)
def test_fault_twenty_times(place, name):
    outcomes = collections.Counter(place(name).outcome for _ in range(20))
    assert outcomes.total() == 20
    assert outcomes[CATALOGUE[name].outcome] == 20, outcomes
    assert not left_behind(os.environ[OURS]) and not orphans()


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("hundred", range(10))
def test_no_false_alarm_in_a_thousand_good_runs(place, hundred):
    outcomes = collections.Counter(place(None, BITS[index % 4]).outcome for index in range(100))
    assert outcomes == {Outcome.OK: 100}
