"""Every command of the docs, typed in its order, in a folder of its own, with real browsers.

The everyday form shortens what a page asks of a browser (`EVERYDAY`, and environment variables that
docs/settings.md documents); `make test-long` types everything as it stands. A line that cannot be typed in a
test is in `NOT_TYPED` with the reason. Whatever is in neither is typed, so a line that does not work fails.
`DOCS_WRITE=1` writes what blocks titled "prints" must hold.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import tiny_model
from reader import Reader, fences
from test_docs import PAGES, ROOT, named

from bench.browsers import BROWSERS
from bench.settings import load_settings

# What stands in the docs -> what the everyday form makes of it, on pages that measure.
EVERYDAY = [
    (r'model = "bert-base-uncased"\nbits = \[4\]', 'model = "bert-tiny"\nbits = [8]'),
    (r"(?<!export onnx )all-MiniLM-L6-v2|bert-base-uncased|whisper-tiny\.en", "bert-tiny"),
    (r"smollm2-135m", "llama-tiny"),
    (r"--generate \d+", "--generate 8"),
    (r"\btg64\b", "tg8"),
    (r"@ d128", "@ d8"),
    (r"@ d512", "@ d16"),
    (r"^bench run (?!.*--model)", "bench run --model bert-tiny "),
    (r"sequence_length = \[\d+\]", "sequence_length = [8]"),
    (r"--sequence-length \d+", "--sequence-length 8"),
    (r"bits = \[16, 8, 4, 2\]", "bits = [16, 4]"),
    (r"( --bits 16)( --bits \d+)+", r"\1 --bits 4"),
    (r'\["chrome", "firefox"\]', '["chrome"]'),
    (r"( --browser chrome) --browser firefox", r"\1"),
    (r"--platform both", "--platform webgpu"),
    (r"(python run_real_webgpu_webnn\.py)", r"\1 --model bert-tiny"),
    (r"\bblocks = 10", "blocks = 1"),
    (r"--seconds \d+", "--seconds 2"),
    (r"max_blocks = 20", "max_blocks = 2"),
    (r"max_seconds = \d+", "iterations = 3"),
    (r"^bench doctor$", "bench doctor --browser chrome"),
]
ALWAYS = [(r'load = "refuse"', 'load = "warn"')]  # a machine that runs tests is busy
# Everyday, for what flags do not say.
SHORT = {"BENCH_ITERATIONS": "3", "BENCH_SEQUENCE_LENGTH": "8", "BENCH_OFFLINE": "1"}

_SETS_UP = "sets up the checkout in which this test runs"
_WAITS = "waits until it is ended; tests/cli/test_cli_schedule.py does both"
_GRID = "needs a Grid at that address; tests/browser/test_grid.py has one of its own"
_SHARED = "needs a PostgreSQL at that address; tests/store run on one of their own"
_THEIRS = "a file of another tool, which tests/store makes for itself"
NOT_TYPED = {
    "make demo": "measures for minutes, and writes into the checkout's own results",
    "make test": "would run this test",
    "make test-long": "would run this test",
    "make format": "changes files of the checkout",
    "make docs": "changes files of the checkout; tests/test_docs.py compares them",
    "make notebooks": "changes files of the checkout; tests/test_notebooks.py compares them",
    "make site": "tests/test_site.py builds it in a folder of its own",
    "make venv browsers": _SETS_UP,
    ". .venv/bin/activate": _SETS_UP,
    "bench scheduler run": _WAITS,
    "systemctl enable --now bench-scheduler": "needs systemd and a unit of the system's",
    "bench campaign run nightly.toml --grid http://grid.example:4444": _GRID,
    "bench run --grid http://127.0.0.1:4444 --browser firefox --bits 4": _GRID,
    "export BENCH_LISTEN=0.0.0.0 BENCH_ADDRESS=bench.example": _GRID,
    "export BENCH_DB=postgresql://bench@db.example/bench": _SHARED,
    "bench db import night-42 --db postgresql://USER@HOST/NAME": _SHARED,
    "bench db import llama.json --name desk": _THEIRS,
    "bench db import results/2026-11-24_120000_speedometer": _THEIRS,
    "pip install 'webquant-bench[explore]'": "the package is installed from the checkout",
    "bench explore": "serves until it is ended; tests/cli/test_cli_query.py does both",
    "PYTHONPATH=. python tests/stats/test_stats_calibration.py": "minutes of statistics in worlds made up",
    ".venv/bin/pytest -m long tests/faults/test_kill.py": "is a part of `make test-long`",
}
# On these pages a campaign or database of the page before it is spoken of.
_NIGHTLY = {
    *("bench db upgrade", "bench campaign run nightly.toml", "bench campaign resume nightly"),
    "bench db backup copy.sqlite",
}
PASSED_OVER = {"docs/howto/machines.md": (_NIGHTLY, "the PostgreSQL that the line before names is not there")}
# Where nothing could run (exit code 3), and that is what the page is about.
NOTHING_RAN = [
    (r"docs/browsers/", "--platform webnn", "a refusal is what these pages report"),
    (r"docs/browsers/", "--browser webkitgtk", "it has neither API"),
    (r"docs/browsers/", "--browser edge", "it is on few machines"),
    (r"docs/browsers/", "--browser safari", "it is on macOS only"),
    (r"docs/howto/gpu-host", "bench ", "a machine without a GPU has no adapter behind these flags"),
]
# Pages that take minutes even when shortened, or that say nothing which another page does not type.
LONG = re.compile(r"docs/(browsers/|campaigns|engines|howto/(gpu-host|second-build)|measuring)")
STARTS = re.compile(r"^bench (run|kernels|campaign (run|resume)|doctor)\b|^(python run_real)")


def typed(page: Path) -> list[str]:
    passed = PASSED_OVER.get(named(page), (set(), ""))[0] | NOT_TYPED.keys()
    return [
        command
        for fence in fences(page)
        for command, _ in fence.commands
        if fence.language == "bash" and command not in passed
    ]


def measures(page: Path) -> bool:
    return any(STARTS.search(command) for command in typed(page))


def forms() -> list[object]:
    found: list[object] = []
    for page in PAGES:
        runs = typed(page) or any(fence.language == "python" for fence in fences(page))
        if runs and measures(page):
            long = [pytest.mark.long, pytest.mark.timeout(5400)]
            everyday = [pytest.mark.timeout(900), *([pytest.mark.long] if LONG.match(named(page)) else [])]
            found.append(
                pytest.param(page, True, id=f"{named(page)}", marks=[pytest.mark.browser, *everyday])
            )
            found.append(
                pytest.param(page, False, id=f"{named(page)}-whole", marks=[pytest.mark.browser, *long])
            )
        elif runs:
            found.append(pytest.param(page, False, id=named(page)))
    return found


@pytest.fixture
def place(tmp_path, monkeypatch):
    """What the checkout has and the pages speak of, without what must not be written to."""
    for path in ROOT.glob("results/*/runs.sqlite"):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
    (tmp_path / "run_real_webgpu_webnn.py").symlink_to(ROOT / "run_real_webgpu_webnn.py")
    tiny_model.write(tmp_path / "models" / "mine", pooling=tiny_model.MEAN)
    for name in [name for name in os.environ if name.startswith("BENCH_") and name != "BENCH_CACHE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("BENCH_DB", "CHROME_BINARY", "CHROME_GPU_FLAGS"):  # pages export these; undone at the end
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "short"), forms())
def test_a_page_does_what_it_says(place, monkeypatch, page, short):
    if measures(page) and not BROWSERS["chrome"].builds(load_settings()):
        pytest.skip(f"chrome is not on this machine: {BROWSERS['chrome'].remedy}")
    for name, value in SHORT.items() if short else ():
        monkeypatch.setenv(name, value)
    if short and measures(page):  # of several builds of it the doctor need not start each
        monkeypatch.setenv("CHROME_BINARY", str(BROWSERS["chrome"].find(None, load_settings()).binary))
    may_end = {part: 3 for where, part, _ in NOTHING_RAN if re.match(where, named(page))}
    passed = PASSED_OVER.get(named(page), (set(), ""))[0] | NOT_TYPED.keys()
    Reader(place, [*ALWAYS, *(EVERYDAY if short else ())], passed, may_end).read(page)


def test_what_is_not_typed_stands_in_the_docs_and_has_a_reason():
    written = {
        command
        for page in PAGES
        for fence in fences(page)
        for command, _ in fence.commands
        if fence.language == "bash"
    }
    assert NOT_TYPED.keys() - written == set(), "not in the docs any more"
    assert all(len(reason) > 10 for reason in NOT_TYPED.values())
    for page, (lines, _) in PASSED_OVER.items():
        here = {one for fence in fences(ROOT / page) for one, _ in fence.commands if fence.language == "bash"}
        assert lines <= here


def test_a_command_that_does_not_do_what_the_page_says_fails(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")

    def read(text):
        page = tmp_path / "page.md"
        page.write_text(text)
        Reader(tmp_path, [("shout", "whisper")], {"echo never"}).read(page)

    read('```bash\necho never\necho "shout"    # said softly\n```\n\n```text title="prints"\nwhisper\n```\n')
    read('```python\nprint(1)\n```\n```text title="prints"\n1\n```\n')
    read('```toml title="a.toml"\na = 1\n```\n```bash\ngrep -q "a = 1" a.toml\nfalse    # exit code 1\n```\n')
    with pytest.raises(AssertionError, match=r"ended with 2, not 0:\nerror: No such"):
        read("```bash\nbench nosuchcommand\n```\n")
    with pytest.raises(AssertionError, match="ended with 0, not 1"):
        read("```bash\ntrue    # exit code 1\n```\n")
    with pytest.raises(AssertionError, match="printed"):
        read('```bash\necho one\n```\n```text title="prints"\ntwo\n```\n')
    with pytest.raises(AssertionError, match="command not found"):
        read("```bash\nnosuchprogram | cat; nosuchprogram\n```\n")
