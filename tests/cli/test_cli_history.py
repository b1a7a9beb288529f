import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from records import WORDS, record, request

import bench as bench_package
from bench.harness.outcome import Outcome
from bench.metrics import METRICS
from bench.record import ErrorInfo
from bench.store import open_store, revision


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def refused(result):
    code, out, err = result
    assert code == 2 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n")
    return err


def test_json_has_every_column_and_null_for_blank(bench, url):
    code, out, err = bench("query", "--format", "json", "--where", "outcome = unsupported and bits = 4")
    rows = json.loads(out)
    assert code == 0 and err == "" and len(rows) == 2
    assert rows[0]["latency_ms_median"] is None and rows[0]["error_message"] == WORDS
    assert {metric.name for metric in METRICS} <= set(rows[0])


def test_csv(bench, url):
    _, out, _ = bench(
        "query", "--format", "csv", "--columns", "id,bits,latency_ms_median,adapter_is_fallback"
    )
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["id", "requested_bits", "latency_ms_median", "adapter_is_fallback"]
    assert len(rows) == 25 and rows[12][2] == "" and rows[1][3] == "true"


def test_table_and_markdown(bench, url):
    _, out, _ = bench("query")
    assert "4 → 8" in out and "24 runs" in out and "nan" not in out and "None" not in out
    _, out, _ = bench("query", "--format", "markdown", "--where", "id = 11")
    cells = [cell.strip() for cell in out.splitlines()[2].split("|")[1:-1]]
    assert cells[5:7] == ["incorrect", ""]
    _, out, _ = bench("query", "--where", "bits = 4 and outcome = crashed")
    assert out == "0 runs\n"


def test_sort_limit_and_campaign(bench, url):
    arguments = ("--campaign", "nightly", "--sort", "-latency_ms_median", "--limit", "1", "--format", "json")
    _, out, _ = bench("query", *arguments)
    assert [row["id"] for row in json.loads(out)] == [9]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("query", "--where", "btis = 4"), "bits"),
        (("query", "--where", "model = 'x"), "never closed"),
        (("query", "--sort", "latencyms"), "latency_ms"),
        (("query", "--columns", "id,nothing"), "nothing"),
        (("query", "--columns", ","), "--columns"),
        (("query", "--limit", "0"), "--limit"),
        (("query", "--limit", "many"), "many|integer"),
        (("query", "--campaign", "nigtly"), "nightly"),
        (("query", "--format", "xml"), "xml"),
        (("query", "--bogus"), "--bogus"),
        (("query", "extra"), "extra"),
        (("frobnicate",), "frobnicate"),
        (("show",), "RUN"),
        (("show", "99"), "1 to 24"),
        (("show", "x"), "integer"),
        (("db",), "db --help|[Mm]issing"),
        (("db", "check", "--db", "sqlite:////"), "folder"),
        (("plot", "pie"), "pie"),
        (("plot", "latency", "--output", "x.gif"), ".svg or .png"),
        (("plot", "latency", "--where", "id = 999"), "no runs"),
        (("report", "--output", "x.pdf"), ".html"),
        (("report", "--output", "/proc/none/x.html"), "/proc/none/x.html"),
        (("report", "--campaign", "99"), "99"),
        (("report", "--format", "markdown", "--output", "x.html"), ".md"),
        (("report", "--min-cosine", "2"), "from -1 to 1"),
        (("report", "--where", "btis = 4"), "bits"),
        (("plot", "audio"), "audio"),
        (("plot", "experimental"), "experimental"),
    ],
)
def test_bad_input_is_one_line_and_2(bench, url, tmp_path, arguments, says):
    before = names(tmp_path)
    assert re.search(says, refused(bench(*arguments)))
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    "command", [("query",), ("show", "1"), ("report",), ("plot", "latency"), ("db", "check")]
)
def test_a_database_that_is_not_there_is_not_made(bench, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DB", raising=False)
    message = refused(bench(*command))
    assert "results/bench.sqlite" in message and "bench run" in message
    assert names(tmp_path) == []


def test_show_has_the_browser_s_words(bench, url):
    code, out, _ = bench("show", "13")
    assert code == 0 and f"TypeError: {WORDS}" in out and "dequantizeLinear" in out
    _, out, _ = bench("show", "7")
    assert "fell back because: standard mode runs 4 bits as 8" in out and "24.200 ms" in out
    _, out, _ = bench("show", "7", "--json")
    data = json.loads(out)
    assert data["effective"]["bits"] == 8 and len(data["samples"]) == 4


def test_words_that_look_like_markup_are_printed_as_they_are(bench, url):
    message = "[bold]not markup[/] \x1b[31m | pipe"
    with open_store(url) as store:
        cell = store.create_campaign("odd", [request()], seed=1, settings={}).cells[0]
        odd = ErrorInfo(stage="build", category="other", name="E", message=message)
        store.record(cell.id, record(outcome=Outcome.ERROR, error=odd))
    _, out, _ = bench("query", "--columns", "error_message", "--where", "campaign = odd")
    assert "[bold]not markup[/] \\x1b[31m | pipe" in out
    _, out, _ = bench("show", "25")
    assert "\x1b" not in out and "[bold]not markup[/]" in out


def test_report_and_plots(bench, url, tmp_path):
    code, out, _ = bench("report")
    assert code == 0 and out == "results/report.html\n"
    assert (tmp_path / "results" / "report.html").stat().st_size > 10_000
    for name, start in {"a.svg": b"<?xml", "b.png": b"\x89PNG"}.items():
        assert bench("plot", "latency", "--output", name)[0] == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    assert bench("report", "--format", "markdown")[1] == "results/report.md\n"
    assert (tmp_path / "results" / "report-latency.svg").is_file()


def test_explain_names_the_runs_behind_a_number(bench, url):
    code, out, _ = bench("explain", "7")
    assert code == 0 and out.startswith("chrome 153.0.8010.0 webnn, 4 → 8-bit; all-MiniLM-L6-v2, 16 tokens\n")
    assert "outcome fallback of 1 session: standard mode runs 4 bits as 8" in out
    assert "samples     40: 40 a session" in out and "24.2 [23.2, 25.4] ms" in out
    assert "run 7; nightly (order of seed 7); block 0, position 6, attempt 1" in out
    code, out, _ = bench("explain", "13")
    assert code == 0 and "latency" not in out and WORDS in out
    with open_store(url) as store:
        asked = [request()] * 3
        cells = store.create_campaign("more", asked, seed=5, settings={}, blocks=range(3)).cells
        for cell, median in zip(cells, (179.0, 181.0, 183.0), strict=True):
            store.record(cell.id, record(cell.request, median=median))
        (last,) = store.rows(limit=1, sort="-id")
        store.record(last["cell_id"], record(request(), Outcome.CRASHED))
    code, out, _ = bench("explain", "25")
    assert code == 0 and "outcome ok of 3 sessions" in out and "median of the session medians" in out
    assert "run 26; more (order of seed 5); block 1" in out and "run 27" not in out
    assert "crashed ×1" in out and "runs 28" in out
    assert "run 28 was a later attempt" in refused(bench("explain", "27"))
    assert "there are 1 to 28" in refused(bench("explain", "99"))


def test_report_of_an_empty_database(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bench("db", "upgrade") == (0, f"schema none -> {revision.head()}\n", "")
    assert bench("db", "upgrade") == (0, f"schema {revision.head()}: nothing to do\n", "")
    assert bench("report")[0] == 0
    assert "no runs yet" in (tmp_path / "results" / "report.html").read_text()
    assert bench("query")[1] == "0 runs\n"


def test_check(bench, url):
    code, out, _ = bench("db", "check")
    assert code == 0 and "no problems found" in out and "runs" in out
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    raw.execute("UPDATE runs SET model_id = 9 WHERE id = 1")
    raw.commit()
    raw.close()
    code, out, _ = bench("db", "check")
    assert code == 1 and "problem: foreign key" in out


def test_help(bench):
    for arguments in ((), ("--help",), ("query", "--help"), ("db", "--help"), ("show", "-h")):
        code, out, _ = bench(*arguments)
        assert code == 0 and "Usage" in out


def test_interrupted(bench, url, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.cli.query.open_store", stop)
    assert bench("query")[0] == 130


def test_a_reader_that_stops_early_is_no_error(url):
    home = Path(bench_package.__file__).parent.parent
    program = "import sys; from bench.cli import main; sys.exit(main(['query', '--format', 'csv']))"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(home)},
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()
