"""Real browsers through a real Selenium Grid on this machine."""

import contextlib
import json
import socket
import time
import urllib.request

import grid
import pytest

from bench.browsers import BROWSERS
from bench.browsers.grid import browser_of, shown
from bench.cli import main
from bench.harness.asked import RunSettings
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.models.catalog import resolve
from bench.plan.request import Request
from bench.settings import HarnessSettings, Settings
from bench.store import open_store

from .conftest import require

pytestmark = pytest.mark.browser
TINY = ["--model", "bert-tiny", "--sequence-length", "8", "--iterations", "3", "--bits", "8"]


@pytest.fixture(scope="module")
def url():
    for name in ("chrome", "firefox"):
        require(name)
    with grid.server() as address:
        yield address


@pytest.fixture
def bench(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("BENCH_DB", f"sqlite:///{tmp_path / 'runs.sqlite'}")
    monkeypatch.setenv("BENCH_OFFLINE", "1")

    def run(*arguments):
        code = main(["run", "--json", *TINY, *arguments])
        return code, {run["requested"]["browser"]: run for run in json.loads(capfd.readouterr().out)["runs"]}

    return run


def sessions(url):
    """The browsers that a Grid has open, one of its two slots each."""
    with urllib.request.urlopen(f"{url}/status", timeout=5) as answer:
        slots = [slot for node in json.load(answer)["value"]["nodes"] for slot in node["slots"]]
    assert len(slots) == 2
    return [slot["session"]["capabilities"]["browserName"] for slot in slots if slot["session"]]


def test_both_browsers_run_and_say_who_they_are(bench, url):
    code, runs = bench("--grid", url, "--browser", "chrome", "--browser", "firefox", "--browser", "edge")
    assert code == 0, runs
    for name in ("chrome", "firefox"):
        run = runs[name]
        assert run["outcome"] == "ok", run["error"]
        assert run["environment"]["browser"] == name and run["environment"]["browser_version"]
        assert run["environment"]["cpu"] is None  # the Grid's machine might be any
        assert run["environment"]["cross_origin_isolated"] is True
        assert run["evidence"]["grid"]["url"] == url
    assert runs["edge"]["outcome"] == "unavailable"
    assert "no slot for MicrosoftEdge" in runs["edge"]["error"]["message"]
    assert "chrome" in runs["edge"]["error"]["message"]


@pytest.mark.long
def test_a_page_server_with_an_address_of_its_own(bench, url, monkeypatch):
    """Not a loopback address: browsers must be told to trust it, or there is no WebGPU."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with contextlib.suppress(OSError):
            probe.connect(("192.0.2.1", 9))  # sends nothing
        address = probe.getsockname()[0]
    if address.startswith(("127.", "0.")):
        pytest.skip("this machine has no address but the loopback's")
    monkeypatch.setenv("BENCH_LISTEN", "0.0.0.0")
    monkeypatch.setenv("BENCH_ADDRESS", address)
    browsers = ["firefox"]
    if grid.chromium().source != "fetched":
        browsers.append("chrome")
    code, runs = bench("--grid", url, *(word for name in browsers for word in ("--browser", name)))
    assert code == 0, runs
    for run in runs.values():
        assert run["outcome"] == "ok", run["error"]
        assert run["environment"]["cross_origin_isolated"] is True


def test_a_slot_that_is_another_browser_is_no_run_of_the_one_asked_for(bench, url, monkeypatch):
    # The Grid gives a Firefox to whoever asks for one, whatever it is called here.
    monkeypatch.setattr(type(BROWSERS["edge"]), "options", type(BROWSERS["firefox"]).options)
    request = Request(platform="webgpu", browser="edge", model="bert-tiny", bits=8, sequence_length=8)
    settings = Settings(harness=HarnessSettings(grid=url))
    with PageServer() as server:
        result = execute(
            request, resolve("bert-tiny"), server, settings, RunSettings(iterations=3), lambda _: None
        )
    assert result.record.outcome.value == "unavailable"
    assert result.record.error.name == "OtherBrowser"
    assert "gave firefox" in result.record.error.message
    assert result.record.metrics.latency_ms is None


@pytest.mark.long
def test_a_campaign_names_its_grid(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.delenv("BENCH_DB", raising=False)
    (tmp_path / "c.toml").write_text(
        f'name = "far"\na_a = false\n[matrix]\nmodel = ["bert-tiny"]\nplatform = ["webgpu"]\n'
        f'browser = ["chrome"]\nbits = [4]\nsequence_length = [8]\n[run]\niterations = 3\ngrid = "{url}"\n'
    )
    assert main(["campaign", "run", "c.toml"]) == 0
    with open_store(create=False) as store:
        [row] = store.rows()
        assert row["outcome"] == "ok" and row["cpu"] is None


def test_no_session_is_left_on_the_grid(url):
    """After all of the above: every slot is free again, or will be as soon as its browser has closed.

    A Grid's own session timeout is 300 s: what is free within 20 was asked to close.
    """
    until = time.monotonic() + 20
    while (taken := sessions(url)) and time.monotonic() < until:
        time.sleep(0.5)
    assert not taken, taken


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://127.0.0.1:1", "no Grid answers"),
        ("http://user:secret@127.0.0.1:1", "no Grid answers"),
        ("127.0.0.1:4444", "http://127.0.0.1:4444"),
        ("ftp://127.0.0.1", "not allowed"),
    ],
)
def test_an_unreachable_grid_is_bad_input(address, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DB", raising=False)
    assert main(["run", *TINY, "--grid", address]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line and "secret" not in line
    assert list(tmp_path.iterdir()) == []


def test_what_a_session_calls_itself():
    names = ["chrome", "chrome-headless-shell", "MicrosoftEdge", "msedge", "firefox", "Safari", "opera"]
    assert [browser_of({"browserName": name}) for name in names] == [
        "chrome", "chrome", "edge", "edge", "firefox", "safari", "opera",
    ]  # fmt: skip
    assert browser_of({}) == "unknown"
    assert shown("http://me:word@host:4444/wd") == "http://host:4444/wd"
