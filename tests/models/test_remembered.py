"""What is found out about large files is found out once; and which numbers are none, by their bits."""

import json

import numpy as np
import pytest
import tiny_model
from safetensors.numpy import save_file

from bench.models import remembered as store
from bench.models.files import file_sha256
from bench.models.finite import not_finite
from bench.models.remembered import remembered
from bench.models.weights import open_folder


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Every file counts as a large one; the process forgets at will."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "LEAST", 0)
    return lambda: store._here.clear()


def test_found_once_for_all_processes(small, tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"abc")
    asked = []

    def find():
        asked.append(file.read_bytes())
        return {"n": len(asked)}

    assert remembered(file, "x", find) == remembered(file, "x", find) == {"n": 1}
    small()
    assert remembered(file, "x", find) == {"n": 1}
    assert remembered(file, "y", find) == {"n": 2}
    file.write_bytes(b"abcd")
    assert remembered(file, "x", find) == {"n": 3} and asked[-1] == b"abcd"
    for kept in (tmp_path / "cache/files").iterdir():
        kept.write_text(kept.read_text()[:-5])
    small()
    assert remembered(file, "x", find) == {"n": 4}
    (tmp_path / "cache/files").rename(tmp_path / "gone")
    (tmp_path / "cache/files").write_text("in the way")
    small()
    assert remembered(file, "x", find) == {"n": 5}


def test_what_is_false_or_empty_is_remembered_too(small, tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"abc")
    for found in ([], False, None, 0):
        remembered(file, f"x{found}", lambda found=found: found)
        small()
        assert remembered(file, f"x{found}", lambda: "asked again") == found


def test_small_files_leave_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.bin").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a.bin").startswith("ba7816bf")
    assert not (tmp_path / "cache").exists()


def test_digests_and_folders(small, tmp_path):
    folder = tiny_model.write(tmp_path / "m")
    opened = open_folder(folder)
    first = opened.sha256
    assert all(opened.is_finite(name) for name in opened.tensors)
    small()
    assert open_folder(folder).sha256 == first
    told = [json.loads(one.read_text())["found"] for one in (tmp_path / "cache/files").iterdir()]
    assert first in told and [] in told


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_not_finite_by_its_bits(tmp_path, kind, value):
    values = {name: one.astype(kind) for name, one in tiny_model.tensors().items()}
    broken = "encoder.layer.1.output.dense.bias"
    values[broken][-1] = value
    largest = np.finfo(kind).max
    values["pooler.dense.bias"][:3] = [largest, -largest, np.finfo(kind).tiny / 2]
    tiny_model.write(tmp_path)
    save_file(values, tmp_path / "model.safetensors")
    opened = open_folder(tmp_path)
    assert [name for name in opened.tensors if not opened.is_finite(name)] == [broken]


def test_bfloat16():
    bits = np.array([0x3F80, 0x7F80, 0x7F7F], "<u2")
    assert not_finite([("a", "BF16", bits.view("u1")), ("b", "BF16", bits[::2].copy().view("u1"))]) == ["a"]


def test_a_large_tensor_is_looked_at_to_its_end():
    values = np.zeros(3_000_001, np.float32)
    assert not_finite([("a", "F32", values.view("u1"))]) == []
    values[-1] = np.nan
    assert not_finite([("a", "F32", values.view("u1"))]) == ["a"]
