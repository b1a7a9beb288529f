"""What older databases and exports hold of waits, timers and clocks comes in as today's rows say it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.report import words
from bench.report.repeat import repeat_commands
from bench.store import check, open_store, upgrade
from bench.store.exchange import import_folder, open_export

DATA = Path(__file__).resolve().parents[1] / "data"
# Written by the program of 2026-11-23: four measurements of Firefox, of which run 21 waited on its timer.
EXPORT = DATA / "export-0003"


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as store:
        import_folder(store.engine, open_export(EXPORT))
        yield store


def test_an_older_export_comes_in_and_says_how_it_waited(store):
    rows = store.rows("outcome = ok")
    waits = sorted((row["effective_wait"], row["timer_ms"]) for row in rows)
    assert waits == [("eager", None)] * 3 + [("plain", 100.0)]
    assert all(row["effective_kernels"] is None and row["host_gpus"] is None for row in rows)


def test_samples_of_before_there_were_phases_are_of_the_forward_phase(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as store:
        import_folder(store.engine, open_export(DATA / "export-0004"))
        rows = store.rows("outcome = ok")
        assert rows
        for row in rows:
            samples = store.samples(row["id"])
            assert {one.phase for one in samples} == {"forward"} and samples[0].kind == "warmup"
            record = store.run(row["id"])
            assert record.metrics.phases == {} and record.metrics.decode_ms is None


def test_rows_of_before_tokens_were_asked_for_ask_for_none(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as store:
        import_folder(store.engine, open_export(DATA / "export-0005"))
        rows = store.rows()
        assert len(rows) == 22
        for name in ("requested_generate", "renderer_memory_mb", "gpu_process_memory_mb"):
            assert {row[name] for row in rows} == {None}
        assert store.run(rows[0]["id"]).requested.generate is None


def test_a_row_of_today_says_how_many_tokens_and_how_much_memory(tmp_path):
    shutil.copy(DATA / "revision-0006.sqlite", tmp_path / "bench.sqlite")
    upgrade(f"sqlite:///{tmp_path}/bench.sqlite")
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite", create=False) as store:
        rows = store.rows("generate = 64")
        assert [row["requested_bits"] for row in rows] == [16, 4]
        record = store.run(rows[0]["id"])
    assert record.requested.generate == 64 and set(record.metrics.phases) == {"prefill", "decode"}
    assert record.metrics.renderer_memory_mb == 212.5 and record.metrics.gpu_process_memory_mb == 340.25


def test_a_sample_spans_so_many_steps_of_its_clock(store):
    for row in store.rows("outcome = ok"):
        walls = [one.batch * one.value_ms for one in store.samples(row["id"]) if one.kind == "measure"]
        assert row["sample_ticks"] == pytest.approx(min(walls) * 1000 / row["timer_resolution_us"])


def test_the_row_on_a_timer_is_named_and_is_no_damage(store):
    report = check(store.url)
    (timed,) = [row["id"] for row in store.rows("outcome = ok") if row["timer_ms"] is not None]
    assert report.problems == []
    assert report.notes[0].startswith(f"run {timed}: the samples sit on the browser's timer")


def test_old_rows_that_waited_plainly_without_a_timer_are_named_too(tmp_path):
    """Chromium's, whose GPU process looks every 1 to 2 ms."""
    published = Path(__file__).resolve().parents[2] / "results" / "2026-11-24-hunt" / "runs.sqlite"
    shutil.copy(published, tmp_path / "runs.sqlite")
    url = f"sqlite:///{tmp_path}/runs.sqlite"
    upgrade(url)
    (note,) = check(url).notes
    assert note.startswith("runs 1 to 60: an older page waited plainly")


def test_importing_twice_adds_nothing(store):
    before = store.rows()
    import_folder(store.engine, open_export(EXPORT))
    assert store.rows() == before


def test_rows_of_before_there_were_feature_sets_were_asked_for_none(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as store:
        import_folder(store.engine, open_export(DATA / "export-0006"))
        rows = store.rows()
        assert len(rows) == 22 and {row["requested_gpu_features"] for row in rows} == {None}
        # Nobody asked: no label, and no flag in the command that repeats it.
        assert not any("features" in words.options(row) for row in rows)
        assert not any("gpu-features" in line for line in repeat_commands(rows))


def test_a_row_of_today_says_which_feature_set(tmp_path):
    shutil.copy(DATA / "revision-0007.sqlite", tmp_path / "bench.sqlite")
    upgrade(f"sqlite:///{tmp_path}/bench.sqlite")
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite", create=False) as store:
        assert {row["outcome"] for row in store.rows("gpu_features = all")} == {"unsupported"}
        rows = store.rows("gpu_features = f16 and outcome = ok")
        assert {row["effective_features"] for row in rows} == {"f16"} and len(rows) == 4
        assert {words.options(row) for row in rows} == {"features f16", "ort-web, features f16"}
        assert store.run(rows[0]["id"]).requested.gpu_features == "f16"
    assert all("--gpu-features f16" in line for line in repeat_commands(rows))


def test_rows_of_before_there_were_webnn_plans_were_asked_for_none(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite") as store:
        import_folder(store.engine, open_export(DATA / "export-0007"))
        rows = store.rows()
        assert len(rows) == 22 and {row["requested_webnn_plan"] for row in rows} == {None}
        assert not any("plan" in words.options(row) for row in rows)
        assert not any("webnn-plan" in line for line in repeat_commands(rows))


def test_a_row_of_today_says_which_plan(tmp_path):
    shutil.copy(DATA / "webnn-plans.sqlite", tmp_path / "bench.sqlite")
    upgrade(f"sqlite:///{tmp_path}/bench.sqlite")
    with open_store(f"sqlite:///{tmp_path}/bench.sqlite", create=False) as store:
        rows = {row["requested_webnn_plan"]: row for row in store.rows()}
        assert set(rows) == {"auto", "packed", "per-channel", "qdq-int8"}
        assert rows["qdq-int8"]["effective_activations"] == "int8-static"
        assert words.options(rows["packed"]) == "plan packed" and words.options(rows["auto"]) == ""
        assert store.rows("webnn_plan = packed") == [rows["packed"]]
    assert any("--webnn-plan packed" in line for line in repeat_commands(list(rows.values())))


@pytest.mark.parametrize("number", ["0001", "0002", "0003", "0004", "0005"])
def test_made_up_rows_of_older_schemas_are_on_no_timer(tmp_path, number):
    shutil.copy(DATA / f"revision-{number}.sqlite", tmp_path / "bench.sqlite")
    url = f"sqlite:///{tmp_path}/bench.sqlite"
    upgrade(url)
    assert check(url).notes == []
    with open_store(url) as store:
        assert all(row["timer_ms"] is None for row in store.rows())
