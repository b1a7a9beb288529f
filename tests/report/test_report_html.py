import os
from html.parser import HTMLParser

import pytest
from records import fill, record, request

from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.record import ErrorInfo
from bench.report.html import page, repeat_commands, write_report
from bench.report.output import write_file
from bench.store import open_store


class Balanced(HTMLParser):
    """Fails where a tag is closed that was not opened, and collects what would load something."""

    def __init__(self):
        super().__init__()
        self.open, self.loads = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)
        names = ("src", "href", "xlink:href")
        self.loads += [value for name, value in attrs if name in names and not str(value).startswith("#")]
        if tag in ("script", "link", "img", "iframe"):
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
    return page(store.summary(**options), store.cells(**options), source=store.url)


def test_one_page_with_everything_in_it(store):
    fill(store, leave=1)
    text = made(store)
    parser = Balanced()
    parser.feed(text)
    assert parser.open == [] and parser.loads == []
    order = ["What runs where", "Latency", "All numbers", "What failed", "Environments", "How to repeat it"]
    places = [text.index(f"<h2>{title}") for title in order]
    assert places == sorted(places)
    assert "10 of 24 cells" in text and "not run 1" in text and "SOFTWARE ADAPTER" in text
    assert "int2" in text and "<svg" in text and "prefers-color-scheme: dark" in text
    assert ">nan<" not in text and ">None<" not in text and "&lt;NA&gt;" not in text


def test_foreign_words_stay_words(store):
    cell = store.create_campaign("<i>", [request()], seed=1, settings={}).cells[0]
    nasty = ErrorInfo(stage="build", category="other", name="</td>", message="<script>alert(1)</script>")
    store.record(cell.id, record(outcome=Outcome.ERROR, error=nasty))
    text = made(store)
    assert "<script>" not in text and "&lt;script&gt;alert(1)" in text


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
    assert "777" not in text and "2 of 2" in text
