"""`bench db export`, `bench db import`, `bench query --foreign`: what they say, and when they refuse."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil

import pyarrow.parquet as pq
import pytest
from exchanged import DATA, change_line, contents, rows, world
from records import record

from bench.cli import main
from bench.store import CampaignState, open_store


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a database in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DB", "sqlite:///here.sqlite")
    with open_store() as store:
        world(store)
    return tmp_path


@pytest.fixture
def said(capsys):
    """Runs a command line that must succeed; its output."""

    def run(*arguments):
        assert main(list(arguments)) == 0
        found = capsys.readouterr()
        assert found.err == ""
        return found.out

    return run


@pytest.fixture
def refused(capsys):
    """Runs a command line that must be refused; its one line."""

    def run(*arguments):
        assert main(list(arguments)) == 2
        found = capsys.readouterr()
        assert found.out == "" and found.err.startswith("error: ") and found.err.count("\n") == 1
        return found.err

    return run


@pytest.mark.parametrize("encoding", ["jsonl", "parquet"])
def test_there_and_again(place, said, encoding):
    assert said("db", "export", "out", "--format", encoding) == (
        "out: 3 campaigns, 31 cells, 25 runs, 48 samples\n"
    )
    there = ("--db", "sqlite:///there.sqlite")
    assert said("db", "import", "out", *there) == (
        "imported: 3 environments, 1 model, 3 campaigns, 31 cells, 25 runs, 48 samples, 2 tunings\n"
    )
    assert said("db", "import", "out/manifest.json", *there) == (
        "nothing new: 3 campaigns, 25 runs, 2 tunings are here already\n"
    )
    with open_store("sqlite:///there.sqlite") as store, open_store() as here:
        assert rows(store) == rows(here)
    assert said("campaign", "status", "nightly", *there) == said("campaign", "status", "nightly")
    assert said("db", "check", *there).endswith("no problems found\n")


def test_what_went_on_is_said(place, said):
    there = ("--db", "sqlite:///there.sqlite")
    said("db", "export", "1")
    said("db", "import", "1", *there)
    with open_store() as store:
        later = store.campaign("later")
        store.record(later.cells[0].id, record(later.cells[0].request))
    said("db", "export", "2", "--campaign", "later")
    assert said("db", "import", "2", *there).splitlines() == [
        "imported: 1 run, 4 samples, 1 cell went on",
        "known already: 1 campaign, 2 tunings",
    ]
    with open_store("sqlite:///there.sqlite") as store:
        store.set_state(store.campaign("nightly").id, CampaignState.RUNNING)
    assert "note: campaign 'nightly' is running here: nothing of it" in said("db", "import", "1", *there)
    said("db", "export", "3", "--where", "outcome = crashed")
    with open_store("sqlite:///other.sqlite") as store:
        world(store)
    assert "note: another campaign here is named 'nightly'" in said(
        "db", "import", "3", "--db", "sqlite:///other.sqlite"
    )


def test_refusals_are_one_line_and_change_nothing(place, said, refused):
    assert "no campaign 'nigthly': did you mean nightly" in refused(
        "db", "export", "out", "--campaign", "nigthly"
    )
    assert "'xml' is not one of 'jsonl', 'parquet'" in refused("db", "export", "out", "--format", "xml")
    for name in ("nowhere", "long" * 100):
        assert f"{name} is not there" in refused("db", "import", name)
    assert not (place / "out").exists()
    said("db", "export", "out")
    assert "out is there already" in refused("db", "export", "out")
    assert "--name x: campaigns of an export keep their names" in refused(
        "db", "import", "out", "--name", "x"
    )
    assert "needs a name" in refused("db", "import", str(DATA / "crossbench"), "--name", " ")
    change_line(place / "out", "runs.jsonl", 7, lambda row: row.update(outcome="incorrect"))
    new = ("--db", "sqlite:///new.sqlite")
    assert "out/runs.jsonl, line 7: latency_ms_median" in refused("db", "import", "out", *new)
    assert not list(place.glob("new.sqlite*"))  # neither is the database that was to be filled
    (place / "out" / "runs.jsonl").write_text("{")
    assert "out/runs.jsonl, line 1: it is not the file that was exported" in refused("db", "import", "out")
    # What can be seen to be wrong before a database is opened makes none.
    refused("db", "import", "out", "--db", "sqlite:///none.sqlite")
    refused("db", "import", str(DATA / "announcement-2025-03.md"), "--db", "sqlite:///none.sqlite")
    assert not (place / "none.sqlite").exists()


def test_other_tools(place, said, refused):
    assert said("db", "import", str(DATA / "crossbench"), "--name", "loading") == (
        "crossbench: 42 results into campaign loading, not verified here\n"
    )
    assert said("db", "import", str(DATA / "crossbench")) == (
        "nothing new: 42 results of crossbench are in campaign loading\n"
    )
    listed = json.loads(said("campaign", "list", "--json"))
    assert [(one["name"], one["origin"]) for one in listed][-1] == ("loading", "crossbench")
    assert re.search(r"loading +crossbench +done", said("campaign", "list"))
    other = place / "nightly"
    shutil.copytree(DATA / "crossbench", other)
    (other / "cb.results.json").write_text(
        (other / "cb.results.json").read_text().replace("loading", "again")
    )
    path = next(other.rglob("127.0.0.1/cb.results.json"))
    path.write_text(path.read_text().replace("2026-11-24_loading", "2026-11-25_loading"))
    out = said("db", "import", str(other))
    assert re.fullmatch(
        r"crossbench: 42 results into campaign nightly@\w{8}, not verified here\n"
        r"another campaign here is named 'nightly'\n",
        out,
    )
    assert "holds results of crossbench" in refused("query", "--campaign", "loading")
    said("db", "export", "out", "--campaign", "loading")
    assert said("db", "import", "out", "--db", "sqlite:///there.sqlite") == (
        "imported: 1 campaign, 42 foreign results\n"
    )


def test_query_foreign(place, said, refused):
    said("db", "import", str(DATA / "crossbench"))
    text = said("query", "--foreign", "--where", "metric ~ mark/end/startTime")
    assert "performance.entries/mark/end/startTime" in text and "233.70" in text and "chrome 156.0" in text
    assert text.endswith("1 result\nmeasured by other tools: nobody here verified these numbers\n")
    where = ("--where", "campaign = crossbench and value > 100 and not metric like '%duration%'")
    found = json.loads(said("query", "--foreign", *where, "--sort=-value", "--format", "json"))
    assert len(found) > 3 and [row["value"] for row in found] == sorted(
        (row["value"] for row in found), reverse=True
    )
    assert found[0]["samples"] == found[0]["record"]["metric"]["values"] and len(found[0]["samples"]) == 2
    lines = said(
        "query", "--foreign", *where, "--limit", "2", "--columns", "id,metric,samples", "--format", "csv"
    )
    table = list(csv.DictReader(io.StringIO(lines)))
    assert len(table) == 2 and len(json.loads(table[0]["samples"])) == 2
    said("query", "--foreign", "--format", "parquet", "--output", "f.parquet", "--campaign", "crossbench")
    assert pq.read_table("f.parquet").num_rows == 42
    assert pq.read_table("f.parquet").schema.field("unit").type == "string"  # a column of blanks
    assert "| result" in said("query", "--foreign", "--format", "markdown", "--limit", "1")
    assert said("query", "--foreign", "--campaign", "nightly", "--format", "jsonl") == ""
    assert json.loads(said("query", "--format", "json", "--where", "id > 0"))[0]["campaign"] == "nightly"
    for flags, words in [
        (["--where", "samples = 3"], "samples is JSON"),
        (["--where", "requested_bits = 3"], "no column 'requested_bits'"),
        (["--where", "value = high"], "value is a number, not 'high'"),
        (["--columns", "outcome"], "no column 'outcome'"),
        (["--sort", "latency_ms_median"], "no column 'latency_ms_median'"),
        (["--limit", "0"], "--limit 0"),
        (["--since", "3d"], "--since 3d: not together with --foreign"),
        (["--group-by", "tool"], "--group-by tool: not together with --foreign"),
        (["--campaign", "crossbnch"], "did you mean crossbench"),
    ]:
        assert words in refused("query", "--foreign", *flags)


def test_an_export_says_nothing_of_when_or_where(place, said):
    """The files hold what the rows say, and nothing of the moment or machine of the export."""
    said("db", "export", "a")
    said("db", "export", str(place / "deep" / "er" / "b"))
    assert contents(place / "a") == contents(place / "deep" / "er" / "b")
    assert str(place).encode() not in b"".join(contents(place / "a").values())
