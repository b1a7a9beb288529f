"""Every command, as a user has it: the installed `bench`, one process a command, nothing imported before."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from reader import fences
from test_docs import PAGES

from bench import __version__

HIDDEN = {"--fault"}  # for those who test the harness: in no help on purpose
BENCH = Path(sys.executable).with_name("bench")


def bench(*words):
    return subprocess.run([BENCH, *words], capture_output=True, text=True, check=False, timeout=120)


def helped(path):
    """What `bench PATH --help` prints; it must be that command's own."""
    done = bench(*path, "--help")
    assert done.returncode == 0, f"bench {' '.join(path)}: {done.stdout}{done.stderr}"
    text = re.sub(r"[│╭╰─╮╯]", " ", done.stdout)
    usage = " ".join(["bench", *path])
    assert re.search(rf"Usage: {usage}(?= *(\[|[A-Z]|$))", text, re.MULTILINE), done.stdout
    return text


def named(text):
    """The commands that a help text lists."""
    listed = text.partition(" Commands ")[2]
    return re.findall(r"^ {2,4}([a-z]+)(?:  |$)", listed, re.MULTILINE)


@pytest.fixture(scope="module")
def tree():
    """Each command's path with its help, walked from `bench --help`."""
    found = {(): helped(())}
    todo = [(name,) for name in [*named(found[()]), "faults"]]  # faults is there but not listed
    with ThreadPoolExecutor(3) as pool:
        while todo:
            texts = dict(zip(todo, pool.map(helped, todo), strict=True))
            found |= texts
            todo = [(*path, name) for path, text in texts.items() for name in named(text)]
    return found


def spoken(page):
    """Every command that a page types in a block, and every one that stands in a sentence."""
    found = [one for fence in fences(page) for one, _ in fence.commands if fence.language == "bash"]
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found += re.findall(r"`([^`\n]*)`", text)
    for line in found:
        # Where it begins a line, follows a pipe, a path to it, variables or another command.
        yield from re.findall(r"(?:^|[|;&] *|/bin/|=\S+ |, then )bench ([^|;&]*)", line)
    yield from re.findall(r"^[ \w-]*(?:ExecStart=|run: )\S*/bin/bench (.*)$", page.read_text(), re.MULTILINE)


def test_every_command_of_the_help_answers_for_itself(tree):
    assert ("campaign", "schedule") in tree and ("db", "import") in tree and ("scheduler", "run") in tree
    assert len(tree) > 35


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_there_with_its_options(tree, page):
    for line in spoken(page):
        words, path = line.split(), ()
        while len(path) < len(words) and (*path, words[len(path)]) in tree:
            path = (*path, words[len(path)])
        group = [one for one in tree if len(one) == len(path) + 1 and one[: len(path)] == path]
        rest = words[len(path) : len(path) + 1]
        # A group may be spoken of as a whole, and asked for its help; else one of its commands comes next.
        assert not (group and rest and re.fullmatch(r"[a-z]+", rest[0])), f"bench {line}: no such command"
        for option in set(re.findall(r"(?<!\S)--[\w-]+", line)) - HIDDEN:
            assert re.search(rf"{option}\b", tree[path]), f"bench {line}: {option} is not in its help"


def test_a_module_registers_only_commands_of_its_own():
    """What another module adds is there for whoever happened to import that one, and for nobody else."""
    for path in (Path(__file__).resolve().parents[2] / "bench" / "cli").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        used = set(re.findall(r"^@?(\w+_app)\.(?:command|add_typer|callback)", text, re.MULTILINE))
        made = set(re.findall(r"^(\w+_app) = typer", text, re.MULTILINE))
        assert used <= made, path


@pytest.mark.parametrize("command", [[BENCH], [sys.executable, "-m", "bench"]], ids=["bench", "python -m"])
def test_version(command):
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"webquant-bench {__version__}\n", "")
