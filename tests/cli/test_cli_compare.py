"""`bench compare` and `bench history` as they are typed: formats, files, exit codes, refusals."""

from __future__ import annotations

import csv
import io
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from one_gpu import H100, two_browsers
from records import environment, record, request

from bench.cli import main
from bench.harness.outcome import Outcome
from bench.store import open_store

WIDTHS = {16: 30.0, 8: 20.0, 4: 30.1, 2: 40.0}


def fill_blocks(store, name, blocks, seed, factor=1.0):
    """A campaign of mirrored blocks; 2 bits time out. No number here was measured."""
    rng = np.random.default_rng(seed)
    arms = [request(bits=width) for width in WIDTHS]
    order = [arms[::-1] if block % 2 else arms for block in range(blocks)]
    planned = store.create_campaign(
        name,
        [asked for one in order for asked in one],
        seed=seed,
        settings={},
        blocks=[block for block, one in enumerate(order) for _ in one],
    )
    for cell in planned.cells:
        median = WIDTHS[cell.request.bits] * factor * float(np.exp(0.01 * rng.standard_normal()))
        outcome = Outcome.TIMEOUT if cell.request.bits == 2 else Outcome.OK
        night = f"2026-11-{1 + cell.block:02}T03:00:00+00:00"
        browser = environment("chrome", browser_version="153.0.1.0" if factor == 1 else "154.0.1.0")
        store.record(cell.id, record(cell.request, outcome, median, environment=browser, started_at=night))


@pytest.fixture
def place(tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path}/bench.sqlite"
    with open_store(address) as store:
        fill_blocks(store, "monday", 10, seed=1)
        fill_blocks(store, "tuesday", 10, seed=2, factor=1.2)
        fill_blocks(store, "single", 1, seed=3)
    monkeypatch.setenv("BENCH_DB", address)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bench(capsys, place):
    def run(*arguments):
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_table_in_a_pipe(bench):
    code, out, err = bench("compare", "monday", "tuesday")
    assert (code, err) == (0, "")
    assert "geometric mean 1.2" in out and "over 3/4 cells; missing: 1 timeout" in out
    assert out.count("slower") == 4 and "OTHER timeout" in out  # three cells and their sum
    assert "\x1b" not in out and all(line == line.rstrip() for line in out.splitlines())


def test_a_difference_too_small_to_matter(bench):
    _, out, _ = bench("compare", "bits=16", "bits=4", "--campaign", "monday", "--margin", "3%")
    assert "equivalent within 3 %" in out and "geometric mean 1.00" in out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("monday", "tuesday", "--fail-on", "slower:5%"), 1),
        (("monday", "tuesday", "--fail-on", "slower: 25"), 0),
        (("tuesday", "monday", "--fail-on", "slower:5%"), 0),
        (("monday", "single", "--fail-on", "slower:0.001%"), 4),  # a lone ratio proves nothing
        (("bits=16", "bits=2", "--campaign", "monday"), 3),
    ],
)
def test_exit_codes(bench, arguments, code):
    assert bench("compare", *arguments)[0] == code


def test_junit_without_a_limit_fails_what_is_slower_and_skips_what_cannot_be_told(bench):
    code, out, _ = bench("compare", "monday", "tuesday", "--format", "junit")
    suite = ElementTree.fromstring(out)
    assert code == 0 and (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("3", "0", "1")
    assert suite.find("testcase/failure").get("message") == "slower"
    _, out, _ = bench("compare", "monday", "single", "--format", "junit")
    skipped = ElementTree.fromstring(out).findall("testcase/skipped")
    assert any(one.get("message").startswith("too noisy to tell; ") for one in skipped)


def test_a_limit_within_an_interval_cannot_be_told(bench):
    _, out, _ = bench("compare", "bits=16", "bits=4", "--campaign", "monday", "--format", "json")
    low, high = (100 * (json.loads(out)["cells"][0][name] - 1) for name in ("low", "high"))
    assert high > 0
    codes = [
        bench("compare", "bits=16", "bits=4", "--campaign", "monday", "--fail-on", f"slower:{limit:.4f}")[0]
        for limit in (high * 0.9, high * 1.1)
    ]
    assert codes == [4 if low < high * 0.9 else 1, 0]


def test_a_gate_too_noisy_to_see_its_limit_says_so(bench):
    code, out, _ = bench("compare", "monday", "single", "--fail-on", "slower:5%")
    assert code == 4 and "too noisy to tell whether slower by more than 5 %" in out
    code, out, _ = bench("compare", "monday", "single", "--fail-on", "slower:5%", "--format", "junit")
    suite = ElementTree.fromstring(out)
    assert code == 4 and suite.get("failures") == "0" and int(suite.get("errors")) >= 1
    assert suite.find("testcase/error").get("message") == "too noisy to tell: slower by more than 5 %?"
    code, out, _ = bench("compare", "monday", "single", "--fail-on", "slower:5%", "--format", "json")
    assert code == 4 and set(json.loads(out)["gate"]) <= {"too noisy to tell", None}


def test_json(bench):
    _, out, _ = bench("compare", "monday", "tuesday", "--format", "json")
    data = json.loads(out)
    assert data["coverage"] == {"cells": 3, "asked": 4, "missing": {"timeout": 1}}
    assert data["verdicts"] == {"faster": 0, "slower": 3, "equivalent": 0, "inconclusive": 0}
    first = data["cells"][0]
    assert first["requested_bits"] == 16 and first["low"] < first["ratio"] < first["high"]
    assert len(first["base_runs"]) == 10 and first["design"] == "separate"
    missing = data["cells"][3]
    assert missing["missing"] == "timeout" and missing["ratio"] is None and missing["verdict"] is None


def test_csv_and_markdown(bench):
    _, out, _ = bench("compare", "bits=16", "bits=8", "--campaign", "monday", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["verdict"] == "faster" and row["blocks"] == "10" and row["missing"] == ""
    assert json.loads(row["base_outcomes"]) == {"ok": 10}
    _, out, _ = bench("compare", "monday", "tuesday", "--format", "markdown")
    table = [line for line in out.splitlines() if line.startswith("|")]
    assert len(table) == 6 and {line.count("|") for line in table} == {7}
    assert "- geometric mean" in out


def test_junit(bench):
    code, out, _ = bench("compare", "monday", "tuesday", "--format", "junit", "--fail-on", "slower:5%")
    suite = ElementTree.fromstring(out)
    counts = {name: suite.get(name) for name in ("tests", "failures", "skipped")}
    assert code == 1 and counts == {"tests": "4", "failures": "3", "skipped": "1"}
    failed = suite.find("testcase/failure")
    assert failed.get("message") == "slower by more than 5 %" and "slower" in failed.text
    assert suite.find("testcase/skipped").get("message") == "OTHER timeout"


def test_a_file_is_written_whole_or_not_at_all(bench, place):
    code, out, _ = bench("compare", "monday", "tuesday", "--format", "junit", "-o", "out/compare.xml")
    assert (code, out) == (0, "out/compare.xml\n")
    ElementTree.parse(place / "out" / "compare.xml")
    assert [path.name for path in (place / "out").iterdir()] == ["compare.xml"]
    code, out, err = bench("compare", "monday", "tuesday", "--output", "/proc/none/x.md")
    assert (code, out) == (2, "") and "/proc/none/x.md" in err
    bench("history", "--format", "csv", "-o", "h.csv")
    assert len((place / "h.csv").read_text().splitlines()) == 1 + 3 * 21


def test_single_session_campaigns_get_no_interval(bench):
    _, out, _ = bench("compare", "bits=16", "bits=8", "--campaign", "single")
    assert "inconclusive: 9 more blocks" in out and "one block has no interval" in out
    assert "[0." not in out


def test_a_history_names_what_was_new(bench):
    code, out, _ = bench("history", "--where", "bits = 8 and campaign in (monday, tuesday)")
    assert code == 0 and "no steps" in out  # both campaigns on the same nights
    _, out, _ = bench("history", "--format", "json", "--campaign", "monday")
    assert {len(one["points"]) for one in json.loads(out)["series"]} == {10}
    _, out, _ = bench("history", "--format", "markdown", "--campaign", "single")
    assert "too few runs" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compare", "monday"), "OTHER"),
        (("compare", "monday", "monday"), "40 cells in common"),
        (("compare", "monday", "wednesday"), "no campaign 'wednesday'"),
        (("compare", "monday", "bits=4", "--campaign", "monday"), "is not a side"),
        (("compare", "bits=16", "btis=4"), "did you mean bits"),
        (("compare", "bits=16", "commit=abc"), "no column 'commit'"),
        (("compare", "bits=16", "model='x"), "never closed"),
        (("compare", "bits=16", "bits=4", "--where", "id < 0"), "bits=16 has no runs"),
        (("compare", "bits=16", "bits<16"), "say which"),
        (("compare", "monday", "tuesday", "--metric", "bits"), "--metric bits.*latency_ms_median"),
        (("compare", "monday", "tuesday", "--margin", "0%"), "--margin 0%"),
        (("compare", "monday", "tuesday", "--margin", "two"), "--margin two"),
        (("compare", "monday", "tuesday", "--fail-on", "worse:5%"), "--fail-on worse:5%.*slower:5%"),
        (("compare", "monday", "tuesday", "--fail-on", "slower"), "--fail-on slower"),
        (("compare", "monday", "tuesday", "--fail-on", "slower:x"), "slower: ?x"),
        (("compare", "monday", "tuesday", "--format", "xml"), "xml"),
        (("history", "--where", "id < 0"), "no run"),
        (("history", "--least", "-1%"), "--least -1%"),
        (("history", "--metric", "cosine_fp32"), "cosine_fp32"),
    ],
)
def test_bad_input_is_one_line_and_2(bench, place, arguments, says):
    before = sorted(place.iterdir())
    code, out, err = bench(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("error: ")
    assert re.search(says, err), err
    assert sorted(place.iterdir()) == before


def test_other_adapters_are_refused_and_forced(bench, place):
    with open_store(f"sqlite:///{place}/bench.sqlite") as store:
        for browser in ("chrome", "firefox"):
            asked = request(browser=browser)
            for cell in store.create_campaign(browser, [asked] * 3, seed=1, settings={}).cells:
                store.record(cell.id, record(asked, median=20.0 + cell.id % 3))
    code, out, err = bench("compare", "chrome", "firefox")
    assert (code, out) == (2, "") and "llvmpipe" in err and "--force" in err
    code, out, _ = bench("compare", "chrome", "firefox", "--force")
    assert code == 0 and "FORCED although not comparable: adapters" in out


@pytest.mark.parametrize("command", [("compare", "a", "b"), ("history",)])
def test_a_database_that_is_not_there_is_not_made(capsys, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DB", raising=False)
    assert main(list(command)) == 2 and "bench run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_two_browsers_on_one_gpu_are_compared_without_force(tmp_path, capsys):
    """Firefox names no adapter: the host's own GPUs say what it can only have been."""
    for gpus, code in ((H100, 0), (f"{H100}; {H100}", 2)):
        url = f"sqlite:///{tmp_path}/{code}.sqlite"
        with open_store(url) as store:
            two_browsers(store, gpus=gpus)
        assert main(["compare", "browser=chrome", "browser=firefox", "--db", url]) == code
        said = capsys.readouterr()
        if code:
            assert said.err.count("\n") == 1 and "adapters NVIDIA H100" in said.err and "--force" in said.err
        else:
            assert f"this host has no other than {H100}" in said.out
            assert "features of BASE alone: subgroups" in said.out
            assert "limits: maxBufferSize 4e+09 and 1e+09" in said.out
