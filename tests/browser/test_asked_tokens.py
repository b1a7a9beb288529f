"""A language model from the flag to its row, in each browser: what was asked, what is kept, and memory."""

from __future__ import annotations

import json

import pytest
import tiny_llama

from bench.cli import main
from bench.store import open_store

from .conftest import require

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", ["chrome", "firefox"])
def test_a_row_says_how_many_tokens_were_written_and_what_the_browser_held(
    tmp_path, capfd, monkeypatch, name
):
    require(name)
    url = f"sqlite:///{tmp_path / 'runs.sqlite'}"
    monkeypatch.setenv("BENCH_DB", url)
    folder = tiny_llama.write(tmp_path / "tiny")
    flags = ("--weights", str(folder), "--sequence-length", "8", "--bits", "4", "--iterations", "4")
    assert main(["run", "--json", "--browser", name, *flags]) == 0
    (run,) = json.loads(capfd.readouterr().out)["runs"]
    assert run["requested"]["generate"] == 64, "the default is stored as what it is"
    metrics, memory = run["metrics"], run["evidence"]["memory"]
    assert set(metrics["phases"]) == {"prefill", "decode"} and metrics["decode_ms"]["n"] == 4
    rate = metrics["decode_tokens_per_s"]
    assert rate == pytest.approx(1000 / metrics["decode_ms"]["median"])
    page, gpu = memory["page"], memory["gpu"]
    assert page["peak_mb"] == metrics["renderer_memory_mb"] >= page["peak_since_load_mb"]
    # Of what it shares with other Firefoxes it is given its part only: the more of them, the less.
    assert 5 < page["pss_at_end_mb"] < page["peak_mb"] < 1000
    assert 0 < page["peak_since_load_mb"] - page["before_load_mb"] < 200, "a tiny model takes little"
    if name == "chrome":
        assert gpu["peak_mb"] == metrics["gpu_process_memory_mb"] > 50
    elif gpu is None:  # as on Linux
        assert metrics["gpu_process_memory_mb"] is None and "no GPU process" in memory["note"]
    assert memory["main"]["peak_mb"] > 50 and memory["cost_ms"] < 1000
    with open_store(url, create=False) as store:
        (row,) = store.rows("test = tg64")
        assert row["renderer_memory_mb"] == page["peak_mb"] and store.run(1).requested.generate == 64
    assert main(["query", "--format", "llama-bench"]) == 0
    said = capfd.readouterr().out
    assert "pp8" in said and "tg64 @ d8" in said and "tiny 4-bit" in said
