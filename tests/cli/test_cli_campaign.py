"""`bench campaign` without a browser: every cell asks for Safari, which no machine but a Mac has.

Plans, runs, kills, resumes and refusals are real; what a browser does is in tests/browser/test_campaigns.py.
"""

import contextlib
import json
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.cli import main
from bench.errors import InputError, StoreError
from bench.store import CampaignState, open_store

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="Safari is there, and would really run")
FILE = """\
name = "nightly"
[matrix]
model = ["bert-tiny"]
platform = ["webgpu", "webnn"]
browser = ["safari"]
bits = [16, 8, 4, 2]
sequence_length = [16]
[run]
blocks = 2
seed = 7
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("BENCH_DB", "BENCH_SEQUENCE_LENGTH", "BENCH_PORT", "BENCH_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (folder / "nightly.toml").write_text(FILE)
    return folder


def opened():
    return open_store(create=False)


def test_a_plan_is_printed_and_writes_nothing(place, capsys):
    assert main(["campaign", "plan", "nightly.toml"]) == 0
    said = capsys.readouterr().out
    assert "18 cells" in said and "A/A twin" in said
    assert "safari webgpu: unavailable: safari is not on this machine" in said
    assert main(["campaign", "plan", "nightly.toml", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert len(plan["cells"]) == 18 and plan["estimate"]["seconds"] == 0
    assert {cell["expected"]["outcome"] for cell in plan["cells"]} == {"unavailable"}
    assert [path.name for path in place.iterdir()] == ["nightly.toml"]


def test_it_runs_to_its_end_and_the_plan_is_the_one_that_was_printed(capsys):
    main(["campaign", "plan", "nightly.toml", "--json"])
    plan = json.loads(capsys.readouterr().out)
    assert main(["campaign", "run", "nightly.toml"]) == 3  # nothing could run
    said = capsys.readouterr()
    assert "18 done" in said.out and "18 unavailable" in said.out and "block 1 is done" in said.err
    with opened() as store:
        status = store.status("nightly")
        assert (status.state, status.cells) == (CampaignState.DONE, {"done": 18})
        campaign = store.campaign("nightly")
        assert campaign.plan_hash == plan["plan_hash"] == campaign.plan.hash
        assert [cell.request.model_dump(mode="json") for cell in campaign.cells] == [
            cell["requested"] for cell in plan["cells"]
        ]
        assert Counter(row["role"] for row in store.rows()) == {"arm": 16, "twin": 2}
        starts = [row["position"] for row in store.rows()]
        assert starts == sorted(starts)


def test_status_list_cancel_and_the_names_of_what_is_not_there(capsys):
    main(["campaign", "run", "nightly.toml"])
    capsys.readouterr()
    assert main(["campaign", "status", "nightly", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == {"unavailable": 18}
    assert main(["campaign", "list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["nightly"]
    assert main(["campaign", "list"]) == 0 and "nightly" in capsys.readouterr().out
    for command in ("status", "resume", "cancel"):
        assert main(["campaign", command, "nightli"]) == 2
        assert "did you mean nightly" in capsys.readouterr().err
    assert main(["campaign", "cancel", "nightly"]) == 2
    assert "done already" in capsys.readouterr().err
    assert main(["campaign", "resume", "1"]) == 3  # by number; nothing is left to do
    assert main(["campaign", "run", "nightly.toml"]) == 2
    assert "bench campaign resume nightly" in capsys.readouterr().err
    assert main(["campaign", "run", "nightly.toml", "--name", "other"]) == 3


def test_a_cancelled_campaign_is_over(capsys):
    with open_store() as store:
        from bench.plan.cells import make_plan
        from bench.plan.reading import read_campaign

        _, arms = read_campaign(FILE, "x")
        store.plan_campaign("nightly", make_plan(arms, 7), settings={})
    assert main(["campaign", "cancel", "nightly"]) == 0
    assert "8 cells skipped" in capsys.readouterr().out
    assert main(["campaign", "resume", "nightly"]) == 2
    assert "was cancelled" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (FILE.replace("seed", "sede"), ["line 10", "run.sede", "unknown key"]),
        (FILE.replace("[16, 8, 4, 2]", "[]"), ["line 6", "matrix.bits", "empty"]),
        (FILE.replace('"safari"', '"netscape"'), ["netscape", "chrome, firefox"]),
        (FILE.replace('"safari"', '"chrome:/nope"'), ["/nope", "not an executable"]),
        (FILE + "[[include]]\nbits = 4\n", ["include[0]", "there already"]),
        ("\0", ["not valid TOML"]),
    ],
)
def test_a_bad_file_is_one_line_and_nothing_is_written(place, capsys, command, text, says):
    (place / "nightly.toml").write_text(text)
    assert main(["campaign", command, "nightly.toml"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1
    assert all(words in said.err for words in says)
    assert [path.name for path in place.iterdir()] == ["nightly.toml"]


def test_models_and_shapes_are_looked_at_before_anything_is_written(place, capsys):
    for old, new in (("bert-tiny", "bert-huge"), ("[16]", "[4000]")):
        (place / "nightly.toml").write_text(FILE.replace(old, new))
        assert main(["campaign", "run", "nightly.toml"]) == 2
        assert [path.name for path in place.iterdir()] == ["nightly.toml"]
    assert main(["campaign", "run", "none.toml"]) == 2
    assert "none.toml cannot be read" in capsys.readouterr().err


def test_a_check_may_refuse(place, capsys, monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "getloadavg", lambda: (99.0, 0, 0))
    (place / "nightly.toml").write_text(FILE + '[checks]\nload = "refuse"\n')
    assert main(["campaign", "run", "nightly.toml"]) == 2
    assert "checks.load" in capsys.readouterr().err
    assert [path.name for path in place.iterdir()] == ["nightly.toml"]
    (place / "nightly.toml").write_text(FILE)
    assert main(["campaign", "run", "nightly.toml"]) == 3
    assert "warning: the load" in capsys.readouterr().err


def test_the_budget_of_the_campaign_leaves_the_rest_to_resume(place, capsys):
    (place / "nightly.toml").write_text(FILE + "max_minutes = 0.0001\n")
    main(["campaign", "run", "nightly.toml"])
    assert "the budget of 0.0001 minutes is spent" in capsys.readouterr().out
    with opened() as store:
        assert store.status("nightly").state is CampaignState.INTERRUPTED
        assert store.status("nightly").cells.get("planned", 0) > 0


def start(*arguments):
    command = [sys.executable, "-m", "bench", "campaign", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_runs(count):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(StoreError, InputError), opened() as store:
            if sum(store.status("nightly").runs.values()) >= count:
                return
        time.sleep(0.01)
    raise AssertionError("no runs")


def test_killed_at_any_instant_it_loses_nothing_and_runs_nothing_twice(place):
    """The short form; the long one is in tests/faults."""
    (place / "nightly.toml").write_text(FILE.replace("blocks = 2", "blocks = 6"))
    acknowledged = set()
    for kill in range(3):
        process = start("run", "nightly.toml") if kill == 0 else start("resume", "nightly")
        wait_for_runs(len(acknowledged) + 5)
        time.sleep(0.02 * kill)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with opened() as store:
            rows = store.rows()
        seen = {row["uuid"] for row in rows}
        assert acknowledged <= seen, "a finished run was lost"
        acknowledged = seen
    begun = time.monotonic()
    process = start("resume", "nightly")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    assert time.monotonic() - begun < 60
    with opened() as store:
        finished = [row["cell_id"] for row in store.rows() if row["outcome"] != "interrupted"]
        assert len(finished) == len(set(finished)) == 54
        assert store.status("nightly").state is CampaignState.DONE
        campaign = store.campaign("nightly")
        assert campaign.plan.hash == campaign.plan_hash
    raw = sqlite3.connect("results/bench.sqlite")
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


def test_ctrl_c_stops_and_resume_goes_on(place):
    (place / "nightly.toml").write_text(FILE.replace("blocks = 2", "blocks = 60"))
    process = start("run", "nightly.toml")
    wait_for_runs(5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Ctrl-C again" in err and "bench campaign resume nightly" in out
    with opened() as store:
        status = store.status("nightly")
        assert status.state is CampaignState.INTERRUPTED and status.leases == []
        assert set(status.runs) == {"unavailable"}  # the run in hand was finished


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_workers_share_a_campaign(place, kind, request, monkeypatch):
    if kind == "postgresql":
        monkeypatch.setenv("BENCH_DB", request.getfixturevalue("postgres_url"))
    (place / "nightly.toml").write_text(FILE.replace("blocks = 2", "blocks = 40"))
    first = start("run", "nightly.toml")
    wait_for_runs(3)
    second = start("resume", "nightly")
    outs = [process.communicate(timeout=120) for process in (first, second)]
    assert (first.returncode, second.returncode) == (3, 3), outs
    with opened() as store:
        rows = store.rows()
        assert len(rows) == len({row["cell_id"] for row in rows}) == 360
        assert {row["outcome"] for row in rows} == {"unavailable"}
    for _, err in outs:
        assert err.count("unavailable") > 3  # both did their share


def test_a_changed_plan_is_not_resumed(place, capsys):
    (place / "nightly.toml").write_text(FILE + "max_minutes = 0.0001\n")
    main(["campaign", "run", "nightly.toml"])
    raw = sqlite3.connect("results/bench.sqlite")
    raw.execute("UPDATE cells SET arm = replace(arm, '\"bits\": 2', '\"bits\": 4')")
    raw.commit()
    raw.close()
    capsys.readouterr()
    assert main(["campaign", "resume", "nightly"]) == 2
    assert "was changed in the database" in capsys.readouterr().err


def test_a_full_database_stops_cleanly_and_goes_on(place, capsys, monkeypatch):
    from bench.store import address

    monkeypatch.setenv("BENCH_CACHE", str(place.parent / "cache"))

    real = address._set_up_sqlite

    def small(engine):
        import sqlalchemy as sa

        real(engine)

        @sa.event.listens_for(engine, "connect")
        def limit(connection, _record):
            connection.execute(f"PRAGMA max_page_count = {limit_pages}")

    (place / "nightly.toml").write_text(FILE + "max_minutes = 0.0001\n")
    main(["campaign", "run", "nightly.toml"])
    raw = sqlite3.connect("results/bench.sqlite")
    raw.execute("UPDATE campaigns SET definition = replace(definition, '0.0001', '100.0'), plan_hash = NULL")
    raw.commit()
    limit_pages = raw.execute("PRAGMA page_count").fetchone()[0] + 2
    raw.close()
    monkeypatch.setattr(address, "_set_up_sqlite", small)
    capsys.readouterr()
    assert main(["campaign", "resume", "nightly"]) == 5
    [line] = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error:")]
    assert "full" in line and "make room" in line and "bench campaign resume nightly" in line
    [kept] = (place.parent / "cache" / "unsaved").iterdir()
    assert str(kept) in line
    monkeypatch.setattr(address, "_set_up_sqlite", real)
    with opened() as store:
        before = store.status("nightly")
    assert main(["campaign", "resume", "nightly"]) == 3
    with opened() as store:
        after = store.status("nightly")
        assert after.state is CampaignState.DONE and after.cells == {"done": 18}
        assert before.runs.get("unavailable", 0) < 18
        # The run that the database would not take is the one that was measured, and not interrupted.
        rows = store.rows()
        assert len(rows) == 18 and {row["outcome"] for row in rows} == {"unavailable"}
        assert kept.stem in {row["uuid"] for row in rows} and not kept.exists()


def test_cancelled_while_it_runs(place, capsys):
    (place / "nightly.toml").write_text(FILE.replace("blocks = 2", "blocks = 60"))
    process = start("run", "nightly.toml")
    wait_for_runs(3)
    assert main(["campaign", "cancel", "nightly"]) == 0
    out, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    assert "cancelled" in out
    with opened() as store:
        status = store.status("nightly")
        assert status.state is CampaignState.CANCELLED and status.open == 0
        assert set(status.cells) == {"done", "skipped"}
        assert sum(status.runs.values()) == status.cells["done"]


def test_what_is_to_be_typed_next_can_be_typed_whatever_the_name(capsys):
    name = 'it\'s a "night"'
    run = ["run", "--browser", "safari", "--model", "bert-tiny", "--bits", "4", "--name", name]
    assert main(run) == 3
    typed = shlex.quote(name)
    assert f"bench query --campaign {typed}, bench report --campaign {typed}" in capsys.readouterr().out
    assert main(run) == 2
    assert f"bench campaign resume {typed}\n" in capsys.readouterr().err
    assert main(["campaign", "status", name]) == 0
    assert f"bench report --campaign {typed}" in capsys.readouterr().out


def test_a_campaign_does_not_go_on_with_another_model(tmp_path, capsys):
    """Two cells of one arm are of one model: a folder that was changed in between is refused."""
    import tiny_model
    from records import record, request

    folder = tiny_model.write(tmp_path / "mine")
    url = f"sqlite:///{tmp_path}/bench.sqlite"
    with open_store(url) as store:
        asked = request(model="mine", weights=str(folder), sequence_length=8)
        planned = store.create_campaign("twice", [asked, asked], seed=1, settings={}, blocks=[0, 1])
        store.record(planned.cells[0].id, record(asked))
    assert main(["campaign", "resume", "twice", "--db", url]) == 2
    said = capsys.readouterr().err
    assert "is another model than the campaign 'twice' began with (sha256 abababababab, now" in said
    with open_store(url) as store:
        assert len(store.rows()) == 1
