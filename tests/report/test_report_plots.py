"""Every kind of chart: what is drawn is what the database holds, whatever the database holds."""

from __future__ import annotations

import itertools
from functools import cache

import pytest
from records import environment, fill, record, request

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.record import Effective, ModelInfo
from bench.report import charts, charts_states, charts_times
from bench.report.board import NOT_RUN, Board, as_rows
from bench.report.canvas import inline_svg, render
from bench.report.kinds import Kind
from bench.report.plots import draw
from bench.store import open_store


@pytest.fixture
def store():
    with open_store("sqlite://") as opened:
        yield opened


def points(axis):
    """(x, y, filled) of every point with a marker."""
    return [
        (line.get_xdata()[0], line.get_ydata()[0], line.get_markerfacecolor() != "white")
        for line in axis.lines
        if line.get_marker() in "os^DvPX<" and len(line.get_xdata()) == 1
    ]


def said(figure):
    axes = [text.get_text() for axis in figure.axes for text in axis.texts]
    axes += [axis.get_title(loc="left") for axis in figure.axes]
    legend = [text.get_text() for one in figure.legends for text in one.get_texts()]
    return [text.get_text() for text in figure.texts] + legend + axes


def kept(store, *outcomes):
    return [row for row in store.rows() if row["outcome"] in outcomes]


def whisper(store):
    """Two browsers, two precisions, and one that fell back."""
    model = ModelInfo(name="whisper-tiny.en", family="whisper", weights="hub", sha256="cd" * 32)
    asked = [
        request(model="whisper-tiny.en", browser=browser, bits=bits)
        for browser in ("chrome", "firefox")
        for bits in (16, 4)
    ]
    for place, cell in enumerate(store.create_campaign("audio", asked, seed=1, settings={}).cells):
        outcome = Outcome.FALLBACK if place == 3 else Outcome.OK
        store.record(cell.id, record(cell.request, outcome, 100.0 + place, model=model))


def test_latency_points_are_the_medians_of_the_database(store):
    fill(store)
    figure = charts.latency_by_bits(Board.load(store))
    wanted = sorted(row["latency_ms_median"] for row in kept(store, "ok", "fallback"))
    assert sorted(y for axis in figure.axes for _, y, _ in points(axis)) == pytest.approx(wanted)


def test_sessions_of_an_arm_are_one_point_with_their_own_interval(store):
    cells = store.create_campaign("blocks", [request()] * 9, seed=1, settings={}, blocks=range(9)).cells
    medians = [20.0 + place for place in range(9)]
    for cell, median in zip(cells, medians, strict=True):
        store.record(cell.id, record(cell.request, median=median))
    board = Board.load(store)
    (arm,) = board.arms
    assert arm["latency_ms_median"] == 24 and arm["sessions"] == 9 and len(arm["runs"]) == 9
    assert (arm["latency_ms_ci95_low"], arm["latency_ms_ci95_high"]) == (21, 27)  # order statistics 2 and 8
    figure = charts.latency_by_bits(board)
    assert [y for _, y, _ in points(figure.axes[0])] == [24]
    assert any("9 sessions, n = 40 samples each" in text for text in said(figure))


def test_memory_is_bytes_over_fp16_with_the_ideal_line(store):
    fill(store)
    axis = charts.memory(Board.load(store)).axes[0]
    drawn = {round(y, 6) for _, y, _ in points(axis)}
    assert drawn == {
        round(100 * row["weight_bytes"] / row["weight_bytes_fp16"], 6)
        for row in kept(store, "ok", "fallback")
    }
    ideal = next(line for line in axis.lines if list(line.get_xdata()) == [0, 3])
    assert list(ideal.get_ydata()) == [100, 12.5]
    assert any(not filled for _, _, filled in points(axis))  # fell back


def test_mixed_precision_stands_between(store):
    (cell,) = store.create_campaign("mixed", [request(mixed_precision=True)], seed=1, settings={}).cells
    ran = Effective(platform="webgpu", bits=4, bits_mean=5.66, device="cpu", engine="native")
    store.record(cell.id, record(cell.request, effective=ran))
    ((x, _, _),) = points(charts.memory(Board.load(store)).axes[0])
    assert 1.4 < x < 1.6


def test_accuracy_is_the_databases(store):
    fill(store)
    cosine, distance = charts.accuracy(Board.load(store)).axes
    rows = kept(store, "ok", "fallback")
    assert {y for _, y, _ in points(cosine)} == {row["cosine_fp32"] for row in rows}
    assert {y for _, y, _ in points(distance)} == {row["rel_l2_fp32"] for row in rows}


def test_pareto_fills_what_nothing_beats(store):
    fill(store)
    board = Board.load(store)
    (axis,) = charts.pareto(board).axes
    rows = kept(store, "ok", "fallback")
    wanted = {(row["latency_ms_median"], row["weight_bytes"] / 1e6) for row in rows}
    assert {(x, y) for x, y, _ in points(axis)} == wanted

    def beaten(one):
        mine = (one["latency_ms_median"], one["weight_bytes"], -one["cosine_fp32"])
        others = [(row["latency_ms_median"], row["weight_bytes"], -row["cosine_fp32"]) for row in rows]
        return any(o != mine and all(a <= b for a, b in zip(o, mine, strict=True)) for o in others)

    best = {(row["latency_ms_median"], row["weight_bytes"] / 1e6) for row in rows if not beaten(row)}
    assert {(x, y) for x, y, filled in points(axis) if filled} == best


def test_support_says_every_cell(store):
    fill(store, leave=2)
    figure = charts_states.support(Board.load(store))
    fields = [text.get_text() for text in figure.axes[0].texts]
    for outcome in ("timeout", "crashed", "device_lost", "incorrect", "fallback → 8", NOT_RUN):
        assert outcome in fields
    ok = sum(row["outcome"] == "ok" for row in store.rows())
    assert fields.count("ok") == ok
    assert any(f"ok {ok}" in text and "not run 2" in text for text in said(figure))


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        ("ok", "ran"),
        ("ok ×9, fallback → 8 ×1", "fell back"),
        ("ok ×9, timeout ×1", "failed"),
        ("unsupported", "refused or not there"),
        ("not run", "not run"),
        ("ok ×9, not run ×1", "refused or not there"),
    ],
)
def test_the_kind_of_a_field(verdict, kind):
    assert charts_states.kind_of(verdict) == kind


def test_experimental_has_the_browsers_words(store):
    asked = [request(platform="webnn", bits=2, experimental_precision=mode) for mode in (False, True)]
    cells = store.create_campaign("modes", asked, seed=1, settings={}).cells
    store.record(cells[0].id, record(cells[0].request, Outcome.FALLBACK, 22.0))
    store.record(cells[1].id, record(cells[1].request, Outcome.ERROR))
    text = "\n".join(said(charts_states.experimental(Board.load(store))))
    assert "fallback → 8: 22.0 [21.1, 23.1] ms" in text and "int2" in text and "standard mode runs" in text


def test_audio_bars_are_the_medians(store):
    whisper(store)
    fill(store)
    figure = charts_times.audio(Board.load(store))
    heights = sorted(bar.get_height() for axis in figure.axes for bar in axis.patches)
    assert heights == [100, 101, 102, 103]
    assert any("(→ 8)" in text for text in said(figure))


def test_samples_are_those_of_the_runs(store):
    fill(store)
    board = Board.load(store)
    figure = draw(Kind.SAMPLES, board, store)
    drawn = [sorted(line.get_xdata()) for line in figure.axes[0].lines]
    wanted = [
        sorted(one.value_ms for one in store.samples(run) if one.kind == "measure")
        for run in charts_times.newest_measured(board)[::-1]
    ]
    assert drawn == wanted and len(drawn) == charts_times.MOST_RUNS


def test_history_has_every_session(store):
    fill(store)
    (axis,) = charts_times.over_time(Board.load(store)).axes
    drawn = [y for line in axis.lines for y in line.get_ydata()]
    assert len(drawn) == 8 and set(drawn) <= {row["latency_ms_median"] for row in kept(store, "ok")}


def empty(store):
    pass


def one_run(store):
    (cell,) = store.create_campaign("one", [request()], seed=1, settings={}).cells
    store.record(cell.id, record(cell.request))


def all_failed(store):
    for cell in store.create_campaign("bad", [request(bits=b) for b in (16, 2)], seed=1, settings={}).cells:
        store.record(cell.id, record(cell.request, Outcome.CRASHED))


def thousand(store):
    asked = [
        request(model=f"model-{model}", browser=browser, platform=platform, bits=bits, sequence_length=tokens)
        for model, browser, platform, bits, tokens in itertools.product(
            range(16), ("chrome", "firefox"), ("webgpu", "webnn"), (16, 8, 4, 2), (16, 32, 64, 128)
        )
    ]
    for cell in store.create_campaign("large", asked, seed=1, settings={}).cells:
        store.record(cell.id, record(cell.request, median=1.0 + cell.id))


@cache
def filled(case):
    """A database of that case: filling it takes longer than drawing it, and nobody here writes to it."""
    store = open_store("sqlite://")
    case(store)
    return store


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("case", [empty, one_run, all_failed, thousand])
def test_every_database_gives_a_chart_or_a_sentence(case, kind):
    store = filled(case)
    try:
        figure = draw(kind, Board.load(store), store)
    except InputError as error:
        assert "\n" not in str(error) and str(error).startswith("no ")
        charted = {Kind.SUPPORT, Kind.LATENCY, Kind.MEMORY, Kind.ACCURACY, Kind.PARETO}
        assert case is empty or kind not in charted
        return
    assert case is not empty
    assert figure.get_figheight() < 60
    data = render(figure, "svg")
    assert len(data) < 2_000_000 and data == render(draw(kind, Board.load(store), store), "svg")
    assert any(text.startswith("campaign: ") for text in said(figure))
    assert any(text.startswith("browsers: ") and "153." in text for text in said(figure))
    if case is all_failed and kind is not Kind.SUPPORT:
        assert "nothing was measured" in said(figure)


def test_an_inlined_chart_shares_no_id_with_another(store):
    import re

    fill(store)
    board = Board.load(store)
    texts = [inline_svg(draw(kind, board, store), kind.value) for kind in (Kind.LATENCY, Kind.MEMORY)]
    ids = [set(re.findall(r'id="([^"]+)"', text)) for text in texts]
    assert not ids[0] & ids[1]
    for text, own in zip(texts, ids, strict=True):
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
        assert used and used <= own and "<metadata" not in text


def test_the_board_has_a_row_a_cell(store):
    fill(store, leave=3)
    again = record(request(browser="firefox", bits=4), Outcome.OK, 50.0)
    cell = next(row["cell_id"] for row in store.rows() if row["outcome"] == "incorrect")
    store.record(cell, again)
    board = Board.load(store)
    assert len(board.runs) == 22 and len(board.cells) == 24
    assert sum(row["outcome"] == NOT_RUN for row in as_rows(board.cells)) == 3
    assert not any(row["outcome"] == "incorrect" for row in as_rows(board.cells))
    assert sum(arm["sessions"] for arm in board.arms) == 24


def test_other_adapters_are_not_averaged(store):
    cells = store.create_campaign("two", [request()] * 2, seed=1, settings={}, blocks=[0, 1]).cells
    store.record(cells[0].id, record(cells[0].request))
    store.record(
        cells[1].id,
        record(
            cells[1].request, environment=environment(adapter={"name": "GPU", "is_fallback_adapter": False})
        ),
    )
    assert [arm["sessions"] for arm in Board.load(store).arms] == [1, 1]
