"""Language models in tables, choices, comparisons, charts: tokens per second, and the time to the first."""

import json

import pytest
from records import record, request, written

from bench.cli import main
from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.metrics import cost
from bench.plan.cells import make_plan
from bench.report import canvas, words
from bench.report.against import against_16
from bench.report.board import Board
from bench.report.charts_tokens import depth, tokens
from bench.report.choice import choices
from bench.report.kinds import Kind
from bench.report.plots import draw
from bench.report.tables import comparison
from bench.store import open_store

MODEL = "smollm2-135m"
# Milliseconds of one token: fewer bits write faster, and their prompt takes longer.
TOKEN = {16: 20.0, 8: 12.5, 4: 8.0}
PROMPT = {16: 60.0, 8: 70.0, 4: 80.0}


def asked(bits, **changes):
    return request(model=MODEL, bits=bits, generate=64, **changes)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Ten blocks of a language model in two browsers and two depths, an encoder beside it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('tokens')}/bench.sqlite"
    arms = [
        asked(bits, browser=browser, sequence_length=length)
        for bits in TOKEN
        for browser in ("chrome", "firefox")
        for length in (128, 1024)
    ]
    arms += [asked(2), *(request(bits=bits) for bits in (16, 4))]
    with open_store(url) as store:
        campaign = store.plan_campaign("texts", make_plan(arms, 3, blocks=10), settings={})
        for cell in campaign.cells:
            one = cell.request
            slow = (
                1
                + (cell.block * one.bits % 7) / 1000
                + (one.browser == "firefox")
                + one.sequence_length / 4096
            )
            if one.generate is None:
                store.record(cell.id, record(one, median=20 * slow))
            elif one.bits == 2:
                store.record(cell.id, written(one, Outcome.UNSUPPORTED))
            else:
                found = written(one, decode=TOKEN[one.bits] * slow, prefill=PROMPT[one.bits] * slow)
                found.quality.cosine_fp32, found.quality.greedy_agreement = 0.995, 1 - 0.1 * (one.bits == 4)
                store.record(cell.id, found)
    return url


@pytest.fixture(scope="module")
def board(url):
    with open_store(url, create=False) as store:
        return Board.load(store)


@pytest.fixture
def said(url, capsys):
    def run(*arguments, code=0):
        assert main([*arguments, "--db", url]) == code
        return capsys.readouterr().out

    return run


def arm(board, **wanted):
    (found,) = [
        one for one in board.arms if all(one[f"requested_{name}"] == value for name, value in wanted.items())
    ]
    return found


def test_an_arm_says_how_fast_it_writes(board):
    one = arm(board, model=MODEL, bits=8, browser="chrome", sequence_length=128)
    assert one["decode_tokens_per_s"] == pytest.approx(1000 / one["decode_ms_median"])
    assert one["prefill_tokens_per_s"] == pytest.approx(128_000 / one["latency_ms_median"])
    low, high = words.tokens_interval(one)
    assert low < one["decode_tokens_per_s"] < high
    assert words.tokens(one) == "77.4 [77.2, 77.6]" and words.shape(one) == "128 + 64 tokens"
    assert words.tokens(arm(board, model="all-MiniLM-L6-v2", bits=4)) == ""
    lines = comparison(board.arms)
    shown = lines[(lines["model"] == MODEL) & (lines["bits"] == "4")]
    assert set(shown["same tokens"]) == {"90 %"} and (shown["tokens/s"] != "").all()


def test_the_choice_is_by_tokens_unless_told_otherwise(board):
    def best(**how):
        return {
            (one.model, one.tokens, one.generate): one.arm and one.arm["requested_bits"]
            for one in choices(board.arms, 0.98, **how)
        }

    assert best()[MODEL, 128, 64] == 4
    assert best(metric="decode_tokens_per_s")[MODEL, 128, 64] == 4
    assert best(metric="latency_ms_median")[MODEL, 128, 64] == 16
    assert best(metric="prefill_tokens_per_s")[MODEL, 1024, 64] == 16
    assert best(least_greedy=0.95)[MODEL, 128, 64] == 8
    assert best(metric="decode_ms_median")["all-MiniLM-L6-v2", 16, None] is None


def test_recommend_prints_both(said):
    rows = json.loads(said("recommend", "--format", "json", "--where", f"model = {MODEL}"))
    row = next(one for one in rows if one["sequence_length"] == 128)
    assert (row["generate"], row["requested_bits"]) == (64, 4)
    assert row["decode_tokens_per_s"] == pytest.approx(1000 / row["decode_ms_median"])
    assert "tokens/s [95 %]" in said("recommend", "--where", f"model = {MODEL}")
    assert "tokens/s" not in said("recommend", "--min-cosine", "0.9", "--where", "model = all-MiniLM-L6-v2")
    assert main(["recommend", "--metric", "canary_ms"]) == 2 == main(["recommend", "--min-greedy", "2"])


@pytest.mark.parametrize(
    ("metric", "ratio"),
    [
        ("decode_ms_median", 0.4),
        ("decode_tokens_per_s", 0.4),
        ("prefill_tokens_per_s", 4 / 3),
        ("greedy_agreement", 1 / 0.9),
    ],
)
def test_every_figure_of_a_language_model_is_compared(said, metric, ratio):
    sides = ("bits=16", "bits=4", "--where", f"model = {MODEL}")
    found = json.loads(said("compare", *sides, "--metric", metric, "--format", "json"))
    assert found["geometric_mean"] == pytest.approx(ratio, rel=1e-3)
    cell = found["cells"][0]
    assert cost(metric, cell["other"]) / cost(metric, cell["base"]) == pytest.approx(cell["ratio"], rel=1e-6)
    text = said("compare", *sides, "--metric", metric)
    if metric == "greedy_agreement":  # the same in every session: a fact, of which no interval says more
        assert "ratio: BASE's greedy_agreement over OTHER's, below 1 is better" in text
        assert "it does not vary from session to session" in text and "clock" not in text
    else:
        assert ("faster" if ratio < 1 else "slower") in text


def test_what_is_usual_is_compared_where_nobody_says(said):
    assert "decode_ms_median" in said("compare", "bits=16", "bits=4", "--where", f"model = {MODEL}")
    assert "latency_ms_median" in said("compare", "bits=16", "bits=4")
    assert "decode_ms_median" in said("history", "--where", f"model = {MODEL}")
    assert "now 1/s" in said("history", "--metric", "decode_tokens_per_s")


def test_against_16_bits_a_language_model_is_compared_by_a_token(board):
    found = {
        (one.arm["requested_model"], one.arm["requested_bits"]): one.cell
        for one in against_16(board.cells, "texts")
        if one.arm.get("requested_browser") == "chrome"
    }
    assert found[MODEL, 4].comparison.ratio == pytest.approx(0.4, rel=1e-3)
    assert found["all-MiniLM-L6-v2", 4].comparison.ratio == pytest.approx(1.0, rel=1e-2)


def test_rows_show_tokens_only_where_some_were_written(said):
    shown = said("query", "--limit", "40")
    assert "tokens/s [95 %]" in shown and "same tokens" in shown
    assert "tokens/s" not in said("query", "--where", "model = all-MiniLM-L6-v2")
    rows = json.loads(said("query", "--where", "decode_tokens_per_s > 100", "--format", "json"))
    assert {row["requested_bits"] for row in rows} == {4}
    run = rows[0]["id"]
    text = said("show", str(run))
    assert "phase decode" in text and "a token" in text and "steady, prefill" in text
    assert "tokens/s" in said("explain", str(run))


def texts_of(figure):
    found = [text.get_text() for text in figure.texts]
    return [*found, *(text.get_text() for axis in figure.axes for text in axis.texts)]


def test_tokens_by_bits(board):
    figure = tokens(board)
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles[0].startswith(f"{MODEL}, 16 + 64") and f"{MODEL}, 1024 + 64 tokens\n60 sessions" in titles
    axis = figure.axes[titles.index(f"{MODEL}, 128 + 64 tokens\n60 sessions")]
    heights = sorted(round(bar.get_height(), 1) for bar in axis.patches)
    expected = sorted(
        round(one["decode_tokens_per_s"], 1)
        for one in board.arms
        if one["requested_model"] == MODEL and one["requested_sequence_length"] == 128
    )
    assert heights == expected and len(heights) == 6
    assert any("native" in line and "unsupported at 2 bits" in line for line in texts_of(figure))
    assert canvas.render(figure, "png").startswith(b"\x89PNG")


def test_tokens_by_depth(board):
    figure = depth(board)
    after, prompt = figure.axes[:2]
    lines = [line for line in after.get_lines() if len(line.get_xdata()) == 2]
    assert len(lines) == 6 == len([line for line in prompt.get_lines() if len(line.get_xdata()) == 2])
    assert all(list(line.get_xdata()) == [128, 1024] for line in lines)
    fastest = max(lines, key=lambda line: line.get_ydata()[0])
    one = arm(board, model=MODEL, bits=4, browser="chrome", sequence_length=128)
    assert fastest.get_ydata()[0] == pytest.approx(one["decode_tokens_per_s"])


def test_without_a_language_model_there_is_nothing_to_draw(board):
    cells = board.cells[board.cells["requested_model"] != MODEL]
    other = Board.of(cells)
    for kind in (Kind.TOKENS, Kind.DEPTH):
        with pytest.raises(InputError, match="--generate 64 makes some"):
            draw(kind, other, None)


def test_a_history_is_drawn_of_what_is_asked(said, url, tmp_path):
    with open_store(url, create=False) as store:
        whole = Board.load(store, f"model = {MODEL}")
        figure = draw(Kind.HISTORY, whole, store, "decode_tokens_per_s")
        assert texts_of(figure)[0] == "decode_tokens_per_s over time"
        assert texts_of(draw(Kind.HISTORY, whole, store))[0] == "decode_ms_median over time"
    path = tmp_path / "history.svg"
    said("plot", "history", "--metric", "load_ms", "--output", str(path))
    assert path.stat().st_size > 1000
    assert main(["plot", "tokens", "--metric", "load_ms", "--db", url]) == 2
    assert main(["plot", "history", "--metric", "canary_ms", "--db", url]) == 2


def test_samples_of_two_phases_are_not_mixed(url):
    with open_store(url, create=False) as store:
        figure = draw(
            Kind.SAMPLES, Board.load(store, f"model = {MODEL} and outcome = ok and bits = 16"), store
        )
    drawn = [value for line in figure.axes[0].get_lines() for value in line.get_xdata()]
    assert drawn and max(drawn) < 50, "a token takes 20 to 42 ms, the prompt 60 and more"
    assert all("a token after the prompt" in one.get_text() for one in figure.legends[0].get_texts())


def test_the_report_has_them(said, tmp_path):
    path = tmp_path / "report.md"
    said("report", "--format", "markdown", "--output", str(path), "--min-cosine", "0.98")
    text = path.read_text()
    assert "Tokens per second" in text and "tokens/s, the first after" in text
    assert (tmp_path / "report-tokens.svg").exists() and (tmp_path / "report-depth.svg").exists()
