"""Memory of a session's processes, held to what a real process of ours is known to hold."""

import subprocess
import sys
import time

import psutil
import pytest

from bench.browsers.chromium import role_of
from bench.browsers.firefox import Firefox
from bench.browsers.webkitgtk import WebKitGtk
from bench.harness.memory import MemoryWatch
from bench.harness.outcome import Stage

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
# For each line of its input it holds so many MB for a moment, gives them back, and says so.
HOLDER = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    held = bytearray(int(line) * 1_000_000)
    for place in range(0, len(held), 4096):
        held[place] = 1
    del held
    print("done", flush=True)
"""


class Holder:
    """A process that takes memory when it is told to."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._process.stdout.readline()
        self.process = psutil.Process(self._process.pid)

    def hold(self, megabytes):
        self._process.stdin.write(f"{megabytes}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def end(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@pytest.fixture
def two():
    found = Holder(), Holder()
    yield found
    for one in found:
        one.end()


def watched(holders, roles):
    """A watch over holders, each of its role."""
    by_pid = {one.process.pid: role for one, role in zip(holders, roles, strict=True)}
    order = iter([by_pid[one.process.pid] for one in holders])
    watch = MemoryWatch(lambda: [one.process for one in holders], lambda _: next(order))
    watch.start()
    until = time.monotonic() + 10
    while not watch.found() and time.monotonic() < until:
        time.sleep(0.02)
    return watch


def test_a_peak_between_two_looks_is_not_lost(two):
    page, gpu = two
    watch = watched(two, ("page", "gpu"))
    watch.enter(Stage.LOAD)
    time.sleep(0.6)  # a look in this stage
    page.hold(200)  # takes and gives back at once: by the next look it is gone
    gpu.hold(50)
    watch.finish()
    found = watch.found()
    for role, held in (("page", 200), ("gpu", 50)):
        one = found[role]
        assert held < one["peak_mb"] - one["before_load_mb"] + 2 < held + 30
        assert one["peak_since_load_mb"] == one["peak_mb"] > one["pss_at_end_mb"] > 1
    assert found["main"] is None and "note" not in found and found["cost_ms"] > 0


def test_the_page_is_the_one_that_grew_since_it_loaded(two):
    old, page = two
    old.hold(150)  # more than the page ever has, before it loads
    watch = watched(two, ("page", "page"))
    watch.enter(Stage.LOAD)
    time.sleep(0.6)
    page.hold(60)
    watch.finish()
    found = watch.found()
    assert found["page"]["peak_mb"] < 130
    assert found["gpu"] is None and found["note"].startswith("the browser has no GPU process")


def test_a_process_that_is_gone_keeps_what_it_had(two):
    page, _ = two
    watch = watched(two, ("page", None))
    watch.enter(Stage.MEASURE)
    page.hold(80)
    time.sleep(1.3)
    page.process.kill()
    page.process.wait(5)
    watch.finish()
    found = watch.found()["page"]
    assert found["peak_mb"] > 80 and "pss_at_end_mb" not in found


def test_where_no_process_can_be_told_there_is_nothing():
    watch = MemoryWatch(list, lambda _: None)
    watch.start()
    watch.finish()
    assert watch.found() == {}
    never = MemoryWatch(list, lambda _: None)
    never.finish()
    assert never.found() == {}


def test_looking_costs_next_to_nothing(two):
    """In the best of three windows: what else the machine does costs the watch time too."""
    watch = watched(two, ("page", "gpu"))
    watch.enter(Stage.MEASURE)
    shares = []
    for _ in range(3):
        begun, before = time.monotonic(), watch.found()["cost_ms"]
        time.sleep(3)
        shares.append((watch.found()["cost_ms"] - before) / (time.monotonic() - begun))
        if shares[-1] < 5:
            break
    watch.finish()
    assert min(shares) < 5, f"{shares} ms a second: more than half a percent of a core"


@pytest.mark.parametrize(
    ("line", "role"),
    [
        ("/opt/chrome/chrome --headless --enable-unsafe-webgpu", "main"),
        ("/opt/chrome/chrome --type=renderer --lang=en --no-zygote", "page"),
        ("/opt/chrome/chrome --type=renderer --extension-process", None),
        ("/opt/chrome/chrome --type=gpu-process --headless", "gpu"),
        ("/opt/chrome/chrome --type=utility --utility-sub-type=network.mojom.NetworkService", None),
        ("/opt/chrome/chrome_crashpad_handler --monitor-self", None),
        ("/opt/driver/chromedriver --port=4444", None),
        ("", None),
    ],
)
def test_chromiums_processes(line, role):
    assert role_of(line.split()) == role


@pytest.mark.parametrize(
    ("line", "role"),
    [
        ("/usr/lib/firefox-esr/firefox-esr --marionette -headless", "main"),
        ("/usr/lib/firefox-esr/firefox-esr -contentproc -isForBrowser -parentPid 7 {a} 3 tab", "page"),
        ("/usr/lib/firefox-esr/firefox-esr -contentproc -parentPid 7 {a} 2 gpu", "gpu"),
        ("/usr/lib/firefox-esr/firefox-esr -contentproc -parentPid 7 {a} 1 socket", None),
        ("/usr/bin/geckodriver --port 4444", None),
    ],
)
def test_firefoxes_processes(line, role):
    assert Firefox().role(line.split()) == role


def test_webkits_processes():
    assert WebKitGtk().role(["/usr/lib/webkit2gtk-4.1/WebKitWebProcess", "7"]) == "page"
    assert WebKitGtk().role(["/usr/bin/Xvfb", ":7"]) is None
