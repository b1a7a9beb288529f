import re

import pytest
from records import environment, fill, record, request

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.report.board import Board
from bench.report.canvas import render
from bench.report.charts import latency_by_bits
from bench.store import open_store


@pytest.fixture
def store():
    with open_store("sqlite://") as opened:
        yield opened


def points(figure):
    """(x, y, filled) of every drawn point."""
    found = []
    for axis in figure.axes:
        for line in axis.lines:
            if line.get_marker() in "os^DvPX<" and len(line.get_xdata()) == 1:
                found.append(
                    (line.get_xdata()[0], line.get_ydata()[0], line.get_markerfacecolor() != "white")
                )
    return found


def texts(figure):
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    return [text.get_text() for text in figure.texts] + legend


def test_only_right_results_have_a_point(store):
    fill(store)
    found = points(latency_by_bits(Board.of(store.summary())))
    assert len(found) == 10
    assert sum(filled for _, _, filled in found) == 8


def test_a_fallback_is_hollow_and_at_the_bits_that_ran(store):
    fill(store)
    hollow = [(x, y) for x, y, filled in points(latency_by_bits(Board.of(store.summary()))) if not filled]
    assert len(hollow) == 2
    assert all(0.5 < x < 1.5 for x, _ in hollow)  # the place of 8 bits, not of 4 or 2
    assert "fell back: chrome 153.0.8010.0 webnn 4 → 8, 2 → 8" in texts(
        latency_by_bits(Board.of(store.summary()))
    )


def test_what_has_no_speed_is_named(store):
    fill(store)
    said = texts(latency_by_bits(Board.of(store.summary())))
    assert "not measured: firefox 153.3.0 webnn 16, 8, 4, 2: unsupported" in said
    assert "not measured: firefox 153.3.0 webgpu 4: incorrect; 2: timeout" in said


def test_the_footer_says_where_it_comes_from(store):
    fill(store)
    said = "\n".join(texts(latency_by_bits(Board.of(store.summary()))))
    assert "campaign: nightly" in said and "SOFTWARE ADAPTER" in said and "llvmpipe" in said


def test_a_gpu_is_not_called_software(store):
    cell = store.create_campaign("gpu", [request()], seed=1, settings={}).cells[0]
    gpu = environment(adapter={"name": "NVIDIA H100", "is_fallback_adapter": False})
    done = record()
    effective = done.effective.model_copy(update={"device": "gpu"})
    store.record(cell.id, record(environment=gpu, effective=effective))
    said = "\n".join(texts(latency_by_bits(Board.of(store.summary()))))
    assert "NVIDIA H100" in said and "software" not in said.lower()


def test_a_fallback_to_another_platform_is_drawn_as_what_ran(store):
    cell = store.create_campaign("other", [request(platform="webnn")], seed=1, settings={}).cells[0]
    effective = record().effective.model_copy(update={"platform": "webgpu", "bits": 4})
    store.record(cell.id, record(cell.request, Outcome.FALLBACK, effective=effective))
    said = texts(latency_by_bits(Board.of(store.summary())))
    assert any(text.startswith("chrome 153.0.8010.0 webgpu") for text in said)
    assert any("4 (webnn → webgpu)" in text for text in said)


def test_models_and_shapes_have_panels_of_their_own(store):
    asked = [request(), request(sequence_length=128), request(model="bert-tiny")]
    for cell in store.create_campaign("panels", asked, seed=1, settings={}).cells:
        store.record(cell.id, record(cell.request))
    assert len(latency_by_bits(Board.of(store.summary())).axes) == 3


def test_the_same_rows_give_the_same_bytes(store):
    fill(store)
    one, two = (latency_by_bits(Board.of(store.summary())) for _ in range(2))
    svg = render(one, "svg")
    assert svg == render(two, "svg")
    assert render(one, "png") == render(two, "png")
    assert not re.search(rb"<dc:date>|20\d\d-\d\d-\d\dT", svg)


def test_nothing_to_draw(store):
    with pytest.raises(InputError, match="no runs"):
        latency_by_bits(Board.of(store.summary()))
    cell = store.create_campaign("refused", [request()], seed=1, settings={}).cells[0]
    store.record(cell.id, record(outcome=Outcome.UNSUPPORTED))
    figure = latency_by_bits(Board.of(store.summary()))
    assert points(figure) == []
    assert any("unsupported" in text for text in texts(figure))
    assert render(figure, "png").startswith(b"\x89PNG")


def test_nothing_lies_outside_the_picture_or_over_something_else(store):
    fill(store)
    figure = latency_by_bits(Board.of(store.summary()))
    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    boxes = [text.get_window_extent(renderer) for text in figure.texts if text.get_text()]
    boxes.append(figure.legends[0].get_window_extent(renderer))
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_dollar_signs_are_no_formula(store):
    odd = environment(adapter={"name": "Weird $\\frac{$ <&>", "is_fallback_adapter": True})
    cell = store.create_campaign("$x$ <b>", [request()], seed=1, settings={}).cells[0]
    store.record(cell.id, record(environment=odd))
    render(latency_by_bits(Board.of(store.summary())), "svg")
