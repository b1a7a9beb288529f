# ruff: noqa: E501 - a table of rows that cannot be reads best with one a line
"""Exports that are torn, tampered with or from elsewhere: one line that names the place, nothing changed."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exchanged import change_line, contents, everything, export, rehash, rows, take, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import record, request

import bench
from bench.errors import InputError
from bench.record import Sample
from bench.store import check, open_store
from bench.store.exchange import import_foreign, read_foreign
from bench.store.exchange.encoding import read
from bench.store.exchange.layout import LAYOUTS, Encoding


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An export with everything in it, in both encodings; not to be changed."""
    place = tmp_path_factory.mktemp("made")
    with open_store(f"sqlite:///{place}/source.sqlite") as store:
        world(store)
        import_foreign(store.engine, read_foreign(Path(__file__).parents[1] / "data" / "crossbench"))
        for encoding in ("jsonl", "parquet"):
            export(store, place / encoding, encoding)
    return place


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made / "jsonl", tmp_path / "out"))


@pytest.fixture(scope="module")
def target(made, tmp_path_factory):
    """A database with something in it, which no refused import may change."""
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('target')}/target.sqlite") as store:
        cell = store.create_campaign("mine", [request()], seed=1, settings={}).cells[0]
        store.record(cell.id, record(cell.request))
        yield store


def refused(store, folder, *said):
    before = everything(store)
    with pytest.raises(InputError) as caught:
        take(store, folder)
    words = str(caught.value)
    assert "\n" not in words and all(part in words for part in said), words
    assert everything(store) == before
    return words


def edit(path, change):
    data = path.read_bytes()
    path.write_bytes(change(data))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("runs.jsonl", lambda data: data[:-40], "line 25"),
        ("runs.jsonl", lambda data: data[: len(data) // 2], "runs.jsonl, line 1"),
        (
            "samples.jsonl",
            lambda data: b"".join(data.splitlines(keepends=True)[:-1]),
            "samples.jsonl, line 12 of 12",
        ),
        (
            "cells.jsonl",
            lambda data: data.replace(b'"requested_bits":4', b'"requested_bits":8', 1),
            "cells.jsonl",
        ),
        ("models.jsonl", lambda data: b"", "models.jsonl, line 1 of 1"),
        ("environments.jsonl", lambda data: data + b"\n", "environments.jsonl, line"),
        ("campaigns.jsonl", lambda data: b"\xff" + data, "campaigns.jsonl, line 1"),
    ],
)
def test_a_file_that_is_not_the_one_exported(folder, target, name, change, said):
    edit(folder / name, change)
    assert "it is not the file that was exported" in refused(target, folder, said)


def test_a_line_that_is_cut_off_whatever_the_manifest_says(folder, target):
    edit(folder / "runs.jsonl", lambda data: data[:-1])
    rehash(folder)
    refused(target, folder, "runs.jsonl, line 25: the line is cut off")


def test_a_missing_file(folder, target):
    (folder / "samples.jsonl").unlink()
    refused(target, folder, "samples.jsonl", "copy the whole folder")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found | {"format": "other"}, "no manifest of an export"),
        (lambda found: found | {"version": 2}, "format version 2, this program reads 1: update"),
        (lambda found: found | {"schema_revision": "9999"}, "schema '9999', this program has '0009'"),
        (lambda found: found | {"encoding": "xlsx"}, "encoding"),
        (lambda found: found | {"more": 1}, "more"),
        (lambda found: found | {"files": {}}, "does not name environments.jsonl"),
        (lambda found: found | {"samples": -1}, "samples"),
        (lambda found: [found], "no manifest"),
        (
            lambda found: {name: found[name] for name in ("format", "version", "schema_revision")},
            "tool_version",
        ),
    ],
)
def test_manifests(folder, target, change, said):
    path = folder / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    refused(target, folder, "manifest.json", said)


def test_a_manifest_that_is_cut_off(folder, target):
    edit(folder / "manifest.json", lambda data: data[:-5])
    refused(target, folder, "manifest.json: this is no manifest")
    (folder / "manifest.json").unlink()
    refused(target, folder, "manifest.json cannot be read")


def other_run(row):
    row["uuid"] = "0" * 36


ROWS = [
    ("runs.jsonl", lambda row: row.update(outcome="fine"), "outcome 'fine' is not one of"),
    ("runs.jsonl", lambda row: row.update(outcome="incorrect", latency_ms_median=3.0), "has no speed"),
    ("runs.jsonl", lambda row: row.update(outcome="timeout", gpu_ms=3.0), "a run that is 'timeout' has no speed"),
    ("runs.jsonl", lambda row: row.update(position=999), "its cell, position 999"),
    ("runs.jsonl", lambda row: row.update(campaign="nobody"), "campaign nobody is not in campaigns.jsonl"),
    ("runs.jsonl", lambda row: row.update(environment="ab"), "its environment ab is not in environments.jsonl"),
    ("runs.jsonl", lambda row: row.update(model="ab"), "its model ab is not in models.jsonl"),
    ("runs.jsonl", lambda row: row.update(weight_bytes=2**63), "weight_bytes is not a whole number of 64 bits"),
    ("runs.jsonl", lambda row: row.update(attempt="1"), "attempt is not a whole number of 32 bits: '1'"),
    ("runs.jsonl", lambda row: row.update(attempt=True), "attempt is not a whole number"),
    ("runs.jsonl", lambda row: row.update(attempt=None), "attempt is not a whole number"),
    ("runs.jsonl", lambda row: row.update(load_ms="4"), "load_ms is not a number: '4'"),
    ("runs.jsonl", lambda row: row.update(evidence=[]), "evidence is not an object"),
    ("runs.jsonl", lambda row: row.update(started_at="yesterday"), "started_at 'yesterday' is no time"),
    ("runs.jsonl", lambda row: row.update(finished_at="2026-11-23T03:15:00"), "finished_at"),
    ("runs.jsonl", lambda row: row.update(started_at="2026-11-23T03:15:00+02:00"), "is no time in UTC"),
    ("runs.jsonl", lambda row: row["phases"].update(load="long"), "phases_ms.load: Input should be a valid number"),
    ("runs.jsonl", lambda row: row.update(outcome="ok", latency_ms_median=3.0, latency_ms_p90=None), "metrics.latency_ms."),
    ("runs.jsonl", lambda row: row.update(error_stage="build", error_category=None), "error.category"),
    ("runs.jsonl", lambda row: row.update(error_message="no stage"), "error.stage"),
    ("runs.jsonl", lambda row: row.update(error_stage="lunch"), "error_stage 'lunch' is not one of"),
    ("runs.jsonl", lambda row: row.update(error_category="bad luck"), "error_category"),
    ("runs.jsonl", lambda row: row.update(error_name="a\0b"), "character that no database can"),
    ("runs.jsonl", lambda row: row.update(error_name="\ud800"), "character that no database can"),
    ("runs.jsonl", lambda row: row.update(extra=1), "unknown extra"),
    ("runs.jsonl", lambda row: row.pop("uuid") and None, "no column uuid"),
    ("runs.jsonl", lambda row: "[1]", "this is not an object"),
    ("runs.jsonl", lambda row: "{", "this is not JSON"),
    ("runs.jsonl", lambda row: "[" * 100_000, "this is not JSON"),
    ("runs.jsonl", lambda row: json.dumps(row).replace('"phases": {', '"phases": {"x": NaN, '), "NaN is not a number"),
    ("runs.jsonl", lambda row: row.update(kernel_rel_l2=None), "a run that is 'ok' was not held to the reference"),
    ("runs.jsonl", lambda row: row.update(kernel_rel_l2=0.2), "a run that is 'ok' is 0.2 from the reference; allowed"),
    ("runs.jsonl", lambda row: row.update(kernel_rel_l2=-1.0), "is -1 from the reference"),
    ("runs.jsonl", lambda row: row.update(effective_bits=8), "it is 'ok', but webgpu at 16 bits was asked for and webgpu at 8"),
    ("runs.jsonl", lambda row: row.update(effective_platform="webnn"), "was asked for and webnn at 16 bits ran"),
    ("campaigns.jsonl", lambda row: row.update(created_at="yesterday"), "created_at 'yesterday' is no time"),
    ("cells.jsonl", lambda row: row.update(state="leased"), "state 'leased' is not one of done, planned, skipped"),
    ("cells.jsonl", lambda row: row.update(role="star"), "the database refuses this row (CHECK"),
    ("cells.jsonl", lambda row: row["arm"].update(bits=3), "arm bits"),
    ("cells.jsonl", lambda row: row["arm"].update(bits=8), "requested_bits is 16, its arm says 8"),
    ("cells.jsonl", lambda row: row.update(campaign="nobody"), "campaign nobody is not in campaigns.jsonl"),
    ("campaigns.jsonl", lambda row: row.update(state="running"), "state 'running' is not one of"),
    ("campaigns.jsonl", lambda row: row.update(name=" "), "is not a name of a campaign"),
    ("environments.jsonl", lambda row: row["record"].update(browser=None), "record browser"),
    ("models.jsonl", lambda row: row["record"].update(parameters="many"), "record parameters"),
    ("samples.jsonl", lambda row: row.update(run="nobody"), "run nobody is not in runs.jsonl"),
    ("samples.jsonl", lambda row: row["batch"].pop() and None, "its lists differ in length"),
    ("samples.jsonl", lambda row: row["value_ms"].__setitem__(0, "1"), "value_ms is not a number"),
    ("samples.jsonl", lambda row: row["kind"].__setitem__(0, "lunch"), "a kind of sample is not one of"),
    ("samples.jsonl", lambda row: row["position"].__setitem__(slice(None), [1, 1, 1, 1]), "a sample is there twice"),
    ("foreign_results.jsonl", lambda row: row.update(value=1.0), "is not that of this result"),
    ("foreign_results.jsonl", lambda row: row.update(direction="sideways"), "direction"),
    ("foreign_results.jsonl", lambda row: row.update(tool="llama-bench"), "origin 'crossbench', which is not"),
    ("tunings.jsonl", lambda row: row["constants"].update(BIM=4), "BIM: no kernel has that constant"),
    ("tunings.jsonl", lambda row: row["constants"].update(BM=5), "BM: 5 is not allowed"),
    ("tunings.jsonl", lambda row: row.update(default_ms=-1.0), "default_ms: Input should be greater than 0"),
    ("tunings.jsonl", lambda row: row.update(features="most"), "features: Input should be 'stock', 'f16' or 'all'"),
    ("tunings.jsonl", lambda row: row.update(kernels="mine"), "kernels: String should match pattern"),
    ("tunings.jsonl", lambda row: row.update(tuned_at="yesterday"), "tuned_at 'yesterday' is no time"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "said"), ROWS, ids=[f"{name} {said}" for name, _, said in ROWS])
def test_rows_that_cannot_be(folder, target, name, change, said):
    """The manifest has the hash of the tampered file: only reading the row finds it."""
    change_line(folder, name, 1, change)
    refused(target, folder, f"{name}, line 1: ", said)


def test_runs_in_a_campaign_of_another_tool(folder, target):
    change_line(folder, "campaigns.jsonl", 1, lambda row: row.update(origin="llama-bench"))
    refused(target, folder, "cells.jsonl, line 1: its campaign has the origin 'llama-bench', which is not")


@pytest.mark.parametrize("name", ["campaigns", "cells", "runs", "samples"])
def test_rows_that_are_there_twice(folder, target, name):
    path = folder / f"{name}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[0]]))
    rehash(folder)
    refused(target, folder, f"{name}.jsonl, line {len(lines) + 1}: ", "twice")


def test_an_attempt_that_is_there_twice(folder, target):
    path = folder / "runs.jsonl"
    lines = path.read_text().splitlines()
    again = json.dumps(json.loads(lines[0]) | {"uuid": "0" * 36})
    path.write_text("".join(f"{line}\n" for line in [*lines, again]))
    rehash(folder)
    refused(target, folder, "line 26: attempt 1 of its cell is in the file twice")


def test_an_environment_under_another_s_hash(folder, target, tmp_path):
    with open_store(f"sqlite:///{tmp_path}/here.sqlite") as store:
        take(store, folder)
        change_line(folder, "environments.jsonl", 2, lambda row: row["record"].update(cpu="faster"))
        refused(store, folder, "environments.jsonl, line 2: hash", "stands for another record here")


def parquet(folder, name, change):
    path = folder / f"{name}.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    rehash(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns(["uuid"]), "another schema: it has no column uuid"),
        (
            lambda table: table.append_column("more", pa.array([1] * len(table))),
            "another schema: it has columns",
        ),
        (
            lambda table: table.set_column(5, table.field(5).name, pa.array([1] * len(table))),
            "another schema: attempt is int64, not int64, never blank",
        ),
    ],
)
def test_a_parquet_file_of_another_schema(made, tmp_path, target, change, said):
    folder = Path(shutil.copytree(made / "parquet", tmp_path / "out"))
    parquet(folder, "runs", change)
    refused(target, folder, "runs.parquet: ", said)


def test_rows_of_parquet_files(made, tmp_path, target):
    folder = Path(shutil.copytree(made / "parquet", tmp_path / "out"))

    def change(table):
        found = table.to_pylist()
        found[2]["arm"] = "{"
        return pa.Table.from_pylist(found, schema=table.schema)

    parquet(folder, "cells", change)
    refused(target, folder, "cells.parquet, row 3: this is not JSON")
    edit(folder / "cells.parquet", lambda data: data[:-30])
    refused(target, folder, "cells.parquet: it is not the file that was exported")
    rehash(folder)
    refused(target, folder, "cells.parquet, after row 0: this is not a Parquet file of ours")
    shutil.copy(made / "parquet" / "cells.parquet", folder)
    edit(folder / "runs.parquet", lambda data: data[:200] + bytes(200) + data[400:])
    rehash(folder)
    refused(target, folder, "runs.parquet, after row")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([one.name for one in LAYOUTS] + ["manifest"]),
    st.sampled_from(["jsonl", "parquet"]),
    st.data(),
)
def test_no_changed_byte_is_taken_in(made, tmp_path_factory, target, name, encoding, data):
    folder = Path(shutil.copytree(made / encoding, tmp_path_factory.mktemp("flip") / "out"))
    path = folder / (f"{name}.{encoding}" if name != "manifest" else "manifest.json")
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(
        whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    )
    if name == "manifest":
        # Its version words, the selection and white space may be others without harm to the rows.
        before = everything(target)
        try:
            take_and_undo(target, folder)
        except InputError as error:
            assert "\n" not in str(error)
        assert everything(target) == before
    else:
        refused(target, folder)


def take_and_undo(store, folder):
    """Import into a copy, so that what is acceptable leaves no trace in the database of these tests."""
    path = Path(store.engine.url.database)
    copy = folder / "copy.sqlite"
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(path, copy)
    with open_store(f"sqlite:///{copy}") as other:
        take(other, folder)
        assert check(other.url).problems == []


_VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    *(st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)),
    st.sampled_from(["ok", "incorrect", "done", "own", "", 0, 1, -1, 2**31, 1e300]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(LAYOUTS), st.data())
def test_whatever_a_row_says_it_is_taken_in_whole_or_refused_in_one_line(
    made, tmp_path_factory, target, layout, data
):
    place = tmp_path_factory.mktemp("row")
    folder = Path(shutil.copytree(made / "jsonl", place / "out"))
    name = f"{layout.name}.jsonl"
    count = (folder / name).read_bytes().count(b"\n")
    column = data.draw(st.sampled_from([one.name for one in layout.columns]))
    value = data.draw(_VALUES)
    change_line(folder, name, data.draw(st.integers(1, count)), lambda row: row.update({column: value}))
    before = everything(target)
    try:
        take_and_undo(target, folder)
    except InputError as error:
        assert "\n" not in str(error) and f"{folder}/" in str(error)
    assert everything(target) == before


def test_nothing_is_written_over(made, target, tmp_path):
    for path in (tmp_path / "file", tmp_path / "folder"):
        path.touch() if path.name == "file" else path.mkdir()
        with pytest.raises(InputError, match="is there already: name a new folder"):
            export(target, path)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is there already"):
        export(target, tmp_path / "link")
    for path in (tmp_path / "file" / "deep", tmp_path / ("long" * 100)):
        with pytest.raises(InputError, match="cannot write the export"):
            export(target, path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"campaign": "mien"}, "did you mean mine"),
        ({"where": "bits = 2"}, "nothing to export: no run meets 'bits = 2'"),
        ({"where": "bits ="}, "at its end"),
    ],
)
def test_what_is_not_there_to_export(target, tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        export(target, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []
    with open_store("sqlite://") as empty, pytest.raises(InputError, match="there is no campaign yet"):
        export(empty, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def bench_process(tmp_path, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(Path(bench.__file__).parents[1])}
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("encoding", ["jsonl", "parquet"])
def test_a_disk_that_takes_no_more_leaves_no_folder(tmp_path, encoding):
    """A file may not grow beyond 40 kB: every write after that fails, as on a full disk."""
    url = f"sqlite:///{tmp_path}/db/big.sqlite"
    samples = [Sample(kind="measure", batch=1, value_ms=random.random()) for _ in range(20_000)]
    with open_store(url) as store:
        cell = store.create_campaign("big", [request()], seed=1, settings={}).cells[0]
        store.record(cell.id, record(cell.request, samples=samples))
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))  # noqa: E731
    arguments = ("db", "export", "out", "--format", encoding, "--db", url)
    process = bench_process(tmp_path, *arguments, preexec_fn=limit)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "") and error.count("\n") == 1
    assert error.startswith("error: cannot write the export out: ")
    assert [path.name for path in tmp_path.iterdir()] == ["db"]


def test_killed_while_it_writes_leaves_no_export(made, tmp_path):
    url = f"sqlite:///{made}/source.sqlite"
    whole = contents(made / "jsonl")
    for turn in range(6):
        process = bench_process(tmp_path, "db", "export", "out", "--db", url)
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".out.*.partial")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(turn * 0.01)
        process.kill()
        process.communicate()
        if (tmp_path / "out").exists():
            assert contents(tmp_path / "out") == whole
            shutil.rmtree(tmp_path / "out")


@pytest.mark.parametrize("turn", range(4))
def test_killed_while_it_takes_in_changes_nothing(made, target, tmp_path, turn):
    path = tmp_path / "here.sqlite"
    url = f"sqlite:///{path}"
    with open_store(url) as store:
        cell = store.create_campaign("mine", [request()], seed=1, settings={}).cells[0]
        store.record(cell.id, record(cell.request))
        before = everything(store)
    process = bench_process(tmp_path, "db", "import", str(made / "jsonl"), "--db", url)
    log = path.with_name("here.sqlite-wal")
    while process.poll() is None and not log.exists():
        time.sleep(0.001)
    time.sleep(0.02 * turn)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert check(url).problems == []
    with open_store(url) as store:
        assert len(rows(store)) in (1, 26)  # nothing, or everything where it was faster
        if len(rows(store)) == 1:
            assert everything(store) == before
        take(store, made / "jsonl")
        assert len(rows(store)) == 26


def test_what_is_read_is_what_was_written(made):
    """The two encodings hold the same rows, value for value and type for type."""
    for layout in LAYOUTS:
        lines, columns = (
            [
                row
                for _, row in read(
                    made / encoding.value / f"{layout.name}.{encoding.value}", layout, encoding
                )
            ]
            for encoding in Encoding
        )
        assert json.dumps(lines) == json.dumps(columns) and lines
