"""Weights that are written tensor by tensor on all cores, against the safetensors library."""

import json
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
import tiny_model
from bundled import pack_weights
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from bench.bundle.streamed import StreamedFile
from bench.bundle.weights import write_weights
from bench.bundle.workers import on_all_cores
from bench.errors import InputError
from bench.models.catalog import resolve
from bench.quantize.recipe import planned

RNG = np.random.default_rng(3)
SHAPES = {
    "a": ("<f2", (3, 7)),
    "b": ("<u4", (5, 2)),
    "c": ("<f4", (1,)),
    "d": ("<f2", (1,)),
    "e": ("<u4", (0, 4)),
}


def tensors(shapes):
    return {name: RNG.integers(0, 99, shape).astype(kind) for name, (kind, shape) in shapes.items()}


def layout(values):
    return {name: (value.dtype, value.shape) for name, value in values.items()}


@pytest.mark.parametrize("order", [1, -1])
def test_the_library_reads_what_is_written(tmp_path, order):
    values = tensors(SHAPES)
    with StreamedFile(tmp_path / "w.safetensors", layout(values), room=200) as file:
        for name in sorted(values)[::order]:
            file.write(name, values[name])
        file.metadata["exponents"] = json.dumps({"b": -7})
    found = load_file(tmp_path / "w.safetensors")
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
    with safe_open(str(tmp_path / "w.safetensors"), framework="numpy") as stream:
        assert stream.metadata() == {"exponents": '{"b": -7}'}


def test_tensors_lie_at_multiples_of_their_size(tmp_path):
    values = tensors(SHAPES)
    with StreamedFile(tmp_path / "w", layout(values)) as file:
        for name, value in values.items():
            file.write(name, value)
    data = (tmp_path / "w").read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    for name, described in json.loads(data[8 : 8 + length]).items():
        assert (8 + length + described["data_offsets"][0]) % values[name].itemsize == 0


def test_what_is_wrong_is_said(tmp_path):
    values = tensors(SHAPES)
    with pytest.raises(ValueError, match="a: type int8 is not written here; allowed: U32, F32, F16"):
        StreamedFile(tmp_path / "w", {"a": (np.dtype("i1"), (1,))})
    with (
        pytest.raises(ValueError, match="w: b was not written"),
        StreamedFile(tmp_path / "w", layout(values)) as file,
    ):
        for name in "acde":
            file.write(name, values[name])
        with pytest.raises(KeyError):
            file.write("a", values["a"])
        with pytest.raises(ValueError, match=r"b is float32 \(5, 2\), not uint32 \(5, 2\)"):
            file.write("b", values["b"].astype("<f4"))
    with pytest.raises(ValueError, match="more room"), StreamedFile(tmp_path / "w", {}) as file:
        file.metadata["exponents"] = "x" * 64


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
def test_a_model_is_packed_as_in_memory(tmp_path, bits, scheme):
    values = tiny_model.tensors()
    values["encoder.layer.0.attention.self.query.weight"] *= 1e-6  # an exponent that is not 0
    source = resolve("m", tiny_model.write(tmp_path / "m", weights=values))
    program = source.program(1, 3)
    recipe = planned(program.weights, bits, raised=True, group_size=16, scheme=scheme)
    write_weights(source, program.weights, recipe, tmp_path / "streamed")
    expected, exponents = pack_weights(source, program.weights, recipe)
    save_file(expected, tmp_path / "whole", metadata={"exponents": json.dumps(exponents)})
    found = load_file(tmp_path / "streamed")
    assert found.keys() == expected.keys() and exponents
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and found[name].tobytes() == value.tobytes()
    with safe_open(str(tmp_path / "streamed"), framework="numpy") as stream:
        assert json.loads(stream.metadata()["exponents"]) == exponents


def test_language_models_too(tmp_path):
    source = resolve("llama-tiny")
    program = source.program(1, 5, 3)
    recipe = planned(program.weights, 4, raised=False, group_size=32, scheme="symmetric")
    write_weights(source, program.weights, recipe, tmp_path / "w")
    found = load_file(tmp_path / "w")
    expected, _ = pack_weights(source, program.weights, recipe)
    assert found["rope"].dtype == np.float32
    assert all(found[name].tobytes() == value.tobytes() for name, value in expected.items())


@pytest.mark.parametrize("processes", [True, False])
def test_a_weight_that_is_not_finite(tmp_path, processes):
    source = resolve("m", tiny_model.write(tmp_path / "m"))
    program = source.program(1, 3)

    class Broken:
        folder, name = None, "broken"

        def load(self, name):
            return source.load(name) * np.float32(np.nan if "layer.1.output.dense.weight" in name else 1)

    recipe = planned(program.weights, 4, raised=False, group_size=16, scheme="symmetric")
    with pytest.raises(
        InputError, match=r"broken: tensor .*layer.1.output.dense.weight: a weight is not finite"
    ):
        write_weights(Broken(), program.weights, recipe, tmp_path / "w", processes=processes)


def test_processes_write_what_threads_write(tmp_path):
    source = resolve("llama-tiny")
    program = source.program(1, 5, 3)
    recipe = planned(program.weights, 2, raised=True, group_size=16, scheme="asymmetric")
    for name, processes in (("threads", False), ("processes", True)):
        write_weights(source, program.weights, recipe, tmp_path / name, processes=processes)
    assert (tmp_path / "threads").read_bytes() == (tmp_path / "processes").read_bytes()


def test_no_process_outlives_a_parent_that_was_killed(tmp_path):
    code = """
import os, time
from bench.bundle.workers import Processes
with Processes(lambda shared, item: (os.getpid(), time.sleep(item))[0], None) as work:
    print(work(0), flush=True)
    work(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    worker.wait(timeout=60)


def test_no_more_in_memory_than_there_is_room_for():
    lock, now, most, done = threading.Lock(), [0], [0], []

    def work(size):
        with lock:
            now[0] += size
            most[0] = max(most[0], now[0])
        time.sleep(0.005)
        with lock:
            now[0] -= size
            done.append(size)

    sizes = [*range(1, 20), 300]
    on_all_cores([(size, size) for size in sizes], work, room=25)
    assert sorted(done) == sizes and done[0] == 300
    assert most[0] == 300, "the one that is too large is worked on alone"


def test_the_first_failure_ends_the_work():
    done = []

    def work(item):
        if item == 9:
            raise InputError("nine")
        time.sleep(0.002)
        done.append(item)

    with pytest.raises(InputError, match="nine"):
        on_all_cores([(item, item) for item in range(200)] + [(9, 1000)], work, room=5)
    assert len(done) < 200
