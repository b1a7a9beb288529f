# ruff: noqa: E501 - tables of cases read best with one a line
"""Results of other tools: read from the shapes that those tools write, kept apart from runs of our own.

llama-bench: the fields and their order as `tools/llama-bench/llama-bench.cpp` of llama.cpp prints them
(`test::get_fields`, `json_printer`); the numbers here are made up. crossbench: `tests/data/crossbench` was
written by crossbench 1.0.5 itself, `crossbench loading --probe=performance.entries --repeat=2` of a page with
two marks in a headless Chromium, with its paths and the kernel's version replaced; `results.db` is built here
with the tables that its later versions declare in `crossbench/results_db/records`.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from exchanged import DATA, everything, export, take
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import fill, request

from bench.cli import main
from bench.errors import InputError
from bench.store import check, open_store
from bench.store.exchange import import_foreign, read_foreign

CROSSBENCH = DATA / "crossbench"
STORY = "chrome_v156_linux.x64.local_0/stories/127.0.0.1"


def test_object(**changes):
    """One test as llama-bench prints it."""
    samples = [74_601_900, 71_632_900, 71_745_200]
    found = {
        "build_commit": "8cf427ff", "build_number": 5163, "cpu_info": "AMD Ryzen 7 7800X3D 8-Core Processor",
        "gpu_info": "NVIDIA GeForce RTX 4080", "backends": "CUDA",
        "model_filename": "models/Qwen2.5-7B-Instruct-Q4_K_M.gguf", "model_type": "qwen2 7B Q4_K - Medium",
        "model_size": 4_677_120_000, "model_n_params": 7_615_616_512, "n_batch": 2048, "n_ubatch": 512,
        "n_threads": 8, "cpu_mask": "0x0", "cpu_strict": False, "poll": 50, "type_k": "f16", "type_v": "f16",
        "n_gpu_layers": 99, "n_cpu_moe": 0, "split_mode": "layer", "main_gpu": 0, "no_kv_offload": False,
        "flash_attn": 0, "devices": "auto", "tensor_split": "0.00", "tensor_buft_overrides": "none",
        "load_mode": "mmap", "embeddings": False, "no_op_offload": 0, "no_host": False, "fit_target": 0,
        "fit_min_ctx": 0, "n_prompt": 512, "n_gen": 0, "n_depth": 0, "test_time": "2025-04-24T11:58:50Z",
        "avg_ns": 72_660_000, "stddev_ns": 1_682_361, "avg_ts": 7049.01, "stddev_ts": 161.0,
        "samples_ns": samples, "samples_ts": [1e9 * 512 / one for one in samples],
    }  # fmt: skip
    return found | changes


test_object.__test__ = False
GENERATION = {"n_prompt": 0, "n_gen": 128, "test_time": "2025-04-24T11:58:51Z"}


def write(path, tests, lines=None):
    if path.suffix == ".jsonl" if lines is None else lines:
        path.write_text("".join(f"{json.dumps(one)}\n" for one in tests))
    else:
        path.write_text(json.dumps(list(tests), indent=2))
    return path


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/here.sqlite") as opened:
        yield opened


def foreign(store):
    with store.engine.connect() as connection:
        query = (
            "SELECT f.*, c.name AS campaign FROM foreign_results f JOIN campaigns c ON c.id = f.campaign_id"
        )
        return [dict(row._mapping) for row in connection.exec_driver_sql(f"{query} ORDER BY f.id")]


def test_llama_bench(any_url, tmp_path):
    tests = [test_object(), test_object(**GENERATION), test_object(n_gen=64, n_depth=2048)]
    with open_store(any_url) as store:
        done = import_foreign(store.engine, read_foreign(write(tmp_path / "desk.json", tests)))
        assert (done.tool, done.campaign, done.new, done.known) == ("llama-bench", "desk", 6, 0)
        found = foreign(store)
        assert store.rows() == [] and check(any_url).counts["runs"] == 0
        assert [row["origin"] for row in store.campaigns()] == ["llama-bench"]
        # The same as JSON lines, and under another name, is the same.
        again = read_foreign(write(tmp_path / "other.jsonl", tests))
        done = import_foreign(store.engine, again, "another name")
        assert (done.campaign, done.new, done.known) == ("desk", 0, 6)
    assert [row["test"] for row in found[::2]] == ["pp512", "tg128", "pp512+tg64 @ d2048"]
    assert {row["tool_version"] for row in found} == {"5163 (8cf427ff)"}
    assert {row["bits_mean"] for row in found} == {8 * 4_677_120_000 / 7_615_616_512}
    speed, time = found[:2]
    assert (speed["metric"], speed["unit"], speed["direction"]) == ("avg_ts", "t/s", "higher")
    assert (time["metric"], time["unit"], time["direction"]) == ("avg_ns", "ns", "lower")
    assert (speed["value"], speed["n"], time["value"]) == (7049.01, 3, 72_660_000)
    assert (speed["model"], speed["backend"]) == ("Qwen2.5-7B-Instruct-Q4_K_M.gguf", "CUDA")
    assert (speed["gpu"], speed["started_at"]) == ("NVIDIA GeForce RTX 4080", "2025-04-24T11:58:50Z")
    assert all(speed[name] is None for name in ("host", "os", "browser", "browser_version"))


def test_an_old_llama_bench_says_less(store, tmp_path):
    old = test_object(model_filename="C:\\models\\a.gguf")
    for name in ("backends", "gpu_info", "n_depth", "load_mode", "fit_target"):
        del old[name]
    import_foreign(store.engine, read_foreign(write(tmp_path / "old.json", [old | {"cuda": True}])))
    row = foreign(store)[0]
    assert (row["backend"], row["gpu"], row["test"], row["model"]) == (None, None, "pp512", "a.gguf")


def test_a_file_that_grew_adds_what_is_new(store, tmp_path):
    path = write(tmp_path / "nightly.jsonl", [test_object()])
    import_foreign(store.engine, read_foreign(path))
    write(path, [test_object(), test_object(**GENERATION)])
    done = import_foreign(store.engine, read_foreign(path))
    assert (done.campaign, done.new, done.known) == ("nightly", 2, 2)
    assert len(store.campaigns()) == 1


def test_files_of_one_name_are_campaigns_of_their_own(store, tmp_path):
    mine = fill(store, "results")
    names = []
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        path = write(tmp_path / str(number) / "results.json", [test_object(build_number=number)])
        names.append(import_foreign(store.engine, read_foreign(path)).campaign)
    assert len({*names, "results"}) == 3 and all(name.startswith("results@") for name in names)
    assert len(store.rows(campaign="results")) == 24 and store.campaign("results").uuid == mine.uuid


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps([test_object()])[:-3], "char"),
        (json.dumps([test_object()], indent=1)[:-9], "line"),
        (f"{json.dumps(test_object())}\n{json.dumps(test_object())[:-9]}\n", "line 2: "),
        (json.dumps([test_object(avg_ts="fast")]), "test 1: avg_ts: "),
        (json.dumps([test_object(), test_object(samples_ns=None)]), "test 2: samples_ns: "),
        (json.dumps([test_object(avg_ts=float("nan"))]), "avg_ts"),
        (json.dumps(test_object()).replace("7049.01", "nan"), "line 1"),
        (json.dumps([test_object(), 3]), "test 2"),
        ("[" * 100_000 + '"build_commit" "avg_ts"', "nothing that can be imported"),
    ],
)
def test_torn_output_of_llama_bench(store, tmp_path, text, said):
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        import_foreign(store.engine, read_foreign(path))
    assert "\n" not in str(caught.value) and said in str(caught.value) and str(path) in str(caught.value)
    assert store.campaigns() == []


def test_a_folder_of_crossbench(any_url):
    with open_store(any_url) as store:
        done = import_foreign(store.engine, read_foreign(CROSSBENCH))
        assert (done.tool, done.campaign, done.new) == ("crossbench", "crossbench", 42)
        assert import_foreign(store.engine, read_foreign(CROSSBENCH / "cb.results.json")).new == 0
        rows = {row["metric"]: row for row in foreign(store)}
    raw = json.loads((CROSSBENCH / STORY / "performance.entries.json").read_text())
    assert rows.keys() == {f"performance.entries/{metric}" for metric in raw}
    for metric, found in raw.items():
        row = rows[f"performance.entries/{metric}"]
        assert row["value"] == found["average"] and row["n"] == 2
    row = rows["performance.entries/mark/end/startTime"]
    assert (row["test"], row["browser"], row["browser_version"]) == ("127.0.0.1", "chrome", "156.0.8078.79")
    assert (row["os"], row["cpu"], row["host"]) == ("linux 6.1.0 x64", "AMD EPYC 2 cores", None)
    assert row["unit"] is None and row["direction"] is None  # crossbench does not say
    assert row["tool_version"] is None and row["bits_mean"] is None and row["started_at"] is None


def test_one_merged_file_of_crossbench(store, tmp_path):
    done = import_foreign(store.engine, read_foreign(CROSSBENCH / "performance.entries.json"))
    assert (done.campaign, done.new) == ("performance.entries", 42)
    row = foreign(store)[0]
    assert (row["test"], row["browser"], row["os"]) == ("performance.entries", "Chromium", "linux 6.1.0 x64")
    # Another file that happens to hold the same values is another measurement.
    data = json.loads((CROSSBENCH / "performance.entries.json").read_text())
    (tmp_path / "performance.entries.json").write_text(json.dumps(data))
    assert import_foreign(store.engine, read_foreign(tmp_path / "performance.entries.json")).new == 42


TABLES = """
CREATE TABLE platform (
    label VARCHAR NOT NULL PRIMARY KEY, name VARCHAR NOT NULL, os_name VARCHAR NOT NULL,
    os_version VARCHAR NOT NULL, os_version_name VARCHAR NOT NULL, cpu_architecture VARCHAR NOT NULL,
    cpu_physical_cores INTEGER NOT NULL, cpu_logical_cores INTEGER NOT NULL, cpu_max_frequency VARCHAR NOT NULL,
    cpu_min_frequency VARCHAR NOT NULL, hw_model VARCHAR NOT NULL, python_version VARCHAR NOT NULL);
CREATE TABLE browser (
    label VARCHAR NOT NULL PRIMARY KEY, name VARCHAR NOT NULL, path VARCHAR NOT NULL, version VARCHAR NOT NULL,
    channel VARCHAR NOT NULL, flags VARCHAR NOT NULL, js_flags VARCHAR NOT NULL, driver VARCHAR NOT NULL,
    driver_version VARCHAR NOT NULL, driver_path VARCHAR NOT NULL,
    platform_label INTEGER NOT NULL REFERENCES platform (label));
CREATE TABLE run (
    "index" INTEGER NOT NULL PRIMARY KEY, repetition INTEGER NOT NULL, cache_temperature VARCHAR NOT NULL,
    name VARCHAR NOT NULL, browser_label INTEGER NOT NULL REFERENCES browser (label), story VARCHAR NOT NULL,
    error_count INTEGER, errors JSON, start_datetime DATETIME, durations JSON);
CREATE TABLE unit (
    name VARCHAR NOT NULL PRIMARY KEY, unit VARCHAR, improvement_direction VARCHAR(4) NOT NULL, help VARCHAR);
INSERT INTO platform VALUES ('linux.x64', 'linux', 'Linux', '6.1.0', '#1 SMP', 'x64', 2, 2, '0.00Mhz',
    '0.00Mhz', 'N/A', '3.11.7');
INSERT INTO browser VALUES ('chrome_0', 'chrome', '/usr/bin/chromium', '156.0.8078.79', 'any', '', '', 'N/A',
    'N/A', '/usr/bin/chromedriver', 'linux.x64');
INSERT INTO run VALUES (0, 0, 'default', 'a[rep=0]', 'chrome_0', 'speedometer', 0, '[]',
    '2026-11-24 12:00:00.000000', '{"run": 2.302397, "browser-teardown": 0.971113}');
INSERT INTO run VALUES (1, 1, 'default', 'a[rep=1]', 'chrome_0', 'speedometer', NULL, NULL, NULL, NULL);
"""


def database(path):
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.executescript(TABLES)
    return path


def test_results_db_of_crossbench(store, tmp_path):
    path = database(tmp_path / "2026-11-24_sp" / "results.db")
    before = path.read_bytes()
    done = import_foreign(store.engine, read_foreign(path))
    assert (done.campaign, done.new) == ("2026-11-24_sp", 2)  # a run that never ended has no times
    row = {one["metric"]: one for one in foreign(store)}["duration/run"]
    assert (row["value"], row["unit"], row["direction"], row["n"]) == (2.302397, "s", "lower", 1)
    assert (row["test"], row["os"], row["host"]) == ("speedometer", "Linux 6.1.0", None)
    assert row["started_at"] == "2026-11-24 12:00:00.000000"
    assert path.read_bytes() == before
    shutil.copytree(CROSSBENCH, path.parent, dirs_exist_ok=True)
    done = import_foreign(store.engine, read_foreign(path.parent))
    assert (done.campaign, done.new, done.known) == ("2026-11-24_sp", 42, 2)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("cb.results.json", lambda data: data[:-9], "cb.results.json: cannot be read"),
        (f"{STORY}/performance.entries.json", lambda data: data[:-9], "performance.entries.json: cannot be read"),
        (f"{STORY}/performance.entries.json", lambda data: b'{"a": 1}', "crossbench measured no number here"),
        ("performance.entries.json", lambda data: data[:-9], "performance.entries.json: cannot be read"),
        (f"{STORY}/performance.entries.json", None, "copy the whole results folder"),
        (f"{STORY}/cb.results.json", lambda data: data.replace(b'"browser": {', b'"was": {', 1), "it has no browser"),
        (f"{STORY}/cb.results.json", None, "crossbench measured no number here"),
    ],
)  # fmt: skip
def test_torn_folders_of_crossbench(store, tmp_path, name, change, said):
    folder = Path(shutil.copytree(CROSSBENCH, tmp_path / "out"))
    if change is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(change((folder / name).read_bytes()))
    with pytest.raises(InputError) as caught:
        import_foreign(store.engine, read_foreign(folder))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert store.campaigns() == []


def test_a_probe_without_metrics_is_named_and_the_rest_is_read(store, tmp_path):
    folder = Path(shutil.copytree(CROSSBENCH, tmp_path / "out"))
    for path in folder.rglob("cb.results.json"):
        text = path.read_text()
        path.write_text(text.replace('"probes": {', '"probes": {"v8.log": {"json": ["/x/v8.log.json"]},'))
        (path.parent / "v8.log.json").write_text('[{"ticks": 3}]')
    file = read_foreign(folder)
    [left] = file.left
    assert "probe v8.log of story 127.0.0.1 has no metrics" in left and "v8.log.json was not read" in left
    assert import_foreign(store.engine, file).new == 42


def test_words_among_metrics_are_no_results(tmp_path):
    folder = Path(shutil.copytree(CROSSBENCH, tmp_path / "out"))
    path = folder / STORY / "performance.entries.json"
    data = json.loads(path.read_text()) | {"url": {"values": ["a", "b"]}, "none": {"values": []}}
    path.write_text(json.dumps(data))
    assert len(read_foreign(folder).results) == 42


def test_a_broken_results_db(tmp_path):
    path = database(tmp_path / "a" / "results.db")
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE run SET browser_label = 'other'")
        raw.commit()
    with pytest.raises(InputError, match="not a results database of crossbench"):
        read_foreign(path)


def test_what_nobody_wrote(tmp_path, store):
    (tmp_path / "notes.txt").write_text("not a result")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    for name in ("notes.txt", "empty", "folder"):
        with pytest.raises(InputError, match="nothing that can be imported"):
            read_foreign(tmp_path / name)
    with pytest.raises(
        InputError, match="is a database: write what it holds into a folder with bench db export"
    ):
        read_foreign(tmp_path / "here.sqlite")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(sorted(test_object())),
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.floats())
        ),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_a_field_says(tmp_path, changes):
    path = write(tmp_path / "any.json", [test_object(**changes)])
    with open_store("sqlite://") as store:
        try:
            done = import_foreign(store.engine, read_foreign(path))
            assert done.new == 2
        except InputError as error:
            assert "\n" not in str(error)
            assert store.campaigns() == []


COMMANDS = [
    ["campaign", "resume", "desk"],
    ["campaign", "status", "desk"],
    ["campaign", "cancel", "desk"],
    ["query", "--campaign", "desk"],
    ["compare", "desk", "nightly"],
    ["compare", "nightly", "desk"],
    ["compare", "bits=4", "bits=8", "--campaign", "desk"],
    ["history", "--campaign", "desk"],
    ["report", "--campaign", "desk"],
    ["report", "--campaign", "desk", "--format", "markdown"],
    ["plot", "pareto", "--campaign", "desk"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_takes_them_for_runs(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DB", "sqlite:///bench.sqlite")
    with open_store() as store:
        fill(store)
        import_foreign(store.engine, read_foreign(write(tmp_path / "desk.json", [test_object()])))
        before = everything(store)
        capsys.readouterr()
        assert main(command) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err == (
            "error: the campaign 'desk' holds results of llama-bench, which nobody here verified: read them "
            "with bench query --foreign --campaign desk\n"
        )
        assert everything(store) == before and not list(tmp_path.glob("results*"))


def test_a_name_that_another_tool_s_results_have(store, tmp_path):
    import_foreign(store.engine, read_foreign(write(tmp_path / "desk.json", [test_object()])))
    with pytest.raises(InputError, match=r"already a campaign 'desk' \(number 1\): choose another name$"):
        store.create_campaign("desk", [request()], seed=1, settings={})


def test_they_travel_with_an_export(store, tmp_path):
    import_foreign(store.engine, read_foreign(write(tmp_path / "desk.json", [test_object()])), "my desk")
    folder = export(store, tmp_path / "out", campaign="my desk")
    with open_store("sqlite://") as there:
        assert take(there, folder).new["foreign_results"] == 2
        arrived, left = (
            sorted([{**row, "id": None} for row in foreign(one)], key=lambda row: row["hash"])
            for one in (there, store)
        )
        assert arrived == left
        assert not import_foreign(there.engine, read_foreign(tmp_path / "desk.json")).new
