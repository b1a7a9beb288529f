"""Rows and campaigns say where they come from: origin, twin, host, adapter, the folder of the weights."""

import json

import pytest
import tiny_model
from records import record, request

from bench.cli import main
from bench.plan.cells import make_plan
from bench.store import open_store


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))

    def run(*arguments):
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def filled(path, hosts=(None,), *, twin=False, name="on"):
    """A campaign of one arm on each host, with its twin."""
    url = f"sqlite:///{path}"
    with open_store(url) as store:
        for number, host in enumerate(hosts):
            arm = request(bits=4)
            campaign = store.plan_campaign(f"{name}-{number}", make_plan([arm], 1, twin=twin), settings={})
            for cell in campaign.cells:
                one = record(arm)
                if host is not None:
                    cpu, adapter = host
                    environment = one.environment.model_copy(
                        update={"cpu": cpu, "adapter": {"name": adapter}}
                    )
                    one = one.model_copy(update={"environment": environment})
                store.record(cell.id, one)
    return url


def test_an_imported_campaign_is_not_our_own(bench, tmp_path):
    url = filled(tmp_path / "a.sqlite")
    assert bench("db", "export", "night-42", "--db", url)[0] == 0
    here = filled(tmp_path / "b.sqlite", hosts=(None, None), name="here")
    assert bench("db", "import", "night-42", "--db", here)[0] == 0
    rows = json.loads(bench("campaign", "list", "--json", "--db", here)[1])
    assert [row["origin"] for row in rows] == ["own", "own", "imported: night-42"]
    assert "imported: night-42" in bench("campaign", "list", "--db", here)[1]
    # What came in goes out as it was, and coming home it is our own.
    assert bench("db", "export", "back", "--campaign", "3", "--db", here)[0] == 0
    for name in ("campaigns.jsonl", "cells.jsonl", "runs.jsonl"):
        assert (tmp_path / "back" / name).read_bytes() == (tmp_path / "night-42" / name).read_bytes()
    assert bench("db", "import", "back", "--db", url)[0] == 0
    assert json.loads(bench("campaign", "list", "--json", "--db", url)[1])[0]["origin"] == "own"


def test_a_twin_is_marked_among_the_rows(bench, tmp_path):
    url = filled(tmp_path / "a.sqlite", twin=True)
    lines = bench("query", "--db", url)[1].splitlines()
    assert sum("A/A twin" in line for line in lines) == 1 and lines[-1] == "2 runs"
    shown = [bench("show", str(run), "--db", url)[1] for run in (1, 2)]
    assert sorted("A/A twin: the second copy of an arm" in text for text in shown) == [False, True]


@pytest.mark.parametrize(
    ("hosts", "columns"),
    [
        ([("AMD x 2", "llvmpipe"), ("AMD x 2", "llvmpipe")], []),
        ([("AMD x 2", "llvmpipe"), ("Intel x 8", "llvmpipe")], ["host"]),
        ([("AMD x 2", "llvmpipe"), ("AMD x 2", "NVIDIA H100")], ["adapter"]),
        ([("AMD x 2", "llvmpipe"), ("Intel x 8", "NVIDIA H100")], ["host", "adapter"]),
    ],
)
def test_host_and_adapter_stand_where_rows_differ_in_them(bench, tmp_path, hosts, columns):
    url = filled(tmp_path / "a.sqlite", hosts=hosts)
    head, *lines = bench("query", "--db", url)[1].splitlines()
    assert head.split()[len(head.split()) - len(columns) :] == columns
    assert ("host" in head, "adapter" in head) == ("host" in columns, "adapter" in columns)
    for (cpu, adapter), line in zip(hosts, lines, strict=False):
        assert (cpu in line) == ("host" in columns) and (adapter in line) == ("adapter" in columns)


def test_weights_without_a_model_are_recorded_by_their_folder(bench, tmp_path):
    folder = tiny_model.write(tmp_path / "my-encoder", pooling=tiny_model.MEAN)
    arguments = ("--browser", "safari", "--bits", "4", "--sequence-length", "8", "--json")
    url = f"sqlite:///{tmp_path}/a.sqlite"
    for given, name in (
        (str(folder), "my-encoder"),
        ("my-encoder/", "my-encoder"),
        ("my-encoder/../my-encoder", "my-encoder"),
    ):
        code, out, err = bench("run", "--weights", given, *arguments, "--db", url)
        assert code == 3, err
        assert json.loads(out)["runs"][0]["requested"]["model"] == name
    code, out, _ = bench("run", "--weights", str(folder), "--model", "named", *arguments, "--db", url)
    assert json.loads(out)["runs"][0]["requested"]["model"] == "named"
    code, out, err = bench("run", "--weights", "/", *arguments, "--db", url)
    assert (code, out) == (2, "") and "--model NAME" in err
    code, out, _ = bench("run", *arguments, "--model", "bert-tiny", "--db", url)
    assert json.loads(out)["runs"][0]["requested"]["model"] == "bert-tiny"
