"""Odd values for every option and argument: whatever is typed, there is no traceback."""

import contextlib
import os

import pytest
from records import fill

import generate
from bench.cli import main
from bench.store import check, open_store

ODD = [
    *("", " ", "-1", "0", "9" * 30, "1e999", "nan", "ü漢\u202e", "a" * 5000, "..", "%s%d{}"),
    *("\udcff", "'; drop table runs --", "\n", "[x]", "--", "1.5", "٣", "\x7f\x1b[31m"),
]
# No path of the machine's own is among these: root would write there. tests/report/test_report_output.py
FEW = ["", "9" * 30, "a" * 5000, "\udcff", "\n"]  # where each takes a run
# These wait, install, download, or start every browser.
PASSED_OVER = {"bench scheduler run", "bench explore", "bench browsers install", "bench doctor"}
PASSED_OVER |= {"bench models fetch", "bench models clear", "bench engines install"}
ARGUMENTS = {
    "FILE": "c.toml",
    "NAME": "nightly",
    "RUN": "1",
    "BASE": "bits=4",
    "OTHER": "bits=16",
    "FOLDER": "out",
    "DIR": "out",
    "PATH": "in",
    "MODEL": "bert-tiny",
    "support": "support",
}
RUN = [
    "--browser",
    "safari",
    "--model",
    "bert-tiny",
    "--bits",
    "4",
    "--sequence-length",
    "8",
    "--iterations",
    "1",
]
FILE = """name = "one"
[matrix]
model = ["bert-tiny"]
browser = ["safari"]
platform = ["webgpu"]
bits = [4]
"""
COMMANDS = [(name, function) for name, function in generate.commands() if name not in PASSED_OVER]


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize(("name", "function"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_an_odd_value_is_used_or_refused_in_one_line(tmp_path, monkeypatch, capfd, name, function, every):
    monkeypatch.chdir(tmp_path)
    for variable, value in (("BENCH_OFFLINE", "1"), ("BENCH_CACHE", str(tmp_path / "cache"))):
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("BENCH_DB", "sqlite:///b.sqlite")
    (tmp_path / "c.toml").write_text(FILE)
    with open_store("sqlite:///b.sqlite") as store:
        fill(store)
    given = generate.parameters(function)
    plain = [one for one in given if not one.is_option]
    values = [ARGUMENTS[one.metavar.strip("[]").partition("|")[0]] for one in plain]
    path = [*name.split()[1:], *(RUN if name == "bench run" else [])]
    odd_ones = ODD if every else FEW
    if name in ("bench run", "bench campaign run"):  # each takes a second, most of them to start a runner
        odd_ones = FEW if every else FEW[:2]
    lines = [[*path, *values[:at], odd, *values[at + 1 :]] for at in range(len(plain)) for odd in odd_ones]
    options = [one for one in given if one.is_option and one.metavar]
    lines += [[*path, *values, one.names[0], odd] for one in options for odd in odd_ones]
    for line in lines:
        with contextlib.suppress(OSError):
            os.rename("out", "b.out")  # noqa: PTH104
        code = main(line)
        said = capfd.readouterr().err
        assert code in (0, 1, 2, 3, 4), line
        if code == 2:
            # Notes may stand before it where something was looked at first.
            errors = [one for one in said.splitlines() if one.startswith("error: ")]
            assert len(errors) == 1 and said.endswith(f"{errors[0]}\n"), (line, said)
    assert check("sqlite:///b.sqlite").problems == []
