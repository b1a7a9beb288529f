"""The documents say what the code does: commands, columns, settings, and links that lead somewhere.

`test_docs_run.py` types their commands; here nothing is started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reader import fences

import generate
import made_hearsay
import made_troubles
from bench import settings
from bench.browsers import BROWSERS
from bench.harness.outcome import Category, Outcome, Stage, categorize
from bench.metrics import METRICS
from bench.plan.measuring import MEASURING
from bench.plan.request import FIELDS
from bench.store import open_store
from bench.store.schema import SUMMARY
from made_sets import RESULTS, result_sets

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += [ROOT / "results" / "README.md", ROOT / "bench" / "shaders" / "README.md"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COMMANDS: dict[str, Any] = dict(generate.commands())
LANGUAGES = {"bash", "text", "python", "toml", "ini", "yaml"}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def made() -> dict[Path, str]:
    return generate.pages()


@pytest.mark.parametrize("path", [pytest.param(page, id=named(page)) for page in generate.MADE_PAGES])
def test_a_made_page_is_what_the_code_makes(made: dict[Path, str], path: Path) -> None:
    assert set(made) == set(generate.MADE_PAGES)
    assert path.read_text(encoding="utf-8") == made[path], "type `make docs`"


def test_no_other_page_claims_to_be_made() -> None:
    said = {page for page in PAGES if page.read_text(encoding="utf-8").startswith(generate.MADE)}
    assert said == {page for page in generate.MADE_PAGES if page.suffix == ".md"}


def test_every_command_metric_and_column_is_documented() -> None:
    commands, metrics, columns = text("docs/cli.md"), text("docs/metrics.md"), text("docs/summary.md")
    assert "bench run" in COMMANDS and "bench db check" in COMMANDS
    assert [name for name in COMMANDS if f"\n## {name}\n" not in commands] == []
    assert [metric.name for metric in METRICS if f"| `{metric.name}` |" not in metrics] == []
    assert [column.name for column in SUMMARY.c if f"| `{column.name}` |" not in columns] == []
    assert [column.name for column in SUMMARY.c if not column.comment] == []


def test_the_vocabularies_are_documented() -> None:
    page, troubles = text("docs/outcomes.md"), text("docs/troubleshooting.md")
    words = [*Outcome, *Stage, *Category]
    assert [word for word in words if f"| `{word}` |" not in page or not word.meaning] == []
    bad = [*(one for one in Outcome if not one.measured and one is not Outcome.ERROR), *Category]
    assert [word for word in bad if f"\n### {word}\n" not in troubles] == []


def test_every_word_that_was_seen_is_in_troubleshooting() -> None:
    """The faults' golden messages, and those of every stored run that did not end well."""
    page = text("docs/troubleshooting.md")
    assert [one.words for one in made_troubles._provoked() if one.words not in page] == []
    stored = [record for one in result_sets() for record in one.records.values() if record.error]
    assert len(stored) > 20
    said = {" ".join(record.error.message.split()) for record in stored if record.error}
    assert [words for words in said if words not in page] == []


@pytest.mark.parametrize(
    ("words", "category"),
    [
        ("GPUCompilationMessage: 1:1 unable to parse right side of % expression", "shader_compilation"),
        ("Error: GET /r/TOKEN/shaders/layer_norm.wgsl answered 404", "other"),
        ("Error: Error while parsing WGSL: :1:1 error: unresolved type", "shader_compilation"),
        (
            "GPUPipelineError: workgroup_size(512, 1, 1) that exceeds the maximum allowed",
            "implementation_limit",
        ),
        ("TypeError: target[String(...)] is not a function", "unsupported_operation"),
        ("InvalidSessionIdException: invalid session id", "other"),
        ("Error: there is no room for a hint", "other"),
        ("RangeError: oom", "out_of_memory"),
        ("GPUValidationError: usage doesn't include BufferUsage::CopyDst.", "validation"),
    ],
)
def test_words_that_were_seen_are_sorted(words: str, category: str) -> None:
    name, _, message = words.partition(": ")
    assert categorize(name, message) == category


def test_a_page_for_every_browser_and_only_from_stored_runs() -> None:
    for name in BROWSERS:
        page = text(f"docs/browsers/{name}.md")
        asked = [
            record
            for one in result_sets()
            for record in one.records.values()
            if record.requested.browser_name == name
        ]
        assert asked, f"no stored run was asked of {name}"
        if all(record.outcome is Outcome.UNAVAILABLE for record in asked):
            assert "## Nothing was measured" in page and " ms" not in page
    quoted = text("tests/data/announcement-2025-03.md")
    assert len(made_hearsay.claims()) >= 12
    assert [claim for claim in made_hearsay.claims() if claim not in quoted] == []


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/runs.sqlite")), ids=lambda path: path.parent.name)
def test_a_published_set_can_be_read_as_it_lies(path: Path) -> None:
    """Of today's schema, in one file, and named in results/README.md."""
    assert [one.name for one in path.parent.iterdir() if re.search(r"sqlite.+|backup", one.name)] == []
    assert path.read_bytes()[18:20] == b"\x01\x01", (
        "in WAL mode, which a folder without write bits cannot read"
    )
    with open_store(f"sqlite:///{path}", create=False) as store:
        assert store.rows(limit=1)
    assert f"| `{path.parent.name}` |" in text("results/README.md")


def test_every_setting_is_documented() -> None:
    """Those of `bench.settings`, and every variable of ours that any file of the package reads."""
    known = {name for names in settings._ENVIRONMENT.values() for name in names.values()}
    for path in (ROOT / "bench").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        known |= set(re.findall(r"environ(?:\.get)?[(\[]\s*\"((?:BENCH|WEBNN)_\w+)", source))
    known |= {field.flag.variable for field in (*FIELDS, *MEASURING) if field.flag.variable}
    assert {"BENCH_DB", "BENCH_ITERATIONS", "CHROME_BINARY", "WEBNN_EXPERIMENTAL_PRECISION"} <= known
    assert known == set(settings.VARIABLES)
    assert {name for name in known if f"| `{name}` |" not in text("docs/settings.md")} == set()


def examples() -> Iterator[Any]:
    """Every `bench` command of a block, and every one that stands whole in a sentence or a table."""
    for page in PAGES:
        found = [one for fence in fences(page) for one, _ in fence.commands if fence.language == "bash"]
        found += re.findall(r"`(bench \w[^`\n]*)`", page.read_text(encoding="utf-8"))
        for line in dict.fromkeys(one for one in found if one.startswith("bench ")):
            yield pytest.param(line, id=f"{named(page)}: {line}")


@pytest.mark.parametrize("line", list(examples()))
def test_an_example_is_a_command_with_its_own_options(line: str) -> None:
    # A sentence may break off after a word: "`bench report`", "`bench models clear, then bench run ...`".
    for part in re.split(r", then (?=bench )", line):
        if any(name.startswith(f"{part} ") for name in COMMANDS):  # a group, spoken of as a whole
            continue
        known = [name for name in COMMANDS if f"{part} ".startswith(f"{name} ")]
        name = max(known, key=len, default=None)
        assert name is not None, f"no such command: {part}"
        options = {one for given in generate.parameters(COMMANDS[name]) for one in given.names}
        assert set(re.findall(r"(?<=\s)--[\w-]+", part)) <= options


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert {fence.language for fence in fences(page)} <= LANGUAGES
    assert page.read_text(encoding="utf-8").count("\n```") == 2 * len(fences(page)), "a block was not read"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_and_named_file_is_there(page: Path) -> None:
    words = page.read_text(encoding="utf-8")
    links = {page.parent / link for link in re.findall(r"\]\(([^)#:\s]+)[^):]*\)", words)}
    found = re.findall(r"`((?:bench|tests|docs|migrations)/[\w./-]+\w)`", words)
    named = {name for name in found if "NAME" not in name}  # stands for what somebody adds
    missing = [link for link in links if not link.exists()]
    missing += [ROOT / name for name in named if not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_is_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.M))
    used = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", text(page), re.M))
    assert {name for pair in used for name in pair if name} <= targets
    assert used
