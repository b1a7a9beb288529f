import json
import multiprocessing
import os
import time

import numpy as np
import pytest
import tiny_model
from bundled import bundled
from safetensors.numpy import load_file
from tiny_model import CONFIG, MEAN

from bench.bundle import cache as bundle_cache
from bench.bundle import calls, prune
from bench.bundle import weights as bundle_weights
from bench.errors import InputError
from bench.models.catalog import resolve
from bench.models.program import Program
from bench.quantize.methods import dequantize, quantize
from bench.quantize.packing import unpack, unpack_f16
from bench.reference.compare import kernel_rel_l2, quality
from bench.reference.execute import run


@pytest.fixture
def source(tmp_path):
    return resolve("tiny", weights_dir=tiny_model.write(tmp_path / "model", pooling=MEAN))


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def values_of(made, name):
    """A weight's float32 values, read by hand from the bundle's files."""
    stored = load_file(made.weights_path)
    how = json.loads(made.program_path.read_text())["quantization"].get(name)
    if how is None:
        assert stored[name].dtype == np.float16
        return stored[name].astype(np.float32)
    words = stored[f"{name}.codes"]
    assert words.dtype == np.uint32
    if how["bits"] == 16:
        return unpack_f16(words, how["k"]).astype(np.float32)
    codes = unpack(words, how["bits"], how["kp"]).astype(np.float32)
    scales = stored[f"{name}.scales"]
    assert scales.dtype == np.float16
    zeros = np.full(scales.shape, float(1 << (how["bits"] - 1)), np.float32)
    if how["scheme"] == "asymmetric":
        zeros = unpack(stored[f"{name}.zeros"], how["bits"], scales.shape[1]).astype(np.float32)
    wide = np.repeat(zeros, how["group_size"], axis=1), np.repeat(scales, how["group_size"], axis=1)
    return ((codes - wide[0]) * wide[1].astype(np.float32))[:, : how["k"]]


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("bits", [16, 8, 4, 2])
def test_the_files_say_what_was_quantized(source, cache, bits, mixed, scheme):
    made = bundled(
        source, bits=bits, mixed=mixed, group_size=16, scheme=scheme, batch=2, sequence=7, cache=cache
    )
    described = json.loads(made.program_path.read_text())
    assert Program.from_json(described) == made.program == source.program(2, 7)
    weights = {weight.name: values_of(made, weight.name) for weight in made.program.weights}
    for weight in made.program.weights:
        how = described["quantization"].get(weight.name)
        original = source.load(weight.name)
        if how is None or how["bits"] == 16:
            expected = original.astype(np.float16).astype(np.float32)
        else:
            q = quantize(original, how["bits"], 16, scheme)
            assert how["kp"] == q.codes.shape[1]
            expected = dequantize(q)
        assert np.array_equal(weights[weight.name], expected)
    reference, fp32, inputs = made.reference(), made.fp32(), made.inputs()
    assert len(reference) == len(fp32) == len(inputs) == 2
    assert not np.array_equal(inputs["0"]["input_ids"], inputs["1"]["input_ids"])
    for call in reference:
        assert list(reference[call]) == sorted(made.program.outputs)
        got = run(made.program, weights, inputs[call])
        assert kernel_rel_l2([got], [reference[call]]) < 1e-5
        original = {w.name: source.load(w.name) for w in made.program.weights}
        assert kernel_rel_l2([run(made.program, original, inputs[call])], [fp32[call]]) < 1e-5


def costs(made):
    """The quality of kernels that make no error."""
    reference = [*made.reference().values()]
    return quality(made.program, reference, reference, [*made.fp32().values()])


def test_sizes_count_every_byte(source, cache):
    made = bundled(source, bits=4, batch=1, sequence=5, cache=cache)
    stored = load_file(made.weights_path)
    assert made.weight_bytes == sum(tensor.nbytes for tensor in stored.values())
    assert made.parameters == made.program.parameters
    assert made.weight_bytes_fp16 == 2 * made.parameters
    assert made.bits_mean == 4
    assert made.memory_reduction == 1 - made.weight_bytes / made.weight_bytes_fp16
    assert 4 < bundled(source, bits=4, mixed=True, batch=1, sequence=5, cache=cache).bits_mean < 8


def files(cache):
    return {str(f): (f.stat().st_mtime_ns, f.stat().st_ino) for f in cache.rglob("*") if f.is_file()}


def test_the_second_call_does_no_work(source, cache, monkeypatch):
    said = []
    first = bundled(source, bits=4, sequence=5, cache=cache, progress=said.append)
    before = files(cache)
    monkeypatch.setattr(bundle_weights.formats, "store", None)
    monkeypatch.setattr(calls, "run", None)
    assert bundled(source, bits=4, sequence=5, cache=cache, progress=said.append) == first
    assert files(cache) == before
    assert len(said) == 3


def test_shapes_share_weights_and_precisions_share_fp32(source, cache):
    a = bundled(source, bits=4, sequence=5, cache=cache)
    b = bundled(source, bits=4, sequence=6, cache=cache)
    c = bundled(source, bits=2, sequence=6, cache=cache)
    assert a.weights_path == b.weights_path != c.weights_path
    assert len({a.key, b.key, c.key}) == 3
    kinds = sorted(folder.name.partition("-")[0] for folder in (cache / "bundles").iterdir())
    assert kinds == ["fp32"] * 2 + ["shape"] * 3 + ["weights"] * 2
    assert all(np.array_equal(b.fp32()["0"][n], c.fp32()["0"][n]) for n in b.program.outputs)


def test_at_16_bits_group_and_scheme_do_not_matter(source, cache):
    a = bundled(source, bits=16, sequence=5, cache=cache)
    b = bundled(source, bits=16, mixed=True, group_size=64, scheme="asymmetric", sequence=5, cache=cache)
    assert a == b
    assert a.memory_reduction == pytest.approx(0, abs=0.01)


def test_other_weights_are_another_bundle(source, cache, tmp_path):
    a = bundled(source, bits=4, sequence=5, cache=cache)
    changed = tiny_model.write(tmp_path / "other", weights=tiny_model.tensors(seed=4), pooling=MEAN)
    b = bundled(resolve("tiny", weights_dir=changed), bits=4, sequence=5, cache=cache)
    assert a.weights_path != b.weights_path
    assert a.key != b.key


def test_a_large_batch_runs_set_by_set(source, cache, monkeypatch):
    a = bundled(source, bits=8, batch=3, sequence=5, cache=cache)
    monkeypatch.setattr(calls, "_JOINT_ROWS", 0)
    b = bundled(source, bits=8, batch=3, sequence=5, cache=cache / "again")
    assert a.key == b.key
    assert kernel_rel_l2([*b.reference().values()], [*a.reference().values()]) < 1e-6


def test_a_model_without_sentences(cache, monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    made = bundled(resolve("bert-tiny", cache=cache), bits=8, sequence=6, cache=cache)
    assert made.program.outputs == ("last_hidden_state", "pooler_output")
    found = costs(made)
    assert found.kernel_rel_l2 == 0
    assert found.cosine_fp32 > 0.99


def _work(arguments):
    folder, cache = arguments
    return bundled(resolve("tiny", weights_dir=folder), bits=4, sequence=9, cache=cache).key


def test_two_processes_at_once(source, cache):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        keys = pool.map(_work, [(source.folder, cache)] * 4, chunksize=1)
    assert len(set(keys)) == 1
    assert not list((cache / "bundles").glob(".*"))


def test_a_bundle_that_loses_the_race_is_thrown_away(tmp_path):
    target = tmp_path / "weights-1"

    def write(folder):
        (folder / "mine").touch()
        target.mkdir()
        (target / "theirs").touch()

    assert bundle_cache.cached(target, write) == target
    assert [p.name for p in tmp_path.rglob("*")] == ["weights-1", "theirs"]


def test_a_failure_leaves_nothing(source, cache, tmp_path):
    weights = tiny_model.tensors()
    weights["embeddings.word_embeddings.weight"][3, 3] = np.nan
    bad = tiny_model.write(tmp_path / "bad", weights=weights)
    with pytest.raises(
        InputError, match=r"model.safetensors: tensor embeddings\.word_embeddings\.weight is not finite"
    ):
        bundled(resolve("tiny", weights_dir=bad), bits=4, sequence=5, cache=cache)
    assert not cache.exists()


def test_contradictions_are_told_in_one_line(tmp_path, cache):
    folder = tiny_model.write(tmp_path / "m", {**CONFIG, "hidden_size": 24}, tiny_model.tensors())
    (folder / "config.json").write_text(json.dumps({**CONFIG, "intermediate_size": 48}))
    with pytest.raises(
        InputError, match=r"m/model\.safetensors: tensor \S+ has shape \[40, 24\].* \[48, 24\]"
    ):
        bundled(resolve("tiny", weights_dir=folder), bits=4, sequence=5, cache=cache)
    with pytest.raises(InputError, match="sequence length 99 exceeds the 33 positions of tiny"):
        bundled(
            resolve("tiny", weights_dir=tiny_model.write(tmp_path / "n")), bits=4, sequence=99, cache=cache
        )
    assert not cache.exists()


def test_prune_removes_the_least_recently_used(source, cache):
    assert prune(0, cache) == 0
    a = bundled(source, bits=4, sequence=5, cache=cache)
    b = bundled(source, bits=2, sequence=5, cache=cache)
    assert prune(0, cache) == 0  # just used
    now = time.time()
    for folder in (cache / "bundles").iterdir():
        os.utime(folder, (now - 9000, now - 9000))
    for path in (b.weights_path, b.program_path):
        os.utime(path.parent, (now - 5000, now - 5000))
    keep = sum(f.stat().st_size for p in (b.weights_path, b.program_path) for f in p.parent.iterdir())
    assert prune(1 << 30, cache) == 0
    assert prune(keep, cache) > 0
    assert not a.weights_path.exists()
    assert b.weights_path.exists()
    assert b.program_path.exists()
    (cache / "bundles/.weights-x-abandoned").mkdir()
    os.utime(cache / "bundles/.weights-x-abandoned", (now - 9000, now - 9000))
    prune(1 << 30, cache)
    assert not (cache / "bundles/.weights-x-abandoned").exists()


def test_real_weights_at_every_precision(tmp_path):
    source = resolve("all-MiniLM-L6-v2")
    least = {8: (0.46, 0.999), 4: (0.71, 0.95), 2: (0.84, 0.5)}
    for bits, (reduction, cosine) in least.items():
        made = bundled(source, bits=bits, sequence=16, cache=tmp_path)
        assert made.memory_reduction >= reduction
        assert costs(made).cosine_fp32 >= cosine
