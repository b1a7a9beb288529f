"""`bench export onnx`: a folder that transformers.js loads."""

import json
import shutil
import subprocess

import numpy as np
import onnxruntime
import pytest
import tiny_model
import tiny_whisper
from bundled import bundled
from tiny_model import MEAN

from bench.cli import main
from bench.models.catalog import resolve

TRANSFORMERS = "@huggingface/transformers@4.3.1"


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tiny_model.write(tmp_path / "tiny", pooling=MEAN)


def export(folder, output, *more):
    return main(["export", "onnx", "tiny", "--weights", str(folder), "--output", str(output), *more])


@pytest.mark.parametrize(
    ("bits", "file"),
    [(16, "model_fp16"), (8, "model_quantized"), (4, "model_q4"), (2, "model_q2")],
)
def test_the_folder_holds_what_a_library_loads(model, tmp_path, bits, file):
    assert export(model, tmp_path / "out", "--bits", str(bits)) == 0
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert found == {f"onnx/{file}.onnx", "config.json", "vocab.txt"}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "bert"
    bundle = bundled(resolve("tiny", model), bits=bits, batch=2, sequence=7)
    given = bundle.inputs()["0"]
    session = onnxruntime.InferenceSession(tmp_path / "out" / "onnx" / f"{file}.onnx")
    wide = {one.name: given[one.name].astype(np.int64) for one in session.get_inputs()}
    (got,) = session.run(["sentence_embedding"], wide)
    truth = bundle.reference()["0"]["sentence_embedding"]
    assert np.linalg.norm(got - truth) <= (5e-3 if bits == 16 else 1e-3) * np.linalg.norm(truth)


def test_mixed_precision_and_schemes_are_those_of_a_run(model, tmp_path, capsys):
    sizes = {}
    for name, more in {
        "plain": [], "mixed": ["--mixed-precision"], "asymmetric": ["--scheme", "asymmetric"],
    }.items():  # fmt: skip
        assert export(model, tmp_path / name, "--bits", "4", "--group-size", "16", *more) == 0
        sizes[name] = (tmp_path / name / "onnx" / "model_q4.onnx").stat().st_size
    assert sizes["mixed"] > sizes["plain"] and sizes["asymmetric"] > sizes["plain"]
    assert "dtype 'q4'" in capsys.readouterr().out


def test_what_is_refused_leaves_nothing(model, tmp_path, monkeypatch, capsys):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    assert export(model, full, "--bits", "4") == 2
    assert "is not empty; name a new folder" in capsys.readouterr().err
    assert export(model, full / "mine.txt", "--bits", "4") == 2
    assert export(model, tmp_path / "new", "--bits", "3") == 2
    assert "--bits 3: not allowed; allowed: 16, 8, 4, 2" in capsys.readouterr().err
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    assert main(["export", "onnx", "bert-tiny", "--bits", "4", "--output", str(tmp_path / "new")]) == 2
    assert "synthetic weights have no tokenizer" in capsys.readouterr().err
    whisper = tiny_whisper.write(tmp_path / "whisper")
    assert export(whisper, tmp_path / "w", "--bits", "4") == 2
    assert "model type whisper is not exported" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()
    assert [path.name for path in full.iterdir()] == ["mine.txt"]


@pytest.mark.long
def test_transformers_js_loads_it(model, tmp_path):
    """Under Node: npm takes 8 seconds and half a gigabyte for it, in a folder of its own."""
    if not shutil.which("npm"):
        pytest.skip("no npm here to fetch transformers.js with")
    work = tmp_path / "node"
    work.mkdir()
    (work / "package.json").write_text('{"private": true, "type": "module"}')
    install = ["npm", "install", TRANSFORMERS, "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(install, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot fetch transformers.js: {done.stderr[-200:]}")
    dtypes = {16: "fp16", 8: "q8", 4: "q4", 2: "q2"}
    for bits in dtypes:
        assert export(model, tmp_path / "models" / str(bits), "--bits", str(bits)) == 0
    program = """
      import { AutoModel, Tensor, env } from "@huggingface/transformers";
      env.allowRemoteModels = false;
      env.localModelPath = process.argv[2];
      const answers = {};
      for (const [bits, dtype] of Object.entries(JSON.parse(process.argv[3]))) {
        const model = await AutoModel.from_pretrained(bits, { dtype, device: "cpu" });
        const ids = new Tensor("int64", [2n, 7n, 8n, 9n, 3n], [1, 5]);
        const mask = new Tensor("int64", [1n, 1n, 1n, 1n, 1n], [1, 5]);
        const types = new Tensor("int64", [0n, 0n, 0n, 0n, 0n], [1, 5]);
        const out = await model({ input_ids: ids, attention_mask: mask, token_type_ids: types });
        answers[bits] = [...out.sentence_embedding.data];
      }
      console.log(JSON.stringify(answers));
    """
    (work / "load.mjs").write_text(program)
    command = ["node", "load.mjs", f"{tmp_path}/models/", json.dumps(dtypes)]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    ids = np.array([[2, 7, 8, 9, 3]], np.int64)
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    for bits, suffix in {16: "_fp16", 8: "_quantized", 4: "_q4", 2: "_q2"}.items():
        path = tmp_path / "models" / str(bits) / "onnx" / f"model{suffix}.onnx"
        (truth,) = onnxruntime.InferenceSession(path).run(["sentence_embedding"], given)
        assert np.allclose(answers[str(bits)], truth[0], atol=1e-3)
