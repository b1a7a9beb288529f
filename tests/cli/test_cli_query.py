"""`bench query`, `errors`, `recommend`, `explore` and `load_runs`: the same rows in every form."""

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pandas as pd
import pyarrow.parquet as pq
import pytest
from records import record, request

import bench as package
from bench.cli import main
from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.report.datasette import QUERIES
from bench.store import open_store
from bench.store.schema import SUMMARY


def test_every_form_has_the_same_rows(bench, url, tmp_path):
    _, text, _ = bench("query", "--format", "json")
    rows = json.loads(text)
    _, text, _ = bench("query", "--format", "jsonl")
    assert [json.loads(line) for line in text.splitlines()] == rows
    assert bench("query", "--format", "parquet", "--output", "runs.parquet")[:2] == (0, "runs.parquet\n")
    table = pq.read_table(tmp_path / "runs.parquet")
    assert table.to_pylist() == rows
    # A column without a single value keeps its type.
    kinds = {"int": "int64", "float": "double", "bool": "bool", "str": "string"}
    assert {field.name: str(field.type) for field in table.schema} == {
        item.name: kinds[item.type.python_type.__name__] for item in SUMMARY.c
    }
    frame = package.load_runs()
    assert list(frame.columns) == list(rows[0]) and len(frame) == len(rows)
    plain = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    assert plain == rows


def test_load_runs_takes_what_query_takes(url):
    frame = package.load_runs(
        where="bits <= 4 and outcome = ok", campaign="nightly", sort="-bits", limit=2, since="2026-11-01"
    )
    assert list(frame["requested_bits"]) == [4, 2] and frame["latency_ms_median"].dtype == "float64"
    assert isinstance(frame, pd.DataFrame) and frame["requested_bits"].dtype == "Int64"
    with pytest.raises(InputError, match="bits"):
        package.load_runs(where="btis = 4")
    assert package.load_runs("sqlite:///bench.sqlite", "id = 0").empty


def test_groups_in_every_form(bench, url, tmp_path):
    asked = ("query", "--group-by", "platform,bits", "--agg", "median(latency_ms_median),count(id)")
    _, text, _ = bench(*asked, "--format", "json")
    rows = json.loads(text)
    assert len(rows) == 8 and rows[0]["runs"] == 3
    _, text, _ = bench(*asked, "--format", "csv")
    assert [row["outcomes"] for row in csv.DictReader(io.StringIO(text))] == [row["outcomes"] for row in rows]
    bench(*asked, "--format", "parquet", "-o", "g.parquet")
    assert pq.read_table(tmp_path / "g.parquet").to_pylist() == rows
    _, text, _ = bench(*asked)
    assert "8 groups" in text and "add outcome to --group-by" in text
    _, text, _ = bench(*asked, "--where", "platform = webgpu and browser = chrome")
    assert "4 groups" in text and "add outcome" not in text  # all of them ran as requested
    _, text, _ = bench("query", "--agg", "max(cosine_fp32)", "--format", "csv")
    header, row = text.splitlines()
    assert header == "runs,outcomes,max(cosine_fp32),n(cosine_fp32)"
    assert row.startswith("24,") and row.endswith(",0.9871,8")  # of the 8 that ran as requested
    _, text, _ = bench(*asked, "--sort", "-median(latency_ms_median)", "--limit", "2", "--format", "markdown")
    assert text.count("\n| webgpu") == 2


def test_a_number_for_people_says_of_how_many_runs_it_is_where_that_is_not_all(bench, url):
    _, text, _ = bench("query", "--agg", "max(cosine_fp32),count(id)", "--format", "markdown")
    assert "| 0.98710 (n 8) | 24 |" in " ".join(text.split())
    asked = ("query", "--where", "outcome = ok", "--agg", "max(cosine_fp32)", "--format", "markdown")
    _, text, _ = bench(*asked)
    assert "| 0.98710 |" in " ".join(text.split())


def test_a_file_is_what_would_be_printed(bench, url, tmp_path):
    for form in ("table", "csv", "markdown", "jsonl"):
        _, text, _ = bench("query", "--where", "bits = 4", "--format", form)
        assert (
            bench("query", "--where", "bits = 4", "--format", form, "-o", f"out.{form}")[1] == f"out.{form}\n"
        )
        written = (tmp_path / f"out.{form}").read_text()
        assert (
            written.split() == text.split()
            and written.splitlines()[0].rstrip() == text.splitlines()[0].rstrip()
        )


def test_errors(bench, url):
    code, text, _ = bench("errors")
    assert code == 0 and "TypeError" in text and text.rstrip().endswith("kinds")
    _, text, _ = bench("errors", "--all", "--format", "json", "--since", "2026-11-01")
    rows = json.loads(text)
    assert sum(row["count"] for row in rows) == 24 - 10 and {"count", "message", "last_seen", "run"} <= set(
        rows[0]
    )
    assert bench("errors", "--where", "browser = chrome")[1] == "0 kinds\n"


def test_recommend(bench, url):
    code, text, _ = bench("recommend", "--min-cosine", "0.98", "--format", "json")
    [row] = json.loads(text)
    assert code == 0 and row["requested_bits"] == 8 and row["requested_platform"] == "webnn"
    assert (row["cells_ran"], row["cells_asked"]) == (10, 24) and "SOFTWARE" in row["why"]
    _, text, _ = bench("recommend", "--min-cosine", "0.98", "--max-mb", "12", "--format", "json")
    [row] = json.loads(text)  # the fastest that fits fell back, so it is none
    assert (row["requested_platform"], row["requested_bits"]) == ("webgpu", 2) and "at most 12 MB" in row[
        "why"
    ]
    code, text, _ = bench("recommend")
    assert code == 3 and "none of" in text
    code, text, _ = bench("recommend", "--min-cosine", "0.98", "--max-mb", "1")
    assert code == 3 and "the closest is" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("query", "--since", "soon"), "30d"),
        (("query", "--group-by", "bitz"), "bits"),
        (("query", "--agg", "median(browser)"), "not a number"),
        (("query", "--group-by", "bits", "--columns", "id"), "--columns"),
        (("query", "--group-by", "bits", "--sort", "nothing"), "nothing"),
        (("query", "--group-by", "bits", "--limit", "0"), "--limit"),
        (("query", "--format", "parquet", "-o", "/proc/none/x"), "/proc/none/x"),
        (("query", "--where", "browser = 'x", "--format", "csv", "-o", "half.csv"), "never closed"),
        (("query", "--format", "csv", "-o", "/"), "it is a folder"),
        (("query", "--foreign", "--columns", ","), "--columns is empty"),
        (("errors", "--limit", "0"), "--limit"),
        (("errors", "--where", "x = 1"), "no column"),
        (("recommend", "--max-mb", "0"), "--max-mb"),
        (("recommend", "--max-mb", "inf"), "--max-mb inf"),
        (("recommend", "--min-cosine", "7"), "from -1 to 1"),
        (("recommend", "--where", "id = 999"), "no runs"),
        (("explore", "--port", "70000"), "65535"),
        (("explore", "--db", "sqlite:///none.sqlite"), "no database"),
        (("explore", "--db", "postgresql://u@127.0.0.1:1/x"), "bench db import FOLDER --db sqlite:///FILE"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(bench, url, tmp_path, arguments, says):
    before = sorted(path.name for path in tmp_path.iterdir())
    code, out, err = bench(*arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and says in err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_explore_averages_no_two_arms():
    """What was mixed, experimental, made up or on another device is a line of its own."""
    arms = [
        request(bits=4), request(bits=4, mixed_precision=True), request(bits=4, batch_size=2),
        request(bits=4, platform="webnn"),
        request(bits=4, platform="webnn", experimental_precision=True),
    ]  # fmt: skip
    with open_store("sqlite://") as store:
        for number, cell in enumerate(store.create_campaign("c", arms, seed=1, settings={}).cells):
            store.record(cell.id, record(cell.request, median=10.0 + number))
        with store.engine.connect() as connection:
            found = connection.exec_driver_sql(QUERIES["latency_by_bits"][2]).mappings().all()
        known = {row["latency_ms_median"]: row for row in store.rows()}
    assert sorted(row["mean_ms"] for row in found) == [10.0, 11.0, 12.0, 13.0, 14.0]
    for row in found:
        run = known[row["mean_ms"]]
        # WebNN runs on none of WebGPU's adapters.
        assert row["ran_on"] == run["adapter" if row["platform"] == "webgpu" else "effective_device"]


def test_explore_serves_the_database_with_its_queries(url, tmp_path):
    with open_store(url) as store:
        asked = [request(bits=2, platform="webnn")]
        [cell] = store.create_campaign("extra", asked, seed=1, settings={}).cells
        store.record(cell.id, record(cell.request, Outcome.FALLBACK))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "explore", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | {"BENCH_DB": url},
    )  # fmt: skip
    try:
        base = f"http://127.0.0.1:{port}/bench"
        until = time.monotonic() + 60
        while True:
            try:
                rows = get(f"{base}/run_summary.json?_shape=array&_size=max")
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, process.stderr.read()
                time.sleep(0.2)
        assert len(rows) == 25
        for name in QUERIES:
            suffix = "&run=1" if name == "samples_of_a_run" else ""
            assert get(f"{base}/{name}.json?_shape=array{suffix}"), name
        [asked] = [row for row in get(f"{base}/fallbacks.json?_shape=array") if row["runs"] == 2]
        assert asked["asked_bits"] == 2 and asked["ran_bits"] == 8
        facets = get(f"{base}/run_summary.json")["facet_results"]
        assert {"outcome", "browser"} <= set(facets)
        # The port is taken now.
        assert main(["explore", "--port", str(port), "--db", url]) == 2
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the server outlived its command"


def get(address):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return json.load(answer)
