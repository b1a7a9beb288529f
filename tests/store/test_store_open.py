import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from records import fill

import bench
from bench.errors import StoreError
from bench.store import check, open_store, revision, upgrade


def write(path: Path, *statements: str) -> None:
    raw = sqlite3.connect(path)
    for statement in statements:
        raw.execute(statement)
    raw.commit()
    raw.close()


def refused(url: str, **options) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(url, **options)
    message = str(caught.value)
    assert "\n" not in message and "Traceback" not in message
    return message


def test_makes_folder_and_file(tmp_path):
    path = tmp_path / "a" / "b" / "bench.sqlite"
    open_store(f"sqlite:///{path}").close()
    assert path.is_file()
    open_store(f"sqlite:///{path}", create=False).close()


def test_the_environment_names_the_database_and_the_default_is_in_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DB", "sqlite:///named.sqlite")
    open_store().close()
    assert [entry.name for entry in tmp_path.glob("*.sqlite")] == ["named.sqlite"]
    monkeypatch.delenv("BENCH_DB")
    open_store().close()
    assert (tmp_path / "results" / "bench.sqlite").is_file()


def test_a_reader_makes_nothing(tmp_path):
    path = tmp_path / "sub" / "none.sqlite"
    assert "bench run" in refused(f"sqlite:///{path}", create=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.sqlite").touch()
    assert "is empty" in refused(f"sqlite:///{tmp_path}/empty.sqlite", create=False)
    assert (tmp_path / "empty.sqlite").stat().st_size == 0


def test_what_is_no_database(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database at all, but long enough to be read as one " * 40)
    assert "not a database" in refused(f"sqlite:///{text}")
    assert "folder" in refused(f"sqlite:///{tmp_path}")
    assert str(text) in refused(f"sqlite:///{text}/under.sqlite")
    assert text.read_text().startswith("not a database at all")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot open" in refused(f"sqlite:///{tmp_path}/x.sqlite")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("results/bench.sqlite", "sqlite:///"),
        ("mysql://user:hunter2@host/x", "mysql"),
        ("nonsense://user:hunter2@host/x", "nonsense"),
        ("postgresql://user:hunter2@127.0.0.1:1/x", "check the server"),
        ("postgresql://user:hunter2@127.0.0.1:port/x", "cannot read"),
        ("postgresql://user:hun@ter2@127.0.0.1:port/x", "cannot read"),
        ("sqlite:///x\0y", "cannot read"),
    ],
)
def test_urls_that_cannot_be(url, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused(url)
    assert says in message
    assert "hunter2" not in message and "ter2" not in message
    assert list(tmp_path.iterdir()) == []


def test_another_program_s_database_is_left_alone(tmp_path):
    path = tmp_path / "theirs.sqlite"
    write(path, "CREATE TABLE songs (id INTEGER)")
    before = path.read_bytes()
    for action in (open_store, upgrade, check):
        with pytest.raises(StoreError, match="another program"):
            action(f"sqlite:///{path}")
    write(path, "CREATE TABLE alembic_version (version_num TEXT)")
    write(path, "INSERT INTO alembic_version VALUES ('0001')")
    assert "another program" in refused(f"sqlite:///{path}")
    assert before[:16] == path.read_bytes()[:16]
    assert [entry.name for entry in tmp_path.iterdir()] == ["theirs.sqlite"]


def test_older_and_newer_schemas(tmp_path, monkeypatch):
    path = tmp_path / "bench.sqlite"
    url = f"sqlite:///{path}"
    open_store(url).close()
    write(path, "UPDATE alembic_version SET version_num = '9999'")
    assert "newer version" in refused(url)
    with pytest.raises(StoreError, match="newer version"):
        upgrade(url)
    assert "newer version" in check(url).problems[0]
    write(path, "UPDATE alembic_version SET version_num = '0001'")

    from bench.store import revision

    monkeypatch.setattr(revision, "state", lambda _: revision.State.OLDER)
    assert "bench db upgrade" in refused(url)


def test_upgrade_of_a_new_and_a_current_database(tmp_path):
    url = f"sqlite:///{tmp_path}/bench.sqlite"
    assert upgrade(url) == (None, revision.head(), None)
    assert upgrade(url) == (revision.head(), revision.head(), None)


def test_check_counts_and_finds_what_is_broken(tmp_path):
    path = tmp_path / "bench.sqlite"
    with open_store(f"sqlite:///{path}") as store:
        fill(store)
    report = check(f"sqlite:///{path}")
    assert report.problems == [] and report.revision == report.head
    assert report.counts["runs"] == report.counts["cells"] == 24
    assert report.counts["models"] == 1 and report.counts["environments"] == 3
    write(path, "UPDATE runs SET model_id = 77 WHERE id = 3")
    assert "row 3 of runs names a row of models" in check(f"sqlite:///{path}").problems[0]


def test_many_may_open_a_new_database_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(bench.__file__).parent.parent))
    program = f"from bench.store import open_store; open_store('sqlite:///{tmp_path}/new.sqlite').close()"
    running = [
        subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [process.communicate()[1] for process in running] == ["", "", ""]
    assert check(f"sqlite:///{tmp_path}/new.sqlite").problems == []


def test_in_memory():
    with open_store("sqlite://") as store:
        fill(store)
        assert len(store.rows()) == 24


def test_a_name_with_a_percent_sign(tmp_path):
    open_store(f"sqlite:///{tmp_path}/100%.sqlite").close()
    assert (tmp_path / "100%.sqlite").exists()
