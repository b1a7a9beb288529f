"""A database with every kind of outcome in it, and the command line as a function."""

import pytest
from records import fill

from bench.cli import main
from bench.store import open_store


@pytest.fixture
def url(tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path}/bench.sqlite"
    with open_store(address) as store:
        fill(store)
    monkeypatch.setenv("BENCH_DB", address)
    monkeypatch.chdir(tmp_path)
    return address


@pytest.fixture
def bench(capsys):
    def run(*arguments):
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
