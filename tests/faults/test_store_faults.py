"""Faults of the database while a run is being recorded: the worker stops cleanly, nothing is lost."""

import json
from pathlib import Path

import pytest

from bench.cli import main
from bench.faults import CATALOGUE, Layer
from bench.store import address, check, open_store

FAULTS = [name for name, fault in CATALOGUE.items() if fault.layer is Layer.STORE]
# What a server says of the same thing, and what has no like there.
SERVER = {"store_locked": "lock timeout", "store_read_only": "read-only"}
# A browser that is not here: its run is made at once, and is a run like any other to the database.
RUN = ["run", "--browser", "edge", "--model", "bert-tiny", "--bits", "4", "--name", "nightly"]


@pytest.mark.parametrize("name", FAULTS)
def test_the_run_waits_and_resume_takes_it_in(any_url, name, tmp_path, monkeypatch, capsys):
    server = not any_url.startswith("sqlite")
    if server and name not in SERVER:
        pytest.skip("a client cannot fill a server's disk")
    monkeypatch.setenv("BENCH_DB", any_url)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(address, "BUSY_SECONDS", 0.3)  # its patience with a lock, at each of several attempts
    assert main([*RUN, "--fault", name]) == (5 if name == "store_full" else 2)
    [line] = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error:")]
    assert (SERVER[name] if server else CATALOGUE[name].words) in line
    assert "bench campaign resume nightly" in line and "the last run waits in" in line
    [kept] = (tmp_path / "cache" / "unsaved").iterdir()
    assert str(kept) in line
    record = json.loads(kept.read_text(encoding="utf-8"))["record"]
    with open_store(any_url) as store:
        assert store.rows() == []
    assert main(["campaign", "resume", "nightly"]) == 3  # the browser is still not here
    with open_store(any_url) as store:
        [row] = store.rows()
        assert row["uuid"] == record["uuid"] and row["outcome"] == "unavailable"
        assert store.run(row["id"]).evidence["fault"] == name
        assert store.status("nightly").state.value == "done"
    assert check(any_url).problems == [] and not Path(kept).exists()


def test_a_lock_that_is_let_go_is_waited_for(any_url):
    """The database's own patience: no run is refused because somebody writes at the same moment."""
    import threading
    import time

    from records import record, request

    from bench.faults import injection

    with open_store(any_url) as store:
        [cell] = store.create_campaign("c", [request()], seed=1, settings={}).cells
        held, release = threading.Event(), threading.Event()

        def hold():
            with injection("store_locked").recording(store.engine):
                held.set()
                release.wait(20)

        other = threading.Thread(target=hold)
        other.start()
        assert held.wait(10)
        threading.Timer(1.0, release.set).start()
        begun = time.monotonic()
        store.record(cell.id, record(cell.request))
        assert 0.5 < time.monotonic() - begun < 20 and len(store.rows()) == 1
        other.join()
