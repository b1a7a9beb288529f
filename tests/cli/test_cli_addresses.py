"""Database addresses as people type them, and databases where nothing may be written."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bench.store import open_store

BENCH = Path(sys.executable).with_name("bench")
# Root may write anywhere; without these two rights it is held to a folder's mode as its owner.
PLAIN = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
needs_setpriv = pytest.mark.skipif(bool(PLAIN) and not shutil.which("setpriv"), reason="root without setpriv")


def bench(*words, before=(), **environment):
    env = {**os.environ, "BENCH_OFFLINE": "1", **environment}
    return subprocess.run([*before, BENCH, *words], env=env, capture_output=True, text=True, check=False)


def one_line(done):
    assert (done.returncode, done.stdout) == (2, ""), done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def copied(url, place):
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(url.removeprefix("sqlite:///"), place)
    return place


def test_a_tilde_is_the_home_folder(url, tmp_path):
    home = tmp_path / "home"
    copied(url, home / "b.sqlite")
    done = bench("query", "--db", "sqlite:///~/b.sqlite", HOME=str(home))
    assert done.returncode == 0, done.stderr
    bench("db", "upgrade", "--db", "sqlite:///~/new/c.sqlite", HOME=str(home))
    assert (home / "new/c.sqlite").is_file() and not list(tmp_path.glob("~*"))
    assert "no home folder ~nobody-here" in one_line(
        bench("query", "--db", "sqlite:///~nobody-here/b.sqlite")
    )
    assert not list(tmp_path.glob("~*"))


@pytest.mark.parametrize(
    ("option", "said"),
    [("mode=rw", "mode=rw"),
     *(pytest.param(*one, marks=pytest.mark.long) for one in (
         ("mode=ro&mode=rwc", "mode="),
         ("timeout=3", "timeout=3"), ("uri=true&mode=ro", "uri=true"), ("Mode=ro", "Mode=ro"),
         ("immutable=1", "immutable=1")))],
)  # fmt: skip
def test_an_option_that_is_not_honoured_is_refused_by_name(tmp_path, option, said):
    address = f"sqlite:///{tmp_path}/new.sqlite?{option}"
    for command in (["query"], ["db", "upgrade"], ["db", "check"], ["db", "backup"], ["explore"]):
        done = bench(*command, "--db", address)
        assert said in one_line(done) and "mode=ro" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_read_only_is_honoured(url, tmp_path):
    file = Path(url.removeprefix("sqlite:///"))
    before = file.read_bytes()
    assert bench("query", "--db", f"{url}?mode=ro").stdout == bench("query", "--db", url).stdout
    assert "mode=ro" in one_line(bench("db", "upgrade", "--db", f"{url}?mode=ro"))
    said = one_line(bench("campaign", "schedule", "--list", "--db", f"{url}?mode=ro"))
    assert "cannot be written" in said and "bench db backup" in said
    assert "mode=ro" in one_line(bench("db", "upgrade", "--db", f"sqlite:///{tmp_path}/none.sqlite?mode=ro"))
    assert file.read_bytes() == before and not (tmp_path / "none.sqlite").exists()


@pytest.fixture
def kept(url, tmp_path):
    """A database with a write-ahead log in a folder that cannot be written."""
    folder = tmp_path / "kept"
    file = copied(url, folder / "runs.sqlite")
    with sqlite3.connect(file) as raw:
        assert raw.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    raw.close()
    yield file
    folder.chmod(0o700)


@needs_setpriv
@pytest.mark.parametrize("how", ["folder", pytest.param("folder and file", marks=pytest.mark.long)])
def test_a_database_in_a_folder_that_cannot_be_written_is_read(kept, tmp_path, how):
    address = f"sqlite:///{kept}"
    right = bench("query", "--db", address)
    if "file" in how:
        kept.chmod(0o400)
    kept.parent.chmod(0o500)
    for option in ("", "?mode=ro"):
        done = bench("query", "--db", address + option, before=PLAIN)
        assert (done.returncode, done.stdout) == (0, right.stdout), done.stderr
    for command in (["db", "check"], ["campaign", "list"], ["report", "--output", str(tmp_path / "r.html")]):
        assert bench(*command, "--db", address, before=PLAIN).returncode == 0
    copy = tmp_path / "copy.sqlite"
    assert bench("db", "backup", str(copy), "--db", address, before=PLAIN).returncode == 0
    assert bench("query", "--db", f"sqlite:///{copy}").stdout == right.stdout
    said = one_line(bench("campaign", "cancel", "1", "--db", address, before=PLAIN))
    assert "make the file and its folder writable" in said
    done = bench("run", "--browser", "safari", "--model", "bert-tiny", "--db", address, before=PLAIN)
    assert done.returncode == 2 and "bench db backup FILE" in done.stderr.splitlines()[-1]
    assert [path.name for path in kept.parent.iterdir()] == ["runs.sqlite"]


@needs_setpriv
def test_a_log_that_cannot_be_read_here_is_said_and_what_to_type(kept, tmp_path):
    """Whoever died with the database open left its last rows in the log: the file alone is without them."""
    script = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('CREATE TABLE later (a)');"
    subprocess.run([sys.executable, "-c", f"{script} c.commit(); os._exit(0)", kept], check=True)
    Path(f"{kept}-shm").unlink()
    kept.parent.chmod(0o500)
    said = one_line(bench("query", "--db", f"sqlite:///{kept}", before=PLAIN))
    typed = f"cp {kept}* /tmp"
    assert typed in said
    target = tmp_path / "copy"
    target.mkdir()
    subprocess.run(["bash", "-c", f"{typed.removesuffix('/tmp')}{target}"], check=True)
    assert bench("query", "--db", f"sqlite:///{target}/runs.sqlite").returncode == 0


@needs_setpriv
@pytest.mark.parametrize("how", ["cannot be written", "is a file", "cannot be made"])
def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / "cache"
    if how == "is a file":
        cache.touch()
    else:
        cache.mkdir(mode=0o500)
        cache = cache / "in" if how == "cannot be made" else cache
    url = f"sqlite:///{tmp_path}/new.sqlite"
    (tmp_path / "one.toml").write_text(
        'name = "one"\n[matrix]\nmodel = ["bert-tiny"]\nbrowser = ["safari"]\n'
        'platform = ["webgpu"]\nbits = [4]\n'
    )
    for command in (["run", "--browser", "safari", "--model", "bert-tiny"], ["campaign", "run", "one.toml"]):
        done = bench(*command, "--db", url, before=PLAIN, BENCH_CACHE=str(cache))
        said = one_line(done)
        assert str(cache) in said and "BENCH_CACHE=DIR" in said
    for command in (["models", "fetch", "all-MiniLM-L6-v2"], ["browsers", "install", "chrome"]):
        done = bench(*command, before=PLAIN, BENCH_CACHE=str(cache))
        assert "BENCH_CACHE=DIR" in one_line(done)
    assert not (tmp_path / "new.sqlite").exists()


def test_a_new_database_takes_none_of_this(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/odd %20#name.sqlite") as store:
        assert store.rows() == []
    assert bench("query", "--db", f"sqlite:///{tmp_path}/odd %20#name.sqlite").returncode == 0
