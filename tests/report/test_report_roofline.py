"""The roofline: points and roof are what the sessions' evidence says, and nothing without it."""

import re
from pathlib import Path

import pytest
from records import record, request

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.report.board import Board
from bench.report.charts_roofline import newest_ran, points
from bench.report.kinds import Kind
from bench.report.plots import draw
from bench.store import open_store

WORK = {"flop": 342_000_000, "bytes": 10_000_000, "gflops": 900.0, "gbytes_per_s": 100.0}


def add(store, name, evidence, outcome=Outcome.OK, *, gpu_ms=None, median=20.0, **changes):
    [cell] = store.create_campaign(name, [request(**changes)], seed=1, settings={}).cells
    made = record(cell.request, outcome, median, evidence=evidence)
    made.metrics.gpu_ms = gpu_ms
    store.record(cell.id, made)


def read(store):
    board = Board.load(store)
    return board, store.evidence("roofline", newest_ran(board))


def test_points_and_roof_are_of_the_evidence():
    with open_store("sqlite://") as store:
        add(store, "a", {"roofline": WORK}, gpu_ms=15.0)
        add(store, "b", {"roofline": {**WORK, "gflops": 1100.0}}, bits=16)
        add(store, "none", {}, bits=8)
        add(store, "note", {"roofline": {"note": "Error: lost"}}, bits=2)
        add(store, "wrong", {"roofline": WORK}, Outcome.INCORRECT, bits=2, batch_size=2)
        board, found = read(store)
        [(roof, there)] = points(board, found).values()
        assert (roof.gflops, roof.gbytes_per_s, roof.sessions) == (1000.0, 100.0, 2)
        assert {point.arm["requested_bits"] for point in there} == {4, 16}
        [four] = [point for point in there if point.arm["requested_bits"] == 4]
        assert four.intensity == pytest.approx(34.2)
        assert four.rate == pytest.approx(342e6 / 0.020 / 1e9) and four.gpu == pytest.approx(
            342e6 / 0.015 / 1e9
        )
        [axis] = draw(Kind.ROOFLINE, board, store).axes
        drawn = [tuple(line.get_xydata()[0]) for line in axis.lines[1:]]
        assert (four.intensity, four.rate) in drawn and (four.intensity, four.gpu) in drawn
        xs, ys = axis.lines[0].get_data()
        assert max(ys) == 1000.0 and ys[0] == pytest.approx(xs[0] * 100.0)


def test_without_ceilings_there_is_a_sentence():
    with open_store("sqlite://") as store:
        add(store, "a", {})
        board, found = read(store)
        assert found == {}
        with pytest.raises(InputError, match="--roofline"):
            draw(Kind.ROOFLINE, board, store)


def test_evidence_of_many_runs(any_url):
    with open_store(any_url) as store:
        add(store, "a", {"roofline": WORK})
        add(store, "b", {"other": 1})
        assert store.evidence("roofline", list(range(1, 2000))) == {1: WORK}
        assert store.evidence("roofline", []) == {}


def test_the_page_counts_the_operations_that_the_shader_does():
    """In a browser no rate is too high to be true: that a constant fits its shader is read here."""
    root = Path(__file__).resolve().parents[2] / "bench"
    page = (root / "pages" / "webgpu" / "ceilings.js").read_text(encoding="utf-8")
    shaders = {
        name: (root / "shaders" / f"{name}.wgsl").read_text(encoding="utf-8")
        for name in ("peak_flops", "peak_read")
    }
    constant = {name: int(value) for name, value in re.findall(r"^const (\w+) = (\d+);", page, re.M)}
    loop = shaders["peak_flops"].partition("for (var k")[2].partition("let sum")[0]
    [chains] = re.findall(r"//#for i 0 (\d+)", loop)
    assert loop.count("fma(") == 1 and "let a = vec4<f32>" in shaders["peak_flops"]
    assert constant["FLOP_A_ROUND"] == int(chains) * 4 * 2
    for text in shaders.values():
        assert f"@workgroup_size({constant['THREADS']})" in text
