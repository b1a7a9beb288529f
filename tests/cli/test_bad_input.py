"""Bad input: one line on stderr that names the value and what is allowed, exit code 2, nothing written."""

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_model

import run_real_webgpu_webnn as announced
from bench.cli import main
from bench.store import open_store

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = (
    *("CHROME_BINARY", "CHROMEDRIVER", "FIREFOX_BINARY", "GECKODRIVER", "BENCH_PORT", "BENCH_SETTINGS"),
    *("BENCH_SEQUENCE_LENGTH", "BENCH_ITERATIONS", "BENCH_MAX_SECONDS", "WEBNN_EXPERIMENTAL_PRECISION"),
)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working folder; the database would be made in it."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in (*VARIABLES, "BENCH_DB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    return folder


@pytest.fixture
def refused(place, capsys):
    """Runs a command line that must be refused; returns the line."""

    def run(*arguments, entry=main):
        code = entry(list(arguments))
        said = capsys.readouterr()
        assert (code, said.out) == (2, "")
        lines = [line for line in said.err.splitlines() if "SYNTHETIC" not in line]
        assert len(lines) == 1 and lines[0].startswith("error: "), said.err
        assert not list(place.iterdir()), "something was written"
        return lines[0]

    return run


FLAGS = [
    (["--browser", "netscape"], ["netscape", "chrome, firefox, webkitgtk, edge, safari"]),
    (["--browser", "chrome:/nope"], ["chrome:/nope", "not an executable file"]),
    (["--browser", "firefox:/etc/passwd"], ["/etc/passwd", "not an executable file"]),
    (
        ["--model", "bert-huge"],
        [
            "bert-huge",
            "all-MiniLM-L6-v2, bert-base-uncased, whisper-tiny.en, whisper-tiny, bert-tiny, smollm2-135m",
            "--weights",
        ],
    ),
    (["--bits", "3"], ["--bits 3", "16, 8, 4, 2"]),
    (["--bits", "0"], ["--bits 0", "16, 8, 4, 2"]),
    (["--bits", "-4"], ["--bits -4", "16, 8, 4, 2"]),
    (["--bits", "four"], ["--bits four", "16, 8, 4, 2"]),
    (["--platform", "webgl"], ["--platform webgl", "webgpu, webnn, wasm, both"]),
    (["--iterations", "0"], ["--iterations 0", "from 1 to 100000"]),
    (["--iterations", "many"], ["iterations", "many"]),
    (["--max-seconds", "0"], ["--max-seconds 0", "greater than 0"]),
    (["--max-seconds", "nan"], ["--max-seconds nan", "greater than 0"]),
    (["--batch-size", "0"], ["--batch-size 0", "from 1 to 64"]),
    (["--sequence-length", "100000"], ["--sequence-length 100000", "from 1 to 4096"]),
    (["--sequence-length", "513"], ["513", "512"]),
    (["--nonsense"], ["--nonsense"]),
]
RUN_ONLY = [
    (["--engine", "quantum"], ["--engine quantum", "native"]),
    (["--device", "tpu"], ["--device tpu", "auto, cpu, gpu, npu"]),
    (["--group-size", "7"], ["--group-size 7", "16, 32, 64, 128"]),
    (["--scheme", "odd"], ["--scheme odd", "symmetric, asymmetric"]),
    (["--generate", "0"], ["--generate 0", "from 1 to 2048"]),
    (["--generate", "2049"], ["--generate 2049", "from 1 to 2048"]),
    (["--generate", "64"], ["generate 64: bert-tiny writes no text", "leave --generate away"]),
    (["--timeout", "-1"], ["--timeout -1", "greater than 0"]),
    (["--name", " "], ["needs a name"]),
    (["--save-outputs", "/etc/passwd/deep"], ["/etc/passwd", "is a file"]),
]
SCRIPT_ONLY = [
    (["--db", "sqlite:///a", "--db-path", "b"], ["--db", "--db-path", "give one"]),
    (["--output", "a.html"], ["--output a.html", "--report"]),
    (["--report", "--output", "a.pdf"], ["a.pdf", ".html"]),
]


@pytest.mark.parametrize(("flags", "said"), FLAGS + RUN_ONLY, ids=lambda value: " ".join(value))
def test_flags_of_run(refused, flags, said):
    line = refused("run", *([] if "--model" in flags else ["--model", "bert-tiny"]), *flags)
    assert all(part in line for part in said), line


@pytest.mark.parametrize(("flags", "said"), FLAGS + SCRIPT_ONLY, ids=lambda value: " ".join(value))
def test_flags_of_the_announced_command(refused, flags, said):
    line = refused(*([] if "--model" in flags else ["--model", "bert-tiny"]), *flags, entry=announced.main)
    assert all(part in line for part in said), line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BENCH_SEQUENCE_LENGTH", "0"),
        ("BENCH_SEQUENCE_LENGTH", "1.5"),
        ("BENCH_ITERATIONS", "few"),
        ("BENCH_MAX_SECONDS", "inf"),
        ("WEBNN_EXPERIMENTAL_PRECISION", "perhaps"),
        ("CHROME_BINARY", "/nope/chrome"),
        ("CHROMEDRIVER", "/nope/driver"),
        ("BENCH_PORT", "99999"),
        ("BENCH_SETTINGS", "/nope/bench.toml"),
    ],
)
def test_environment(refused, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    line = refused("run", "--model", "bert-tiny")
    assert value in line and (name in line or name == "BENCH_PORT")


def weights(tmp_path, change):
    folder = tiny_model.write(tmp_path / "weights")
    change(folder)
    return folder


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def contradict(folder):
    config = {**tiny_model.CONFIG, "hidden_size": 48}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (shutil.rmtree, ["weights", "not a folder"]),
        (lambda folder: (folder / "config.json").unlink(), ["config.json"]),
        (lambda folder: (folder / "model.safetensors").unlink(), ["model.safetensors"]),
        (truncate, ["model.safetensors", "truncated"]),
        (contradict, ["48", "24"]),
    ],
    ids=["no folder", "no config", "no weights", "truncated", "contradiction"],
)
def test_weights_folder(refused, tmp_path, change, said):
    folder = weights(tmp_path, change)
    line = refused("run", "--model", "mine", "--weights", str(folder), "--sequence-length", "8")
    assert all(part in line for part in said), line


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://x/y", ["mysql", "sqlite:///"]),
        ("no url at all", ["no url at all", "sqlite:///"]),
        ("sqlite:////proc/nope/bench.sqlite", ["/proc/nope"]),
        ("sqlite:////etc", ["/etc", "folder"]),
    ],
)
def test_database_that_cannot_be_opened(refused, url, said):
    line = refused("run", "--model", "bert-tiny", "--db", url)
    assert all(part in line for part in said), line


def test_database_of_a_newer_schema_is_left_alone(refused, tmp_path):
    path = tmp_path / "newer.sqlite"
    open_store(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = path.read_bytes()
    line = refused("run", "--model", "bert-tiny", "--db", f"sqlite:///{path}")
    assert "newer version" in line and "9999" in line
    assert path.read_bytes() == before


def test_port_in_use_is_found_before_the_plan_is_written(refused, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("BENCH_PORT", str(port))
        line = refused("run", "--model", "bert-tiny")
    assert f"port {port}" in line and "in use" in line and "BENCH_PORT" in line


def test_what_is_merely_absent_is_a_row_and_not_bad_input(place, capsys):
    code = main(["run", "--model", "bert-tiny", "--browser", "safari", "--bits", "4", "--json"])
    said = capsys.readouterr()
    run = json.loads(said.out)["runs"][0]
    assert code == (3 if run["outcome"] == "unavailable" else code)
    assert run["outcome"] == "unavailable" or sys.platform == "darwin"
    assert (place / "results" / "bench.sqlite").is_file()


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "bench", "run", "--bits", "3"],
        [str(ROOT / "run_real_webgpu_webnn.py"), "--bits", "four"],
        ["-m", "bench", "run", "--model", "bert-tiny", "--db", "sqlite:////proc/x/y.sqlite"],
    ],
    ids=["bench", "script", "database"],
)
def test_as_a_process(place, command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", *command], env=environment, capture_output=True, text=True, timeout=60
    )
    lines = [line for line in done.stderr.splitlines() if "SYNTHETIC" not in line]
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done.stderr
    assert lines[0].startswith("error: ") and not list(place.iterdir())


def test_json_alone_on_stdout(place):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ["-m", "bench", "run", "--model", "bert-tiny", "--browser", "safari", "--bits", "2", "--json"]
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=60
    )
    found = json.loads(done.stdout)
    assert set(found) == {"campaign", "runs"} and "campaign" in done.stderr
    assert done.stdout.count("\n") == 1


def test_output_that_goes_nowhere(tmp_path):
    """What a shell's `>` meets: a full disk, and an encoding without the characters of a message."""
    found = shutil.copy(ROOT / "results" / "2026-11-24-hunt" / "runs.sqlite", tmp_path)
    with contextlib.closing(sqlite3.connect(found)) as raw:
        raw.execute("UPDATE campaigns SET name = 'größer' WHERE name = 'monday'")
        raw.commit()
    command = [sys.executable, "-m", "bench", "query", "--columns", "id,campaign", "--format", "csv"]
    asked = os.environ | {"BENCH_DB": f"sqlite:///{found}"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=ROOT, env=asked, stdout=full, stderr=subprocess.PIPE, text=True)
    said = "error: cannot write: No space left on device; make room where the output goes\n"
    assert (done.returncode, done.stderr) == (2, said)
    asked["PYTHONIOENCODING"] = "ascii:strict"
    done = subprocess.run([*command[:-1], "table"], cwd=ROOT, env=asked, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and r"gr\xf6\xdfer" in done.stdout
