"""Tables at any width: no number is cut into another, no row loses what tells it apart."""

import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.cli.tables import Layout, fields, print_table, say

NUMBER = re.compile(r"\d[\d.,:e+-]*\d|\d")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
HEAD = ["run", "browser", "model", "bits", "ms [95 %]", "verdict", "note"]


def numbers(text):
    return set(NUMBER.findall(text))


def printed(width, call, *arguments, **options):
    file = io.StringIO()
    call(Console(file=file, width=width, force_terminal=True, highlight=False), *arguments, **options)
    return ANSI.sub("", file.getvalue())


figure = st.floats(1e-4, 1e6).map(lambda value: f"{value:.3f}")
interval = st.tuples(figure, figure, figure).map(lambda three: "{} [{}, {}]".format(*three))
word = st.from_regex(r"[a-zé漢]{1,9}|[0-9]{1,12}(\.[0-9]{1,9})?|/[a-z0-9/.]{1,60}", fullmatch=True)
prose = st.lists(word, max_size=9).map(" ".join)
ROW = st.tuples(
    st.integers(1, 10**6).map(str),
    st.sampled_from(["chrome 153.0", "firefox 142.0.1"]),
    st.sampled_from(["all-MiniLM-L6-v2", "whisper-tiny.en"]),
    st.sampled_from(["16", "4 → 8 (mean 5.2)"]),
    st.one_of(interval, st.just("")),
    st.sampled_from(["faster", "inconclusive: 2048 more sessions each"]),
    prose,
)


@settings(max_examples=150)
@given(
    st.lists(ROW, max_size=6),
    st.integers(40, 200),
    st.lists(st.sampled_from(["bits", "ms [95 %]", "note"]), unique=True),
)
def test_every_number_printed_stands_whole_in_the_source(rows, width, spare):
    text = printed(width, print_table, HEAD, rows, Layout(spare=spare, right={"ms [95 %]"}))
    source = {word for row in [HEAD, *rows] for cell in row for word in cell.split()}
    # No word at all is cut, so no number is.
    said = {"every", "row:", "not", "shown,", "for", "the", "terminal", "is", "narrow:"}
    found = set(text.split())
    assert {one.rstrip(",") for one in found - said} <= {one.rstrip(",") for one in source}
    assert numbers(text) <= {one for word in source for one in numbers(word)}
    left = re.search(r"narrow:([^$]*)", text)
    for place, name in enumerate(HEAD):
        if left is not None and name in " ".join(left[1].split()).split(", "):
            assert name in spare
            continue
        for row in rows:
            assert set(row[place].split()) <= found | {one.rstrip(",") for one in found}


@given(st.lists(st.tuples(word, prose), max_size=5), st.integers(40, 200))
def test_fields_and_sentences_keep_their_words(pairs, width):
    text = printed(width, fields, pairs)
    assert text.split() == [word for name, value in pairs for word in [*name.split(), *value.split()]]
    for _, value in pairs:
        assert printed(width, say, value).split() == value.split()
    longest = max((len(line) for line in text.splitlines()), default=0)
    words = [len(word.encode()) for pair in pairs for word in " ".join(pair).split()]
    assert longest <= max(width, *words, 0) + 8 if words else longest == 0


def test_a_table_that_fits_is_one_line_a_row():
    rows = [["1", "chrome", "0.981 [0.965, 0.983]"], ["2", "firefox", ""]]
    lines = printed(60, print_table, ["run", "browser", "ratio"], rows).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["1", "chrome", "0.981", "[0.965,", "0.983]"],
        ["2", "firefox"],
    ]


def test_what_all_rows_share_is_said_once_and_spared_columns_are_named():
    rows = [
        [str(run), "all-MiniLM-L6-v2", f"0.{run}81 [0.965, 0.983]", f"123456{run}", "ok"] for run in range(3)
    ]
    head = ["run", "model", "ratio", "bytes", "verdict"]
    text = printed(44, print_table, head, rows, Layout(spare=["bytes"], own=["verdict"]))
    assert "every row: model all-MiniLM-L6-v2" in text and "not shown" not in text
    text = printed(40, print_table, head, rows, Layout(spare=["bytes"], own=["verdict"]))
    assert (
        "narrow: bytes" in " ".join(text.split()) and "1234561" not in text and "0.281 [0.965, 0.983]" in text
    )


@pytest.mark.parametrize("width", [40, 50])
def test_what_can_spare_nothing_is_stacked(width):
    rows = [["7", "chrome 153.0.8010.0", "a-model-with-a-long-name", "12.3 [12.0, 12.6]", "slower"]]
    text = printed(width, print_table, ["run", "browser", "model", "ms [95 %]", "verdict"], rows)
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["run", "7"] and ["ms", "[95", "%]", "12.3", "[12.0,", "12.6]"] in lines


ROOT = Path(__file__).resolve().parents[2]
BENCH = Path(sys.executable).with_name("bench")
HUNT, BROWSERS = (
    f"sqlite:///{ROOT}/results/2026-11-{name}/runs.sqlite" for name in ("24-hunt", "25-software")
)
COMMANDS = [
    f"query --limit 12 --db {BROWSERS}",
    f"query --where 'id in (3, 4)' --columns id,browser_binary,user_agent,model_sha256 --db {BROWSERS}",
    f"query --group-by browser,platform,bits --db {BROWSERS}",
    f"errors --db {BROWSERS}",
    f"recommend --db {BROWSERS}",
    f"compare monday tuesday --db {HUNT}",
    f"compare platform=webgpu platform=webnn --campaign precision --where 'bits in (16, 8)' --db {BROWSERS}",
    f"history --db {HUNT}",
    f"campaign list --db {BROWSERS}",
    "models list",
    "browsers list",
    "faults list",
]


def in_a_terminal(command, width):
    """What a command prints into a terminal of that width, which is read as it comes and wraps nothing."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    done = subprocess.Popen(
        [BENCH, *shlex.split(command)], stdout=theirs, stderr=subprocess.DEVNULL, env={**env, "TERM": "xterm"}
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    done.wait()
    return ANSI.sub("", said.decode())


def in_a_pipe(command):
    done = subprocess.run([BENCH, *shlex.split(command)], capture_output=True, text=True, check=False)
    return done.stdout


# Every day those of the widest tables.
EVERYDAY = (0, 5, 7)


@pytest.mark.parametrize(
    "command",
    [one if i in EVERYDAY else pytest.param(one, marks=pytest.mark.long) for i, one in enumerate(COMMANDS)],
)
def test_a_command_prints_only_numbers_that_it_has(command):
    source = numbers(in_a_pipe(command))
    assert source
    for width in (40, 80, 140):
        text = in_a_terminal(command, width)
        assert numbers(text) <= source, f"at {width} columns:\n{text}"


def test_rows_that_differ_are_told_apart_at_80_columns():
    """Model and options are never left out of a comparison, nor is a ratio or a verdict."""
    command = f"compare bits=16 bits=4 --force --db {BROWSERS}"
    whole, narrow = in_a_pipe(command).split(), in_a_terminal(command, 80)
    ratios = re.findall(r"\d\.\d{3} \[\d+\.\d{3}, \d+\.\d{3}\]", in_a_pipe(command))
    assert ratios and all(ratio in narrow for ratio in ratios)
    for name in {word for word in whole if "MiniLM" in word or "whisper" in word or "bert" in word}:
        assert name in narrow
