"""What each engine grants, needs and refuses, before any browser starts."""

import json
import stat
import tarfile
from typing import get_args

import pytest

from bench.cli import main
from bench.engines import ENGINES, Granted, check_installed, ort_web
from bench.engines.ort_web import OrtWeb
from bench.errors import InputError
from bench.harness.campaign import resolve_models
from bench.models.catalog import resolve
from bench.plan import request as words
from bench.plan.cells import make_plan
from bench.plan.request import Request
from bench.quantize.recipe import uniform


def request(**changes):
    return Request(**{"platform": "webgpu", "browser": "chrome", "model": "bert-tiny", "bits": 4, **changes})


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_every_engine_has_its_platforms_and_modules():
    assert set(ENGINES) == set(get_args(words.Engine)) == set(words.ENGINE_PLATFORMS)
    for name, engine in ENGINES.items():
        assert set(words.ENGINE_PLATFORMS[name]) <= set(words.PLATFORMS)
        assert engine.title and engine.modules("webgpu")


def test_what_is_granted():
    program = resolve("bert-tiny").program(1, 1)
    standard = request(platform="webnn")
    granted = ENGINES["native"].grant(standard, program)
    assert granted.recipe == uniform(8) and "--experimental-precision" in granted.why
    mixed = standard.model_copy(update={"mixed_precision": True})
    assert ENGINES["native"].grant(mixed, program).recipe == uniform(8)
    assert ENGINES["native"].grant(request(), program) == Granted(uniform(4))
    peer = standard.model_copy(update={"engine": "ort-web"})
    assert ENGINES["ort-web"].grant(peer, program) == Granted(uniform(4))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"platform": "wasm"}, "engine native has webgpu, webnn; wasm is for engine ort-web"),
        ({"platform": "wasm", "engine": "ort-web", "device": "npu"}, "platform wasm runs on the cpu"),
    ],
)
def test_a_plan_refuses_what_an_engine_lacks(changes, said):
    with pytest.raises(InputError, match=said) as found:
        make_plan([request(**changes)], 0)
    assert "\n" not in str(found.value)


def test_an_engine_that_is_not_installed_says_the_command(empty_cache, tmp_path, capsys):
    with pytest.raises(InputError, match="bench engines install ort-web"):
        check_installed([request(), request(engine="ort-web")])
    with pytest.raises(InputError, match="bench engines install ort-web"):
        resolve_models([request(engine="ort-web")], lambda _: None)
    db = tmp_path / "none.sqlite"
    code = main(["run", "--engine", "ort-web", "--model", "bert-tiny", "--db", f"sqlite:///{db}"])
    assert code == 2
    assert capsys.readouterr().err.strip().splitlines()[-1] == (
        "error: engine ort-web is not installed; type: bench engines install ort-web"
    )
    assert not db.exists()


def test_offline_and_without_npm(empty_cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    assert main(["engines", "install", "ort-web"]) == 1
    assert "NOT installed: offline (BENCH_OFFLINE=1)" in capsys.readouterr().out
    monkeypatch.delenv("BENCH_OFFLINE")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["engines", "install", "ort-web"]) == 1
    assert "no npm here" in capsys.readouterr().out
    assert main(["engines", "install", "opera"]) == 2


def npm(folder, script):
    """A program of that name, first in the path."""
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_what_npm_says_is_told_and_nothing_is_half_written(empty_cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    npm(tmp_path, "echo 'npm error code ENOTFOUND' >&2; echo 'npm error network no such host' >&2; exit 1")
    assert main(["engines", "install", "ort-web"]) == 1
    assert "npm pack onnxruntime-web@1.30.0 failed: network no such host" in capsys.readouterr().out
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as archive:
        archive.add(__file__, "package/package.json")
    npm(tmp_path, f'cp {tmp_path}/other.tgz "$6"')  # pack NAME --json --ignore-scripts --pack-destination DIR
    assert main(["engines", "install", "ort-web"]) == 1
    assert "holds no dist/ort.webgpu.min.mjs" in capsys.readouterr().out
    assert list((empty_cache / "engines").iterdir()) == []
    assert OrtWeb().installed() is None


def test_list(empty_cache, capsys):
    assert main(["engines", "list", "--json"]) == 0
    rows = {row["engine"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["ort-web"] == {
        "engine": "ort-web", "title": "onnxruntime-web, of npm", "version": ort_web.VERSION,
        "platforms": ["webgpu", "webnn", "wasm"], "folder": None,
    }  # fmt: skip
    assert main(["engines", "list"]) == 0
    assert "bench engines install ort-web" in capsys.readouterr().out


def test_the_label_names_an_engine_that_is_not_ours():
    assert request().label == "chrome webgpu 4-bit"
    assert request(engine="ort-web").label == "chrome webgpu 4-bit ort-web"


def test_a_request_of_old_hashes_as_before():
    """Defaults are no part of a plan, so an engine of today leaves the plans of yesterday what they are."""
    assert "engine" not in make_plan([request()], 0).canonical()
    assert '"engine":"ort-web"' in make_plan([request(engine="ort-web")], 0).canonical()
