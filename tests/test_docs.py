"""The documents say what the code does: commands, metrics, settings, and links that lead somewhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from bench import settings
from bench.harness.outcome import Category, Outcome, Stage
from bench.metrics import METRICS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
MADE: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "generate.py"))
COMMANDS: dict[str, Any] = dict(MADE["commands"]())


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(MADE["pages"]()), ids=lambda path: path.name)
def test_a_made_page_is_what_the_code_makes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == MADE["pages"]()[path], "type `make docs`"


def test_every_command_and_metric_is_documented() -> None:
    commands, metrics = text("docs/cli.md"), text("docs/metrics.md")
    assert "bench run" in COMMANDS and "bench db check" in COMMANDS
    assert [name for name in COMMANDS if f"\n## {name}\n" not in commands] == []
    assert [metric.name for metric in METRICS if f"| `{metric.name}` |" not in metrics] == []


def test_the_contract_names_every_word() -> None:
    page = text("docs/architecture.md")
    words = [*(f"| `{one}` |" for one in Outcome), *Category, ", ".join(Stage)]
    assert [word for word in words if word not in page] == []


def test_every_setting_is_in_the_readme() -> None:
    """Those of `bench.settings`, and every variable of ours that any file of the package reads."""
    known = {name for names in settings._ENVIRONMENT.values() for name in names.values()}
    for path in (ROOT / "bench").rglob("*.py"):
        read = re.findall(
            r"environ(?:\.get)?[(\[]\s*\"((?:BENCH|WEBNN)_\w+)", path.read_text(encoding="utf-8")
        )
        known |= set(read)
    assert {"BENCH_DB", "CHROME_BINARY", "WEBNN_EXPERIMENTAL_PRECISION"} <= known
    assert {name for name in known if f"`{name}`" not in text("README.md")} == set()


def examples() -> list[tuple[str, str]]:
    """Every line of a code block that types a `bench` command, with its page."""
    found = []
    for page in PAGES:
        if page.name == "cli.md":  # usage lines, made from the very commands
            continue
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            found += [(page.name, line.strip()) for line in block.splitlines() if line.startswith("bench ")]
    return found


@pytest.mark.parametrize(("page", "line"), examples())
def test_an_example_is_a_command_with_its_own_options(page: str, line: str) -> None:
    name = max((name for name in COMMANDS if f"{line} ".startswith(f"{name} ")), key=len, default=None)
    assert name is not None, f"{page}: no such command: {line}"
    options = {one for given in MADE["parameters"](COMMANDS[name]) for one in given.names}
    assert set(re.findall(r"(?<=\s)--[\w-]+", line)) <= options


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_and_named_file_is_there(page: Path) -> None:
    words = page.read_text(encoding="utf-8")
    links = {page.parent / link for link in re.findall(r"\]\(([^)#:]+)\)", words)}
    named = set(re.findall(r"`((?:bench|tests|docs|migrations)/[\w./-]+\w)`", words))
    missing = [link for link in links if not link.exists()]
    missing += [ROOT / name for name in named if not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_is_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.M))
    used = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", text(page), re.M))
    assert {name for pair in used for name in pair if name} <= targets
    assert used
