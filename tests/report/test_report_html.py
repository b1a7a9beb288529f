import base64
import hashlib
import html
import os
import re
from html.parser import HTMLParser

import pytest
from records import environment, fill, record, request

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.record import ErrorInfo
from bench.report import views
from bench.report.board import Board
from bench.report.choice import choices
from bench.report.html import make_report, page, write_markdown, write_report
from bench.report.output import write_file
from bench.report.repeat import repeat_commands
from bench.store import open_store


class Balanced(HTMLParser):
    """Fails where a tag is closed that was not opened, and collects what would load something."""

    def __init__(self):
        super().__init__()
        self.open, self.loads = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "br", "img", "input"):
            self.open.append(tag)
        names = ("src", "href", "xlink:href")
        self.loads += [value for name, value in attrs if name in names and not str(value).startswith("#")]
        if tag in ("link", "img", "iframe"):
            self.loads.append(tag)

    def handle_startendtag(self, tag, attrs):
        names = ("src", "href", "xlink:href")
        self.loads += [value for name, value in attrs if name in names and not str(value).startswith("#")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def store():
    with open_store("sqlite://") as opened:
        yield opened


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def made(store, **options):
    return page(make_report(store, **options))


def test_one_page_with_everything_in_it(store):
    fill(store, leave=1)
    text = made(store)
    parser = Balanced()
    parser.feed(text)
    assert parser.open == [] and parser.loads == []
    order = ["choice", "support", "charts", "arms", "failures", "runs", "environments", "repeat"]
    places = [text.index(f'<h2 id="{key}"') for key in order]
    assert places == sorted(places)
    assert "10 of 24 cells" in text and "not run 1" in text and "SOFTWARE ADAPTER" in text
    assert "int2" in text and "<svg" in text and "prefers-color-scheme: dark" in text
    assert ">nan<" not in text and ">None<" not in text and "&lt;NA&gt;" not in text


def test_foreign_words_stay_words(store):
    cell = store.create_campaign("<i>", [request()], seed=1, settings={}).cells[0]
    nasty = ErrorInfo(stage="build", category="other", name="</td>", message="<script>alert(1)</script>")
    store.record(cell.id, record(outcome=Outcome.ERROR, error=nasty))
    text = made(store)
    assert text.count("<script>") == 1 and "&lt;script&gt;alert(1)" in text and "</td>: " not in text


def test_an_empty_database_and_a_plan_without_runs(store):
    assert "There are no runs yet" in made(store)
    store.create_campaign("planned", [request()], seed=1, settings={})
    text = made(store)
    assert "0 of 1 cells" in text and "not run 1" in text


def test_one_campaign_only(store):
    fill(store, "first")
    store.create_campaign("second", [request(model="bert-tiny")], seed=1, settings={})
    assert "bert-tiny" not in made(store, campaign="first")


def test_commands_ask_for_exactly_the_arms():
    def cells(*requests):
        return [{f"requested_{k}": v for k, v in r.model_dump().items()} for r in requests]

    grid = [request(bits=b, platform=p) for b in (8, 4) for p in ("webgpu", "webnn")]
    assert repeat_commands(cells(*grid, *grid)) == [
        "bench run --platform webgpu --platform webnn --browser chrome --model all-MiniLM-L6-v2 "
        "--bits 8 --bits 4 --sequence-length 16"
    ]
    assert len(repeat_commands(cells(*grid[:3]))) == 3
    (line,) = repeat_commands(
        cells(request(mixed_precision=True, browser="chrome:/a b", sequence_length=128))
    )
    assert line.endswith("--bits 4 --mixed-precision") and "'chrome:/a b'" in line


def test_a_file_is_written_whole_or_not_at_all(store, tmp_path):
    fill(store)
    path = tmp_path / "deep" / "r.html"
    write_report(store, path)
    assert path.read_text().startswith("<!DOCTYPE html>") or "<!DOCTYPE html>" in path.read_text()[:50]
    for bad in (tmp_path, path / "under.html", tmp_path / ("x" * 300 + ".html"), tmp_path / "a\0.html"):
        with pytest.raises(InputError) as caught:
            write_file(bad, b"x")
        assert "\n" not in str(caught.value)
    assert names(path.parent) == ["r.html"]
    assert names(tmp_path) == ["deep"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "r.html"
    write_file(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["r.html"]


def test_the_hidden_twin_is_in_no_report(store, tmp_path):
    from bench.plan.cells import make_plan

    plan = make_plan([request(bits=4), request(bits=8)], 1, twin=True)
    campaign = store.plan_campaign("twin", plan, settings={})
    for cell in campaign.cells:
        store.record(cell.id, record(cell.request, median=777.0 if cell.role == "twin" else 20.0))
    write_report(store, tmp_path / "page.html", campaign="twin")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ">777" not in text and "2 of 2" in text


def test_the_same_database_gives_the_same_bytes(store):
    fill(store)
    assert made(store) == made(store)


def test_every_link_leads_to_a_row_of_the_page(store):
    fill(store, leave=1)
    text = made(store)
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    links = set(re.findall(r'href="#([^"]+)"', text))
    assert links <= set(ids)
    assert {f"run-{row['id']}" for row in store.rows()} <= set(ids) & links
    shown = {run for found in re.findall(r'data-runs="([^"]+)"', text) for run in found.split()}
    assert {f"run-{run}" for run in shown} <= set(ids)


def test_the_script_of_the_page_is_the_one_its_policy_allows(store):
    fill(store)
    text = made(store)
    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.unescape(text)


def test_the_choice_is_the_fastest_that_keeps_the_limit(store):
    quality = record().quality
    for place, (bits, cosine, median) in enumerate(
        [(16, 1.0, 30.0), (8, 0.999, 20.0), (4, 0.97, 10.0), (2, 0.5, 5.0)]
    ):
        (cell,) = store.create_campaign(f"c{place}", [request(bits=bits)], seed=1, settings={}).cells
        found = quality.model_copy(update={"cosine_fp32": cosine})
        store.record(cell.id, record(cell.request, median=median, quality=found))
    (fell,) = store.create_campaign("fell", [request(bits=4, platform="webnn")], seed=1, settings={}).cells
    fine = quality.model_copy(update={"cosine_fp32": 1.0})
    store.record(fell.id, record(fell.request, Outcome.FALLBACK, 1.0, quality=fine))

    def chosen(**options):
        (one,) = make_report(store, **options).facts["answers"]
        return one

    assert "8-bit" in chosen().take and "20.0 ms" in chosen().numbers
    assert "the fastest of 2 arms with cosine ≥ 0.99" in chosen().why and "5 of 5 cells ran" in chosen().why
    assert "4-bit" in chosen(least_cosine=0.9).take and "fastest of 3" in chosen(least_cosine=0.9).why
    one = chosen(least_cosine=1.0, where="bits < 16")
    assert one.take == "no choice" and "none of 3 keeps cosine ≥ 1; the closest is" in one.why


def test_arms_that_intervals_do_not_tell_apart_go_by_bytes(store):
    fine = record().quality.model_copy(update={"cosine_fp32": 1.0})
    for bits, median in ((16, 20.0), (4, 20.3)):
        (cell,) = store.create_campaign(f"b{bits}", [request(bits=bits)], seed=1, settings={}).cells
        store.record(cell.id, record(cell.request, median=median, quality=fine))
    (one,) = make_report(store).facts["answers"]
    assert "4-bit" in one.take and "the fewest bytes among the 2 fastest" in one.why


def test_a_thousand_cells_are_less_than_5_mb(store):
    asked = [
        request(model=f"model-{model}", browser=browser, platform=platform, bits=bits, sequence_length=tokens)
        for model in range(16)
        for browser in ("chrome", "firefox")
        for platform in ("webgpu", "webnn")
        for bits in (16, 8, 4, 2)
        for tokens in (16, 32, 64, 128)
    ]
    for cell in store.create_campaign("large", asked, seed=1, settings={}).cells:
        outcome = Outcome.TIMEOUT if cell.id % 7 == 0 else Outcome.OK
        store.record(cell.id, record(cell.request, outcome, 1.0 + cell.id))
    text = made(store)
    assert 500_000 < len(text.encode()) < 5_000_000
    assert text.count('<tr id="run-') == 1024 and text.count('<tr id="arm-') == 1024


def test_what_is_left_out_is_said(store, monkeypatch):
    fill(store)
    monkeypatch.setattr(views, "MOST_RUNS", 5)
    monkeypatch.setattr(views, "MOST_ARMS", 7)
    text = made(store)
    assert "19 more runs are in the database only" in text and "17 more arms are left out here" in text
    ids = set(re.findall(r' id="([^"]+)"', text))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= ids


def test_markdown_has_its_pictures_beside_it(store, tmp_path):
    fill(store)
    write_markdown(make_report(store), tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text(encoding="utf-8")
    pictures = re.findall(r"\]\((.+?\.svg)\)", text)
    assert {f"r-{kind}.svg" for kind in ("latency", "memory", "accuracy", "pareto", "samples")} <= set(
        pictures
    )
    assert all((tmp_path / name).is_file() for name in pictures)
    assert "**10 of 24 cells ran" in text and "fallback → 8" in text and "int2" in text
    assert "nan" not in text.split()


def test_hosts_shapes_and_made_up_weights_have_choices_of_their_own(store):
    fine = record().quality.model_copy(update={"cosine_fp32": 1.0})
    synthetic = record().model.model_copy(update={"weights": "synthetic"})
    for place, changes in enumerate(
        [{}, {"environment": environment(cpu="Another CPU")}, {"model": synthetic}, {"model": synthetic}]
    ):
        (cell,) = store.create_campaign(f"c{place}", [request()], seed=1, settings={}).cells
        store.record(cell.id, record(cell.request, median=5.0 + place, quality=fine, **changes))
    (cell,) = store.create_campaign("batch", [request(batch_size=4)], seed=1, settings={}).cells
    store.record(cell.id, record(cell.request, Outcome.CRASHED))
    answers = make_report(store).facts["answers"]
    assert len(answers) == 4
    assert sum("Another CPU" in one.about for one in answers) == 1
    assert sum("SYNTHETIC WEIGHTS" in one.why for one in answers) == 1
    (crashed,) = [one for one in answers if "batch of 4" in one.about]
    assert crashed.take == "no choice" and "no arm ran as requested" in crashed.why


def test_bytes_that_were_not_measured_are_not_the_fewest(store):
    fine = record().quality.model_copy(update={"cosine_fp32": 1.0})
    for place, width in enumerate((16, 4)):
        (cell,) = store.create_campaign(f"c{place}", [request(bits=width)], seed=1, settings={}).cells
        made = record(cell.request, median=5.0, quality=fine)
        if width == 4:
            made.metrics.weight_bytes = None
        store.record(cell.id, made)
    arms = Board.load(store).arms
    [either] = choices(arms)
    assert either.arm["requested_bits"] == 16
    [small] = choices(arms, most_bytes=1)
    assert small.arm is None
    [only] = choices([arm for arm in arms if arm["weight_bytes"] is None], most_bytes=10**9)
    assert only.arm is None and "bytes not measured" in only.why


def test_one_session_below_the_limit_loses_the_choice(store):
    sessions = [(16, 9.0, 1.0), (8, 5.0, 1.0), (8, 5.1, 1.0), (8, 5.2, 0.98)]
    asked = [request(bits=width) for width, _, _ in sessions]
    planned = store.create_campaign("c", asked, seed=1, settings={}, blocks=[0, 0, 1, 2])
    for cell, (_, median, cosine) in zip(planned.cells, sessions, strict=True):
        fine = record().quality.model_copy(update={"cosine_fp32": cosine})
        store.record(cell.id, record(cell.request, median=median, quality=fine))
    [best] = choices(Board.load(store).arms)
    assert best.arm["requested_bits"] == 16 and best.why.startswith("the only arm")


def test_no_choice_without_a_measure_that_could_fail(store):
    """A reranker's single logit has no cosine: nothing is recommended on its account."""
    none = record().quality.model_copy(update={"cosine_fp32": None, "top1_agreement": None})
    planned = store.create_campaign("one", [request(bits=width) for width in (16, 2)], seed=1, settings={})
    for cell in planned.cells:
        store.record(cell.id, record(cell.request, median=5.0, quality=none))
    [one] = choices(Board.load(store).arms)
    assert one.arm is None and "a single number has none" in one.why
    assert [answer.take for answer in make_report(store).facts["answers"]] == ["no choice"]
