"""`bench kernels`: bad input is one line and exit code 2, with nothing written; ratios by hand."""

import pytest
from records import operator

from bench.cli import main
from bench.harness.outcome import Outcome
from bench.report.kernels_table import ratios, reasons, rows


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DB", raising=False)

    def run(*arguments):
        code = main(["kernels", *arguments])
        said = capsys.readouterr()
        assert (code, said.out) == (2, ""), said
        assert said.err.startswith("error: ") and said.err.count("\n") == 1 and not list(tmp_path.iterdir())
        return said.err

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--matmul", "1,2"], "--matmul 1,2: not allowed; allowed: M,N,K"),
        (["--bits", "3"], "--bits 3: not allowed; allowed: 16, 8, 4, 2"),
        (["--engine", "tvm"], "--engine tvm: not allowed; allowed: native, ort-web"),
        (["--accuracy-level", "2"], "--accuracy-level 2: not allowed; allowed: 0, 4"),
        (["--group-size", "48"], "--group-size 48: not allowed"),
        (["--scheme", "odd"], "--scheme odd: not allowed"),
        (["--gpu-features", "most"], "--gpu-features most: not allowed; allowed: stock, f16, all"),
        (["--device", "npu"], "--device npu: not allowed; allowed: auto, cpu, gpu"),
        (["--tuning", "{"], "--tuning {: not allowed"),
        (["--tuning", "[1]"], "--tuning [1]: not allowed"),
        (["--tuning", '{"BM": 1.5}'], "whole numbers"),
        (["--tuning", '{"FOO": 1}'], "FOO: no kernel has that constant; there are ROW_KERNEL, "),
        (
            ["--tuning", '{"BM": 33}'],
            "BM: 33 is not allowed (rows of a workgroup's tile); allowed: 8, 16, 32, ",
        ),
        (["--tuning", '{"ROWS": -1}'], "ROWS: -1 is not allowed"),
        (["--tuning", '{"BLOCK": 100}'], "allowed: 64, 128, ... to 65472"),
        (["--tuning", '{"BM": 32, "SM": 64}'], "BM of 32 does not divide into parts of SM 64"),
        (["--engine", "ort-web", "--tuning", "{}"], "add --engine native"),
        (["--rounds", "4"], "--rounds 4: must be from 5 to 1000"),
        (["--spread", "-1"], "--spread -1: must be from 0"),
        (["--spread", "nan"], "--spread nan: must be from 0"),
        (["--blocks", "0"], "--blocks 0: must be from 1 to 100"),
        (["--timeout", "0"], "--timeout 0.0: must be greater than 0"),
        (["--browser", "netscape"], "unknown browser"),
        (["--browser", "chrome:/nope"], "/nope is not an executable file"),
        (["--name", " "], "name"),
    ],
)
def test_bad_input_is_one_line(refused, arguments, said):
    assert said in refused(*arguments)


def test_a_ratio_is_the_median_over_rounds_to_the_fastest_of_the_peer():
    found = ratios(
        [
            operator("native", [1.0, 2.0, 4.0], [0.5, 1.0, 2.0]),
            operator("ort-web", [9.0, 9.0, 9.0], [8.0, 8.0, 8.0]),
            operator("ort-web", [2.0, 4.0, 12.0], [1.0, 2.0, 6.0], level=4),
        ]
    )
    assert [one["variant"] for one in found] == ["native", "ort-web", "ort-web level 4"]
    assert [one["gpu_ratio"] for one in found] == [2.0, 0.25, None]
    assert [one["wall_ratio"] for one in found] == [2.0, pytest.approx(4 / 9), None]


def test_what_is_wrong_has_no_time_and_a_reason():
    made = [
        operator("native", [1.0], [0.5], outcome=Outcome.ERROR, tuning={"ROWS": 4}),
        operator("ort-web", [2.0], []),
    ]
    [ours, theirs] = rows(made)
    assert ours[2] == 'native {"ROWS": 4}' and ours[3:9] == [""] * 6 and ours[-1] == "error"
    assert theirs[3] == "" and theirs[5] == "2000"
    [why] = reasons(made)
    assert why.startswith('matmul 1x8x32 4-bit native {"ROWS": 4}: ')


def test_an_operator_without_a_matrix_shows_no_bits():
    made = operator("native", [1.0], [0.5], bits=16)
    made.requested = made.requested.model_copy(update={"model": "rms-norm 8x64"})
    assert rows([made])[0][:2] == ["rms-norm 8x64", ""]
