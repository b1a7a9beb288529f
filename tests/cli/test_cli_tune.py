"""`bench tune` where it starts no browser: one line for what cannot be, and what is known as a table."""

import json

import pytest
from records import tuned_kernel

from bench.cli import main
from bench.harness.tuning_file import as_text, read_tuning_file
from bench.store import open_store


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DB", f"sqlite:///{tmp_path}/bench.sqlite")
    return tmp_path


def refused(capsys, *arguments):
    assert main(["tune", *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1, err
    return err


def file_of(**changes):
    data = json.loads(as_text([tuned_kernel()]))
    return json.dumps({**data, **changes})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "holds no constants: name a file that bench tune --export wrote"),
        ('{"format": "crossbench"}', "holds no constants"),
        (file_of(version=2), "format version 2, this program reads 1: update webquant-bench"),
        (file_of(tuned=[]), "holds no kernel"),
        (file_of(more=1), "more: Extra inputs are not permitted"),
        (file_of(tuned=[{**tuned_kernel().model_dump(), "constants": {"BM": 7}}]), "BM: 7 is not allowed"),
        (file_of(tuned=[{"key": "x"}]), "tuned.0.adapter: Field required"),
    ],
)
def test_files_that_cannot_be(capsys, place, text, said):
    (place / "tuning.json").write_text(text)
    err = refused(capsys, "--import", "tuning.json")
    assert err.startswith("error: tuning.json") and said in err
    assert not (place / "bench.sqlite").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--import", "nowhere.json"], "nowhere.json cannot be read: No such file or directory"),
        (["--list", "--export", "a.json"], "one at a time"),
        (["--seconds", "0"], "--seconds 0.0: must be greater than 0, at most 3600"),
        (["--forms", "17"], "--forms 17: must be from 2 to 16"),
        (["--forms", "1"], "--forms 1: must be from 2 to 16"),
        (["--bits", "3"], "--bits 3: not allowed"),
        (["--browser", "lynx"], "lynx"),
    ],
)
def test_flags_that_cannot_be(capsys, place, arguments, said):
    assert said in refused(capsys, *arguments)
    assert not (place / "bench.sqlite").exists()


def test_nothing_is_known(capsys, place):
    with open_store(f"sqlite:///{place}/bench.sqlite"):
        pass
    assert "nothing is known of any kernel" in refused(capsys, "--export", "a.json")
    assert not (place / "a.json").exists()


def test_what_is_known_as_a_table_and_as_a_file(capsys, place):
    known = [tuned_kernel(), tuned_kernel(key="rms_norm 1x64", constants={}, tuned_ms=1.5, wrong=0)]
    with open_store(f"sqlite:///{place}/bench.sqlite") as store:
        store.keep_tuned(known)
    assert main(["tune", "--list"]) == 0
    out = capsys.readouterr().out
    first = next(line for line in out.splitlines() if line.startswith("matmul 64x384x1536"))
    assert "1500.0" in first and "1200.0" in first and "1.25x" in first and "BM 16, BN 32" in first
    assert "7 (1 wrong)" in first
    assert "the usual ones" in next(line for line in out.splitlines() if line.startswith("rms_norm"))
    assert "2 of them are of other kernels than these, and not used" in out
    assert main(["tune", "--export", "out.json"]) == 0
    assert read_tuning_file(place / "out.json") == tuple(known)
