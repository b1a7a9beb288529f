"""A field stands in one place: one more line in its class, and everything that lists fields has it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.plan.fields import fields_of
from bench.plan.measuring import MEASURING, Measuring, kept
from bench.plan.request import FIELDS, NAMED, OPTIONS, Request

HERE = Path(bench.__file__).parent
# What somebody writes into `bench/plan/request.py` for an axis of `bench run`, and nothing else.
TOY = """
    flavour: Annotated[
        Literal["plain", "sweet"], Flag("Taste: {values}", several=True), Shown("taste", "{} taste")
    ] = Field(default="plain", description="How it tastes")
"""
# And into `bench/plan/measuring.py` for a setting of a run.
PAUSE = """
    pause: Annotated[float, Flag("Rest between samples")] = Field(default=0.5, gt=0, le=9)
"""
LOOK = """
import json, sys
from bench.cli.asked import Asked
from bench.plan.measuring import kept
from bench.plan.reading import read_campaign
from bench.plan.request import Request
from bench.report import alike, board, compare, compare_text, repeat, words
from bench.settings import load_settings
from bench.store.schema import SUMMARY, CellRow

text = '''name = "n"
[matrix]
model = ["m"]
platform = ["webgpu"]
browser = ["chrome"]
bits = [4]
flavour = ["plain", "sweet"]
[[exclude]]
flavour = "plain"
[run]
pause = 2.0
'''
file, arms = read_campaign(text, "n.toml")
asked = Asked.of(platform=["webgpu"], browser=["chrome"], model=["m"], bits=["4"], flavour=["plain", "sweet"])
typed = asked.arms(load_settings())
rows = [{f"requested_{name}": value for name, value in one.model_dump().items()} for one in typed]
column = CellRow.__table__.c.requested_flavour
places = list(CellRow.__table__.c.keys())
plans = [one.model_dump(exclude_defaults=True) for one in typed]
print(json.dumps({
    "file": [one.flavour for one in arms], "labels": [one.label for one in typed],
    "column": [str(column.type), column.nullable], "meaning": SUMMARY.c.requested_flavour.comment,
    "place": places.index("arm") - places.index(column.name),
    "arms": len(set(typed)), "in_plan": [one.get("flavour") for one in plans],
    "key": "requested_flavour" in board.ASKED, "options": [words.options(row) for row in rows],
    "names": [compare_text.arm_name(row) for row in rows], "repeat": repeat.repeat_commands(rows),
    "settings": [kept(file.run.model_dump())["pause"], Asked.of(pause=3.0).settings()["pause"]],
}))
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Runs Python with a copy of the package that has one field and one setting more."""
    folder = tmp_path_factory.mktemp("toy")
    shutil.copytree(HERE, folder / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    for name, anchor, more in (
        ("request.py", "    scheme: Annotated[", TOY),
        ("measuring.py", "    roofline: Annotated[", PAUSE),
    ):
        path = folder / "bench" / "plan" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(anchor) == 1
        path.write_text(text.replace(anchor, f"{more.strip(chr(10))}\n{anchor}"), encoding="utf-8")

    def run(*command):
        environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "TERM": "dumb"}
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
            check=False,
        )
        return done

    return run


def test_everything_follows_one_line(toy):
    done = toy("-c", LOOK)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["file"] == ["sweet"]
    assert found["labels"] == ["chrome webgpu 4-bit", "chrome webgpu 4-bit sweet taste"]
    assert found["column"] == ["TEXT", False] and found["meaning"] == "How it tastes" and found["place"] == 3
    assert found["arms"] == 2 and found["in_plan"] == [None, "sweet"] and found["key"]
    assert found["options"] == ["", "sweet taste"]
    assert found["names"][1] == "m chrome webgpu 4-bit 128 tokens sweet taste"
    assert found["repeat"] == [
        "bench run --platform webgpu --browser chrome --model m --bits 4 --flavour plain --flavour sweet"
    ]
    assert found["settings"] == [2.0, 3.0]


def test_the_command_line_has_its_flag(toy):
    shown = " ".join(toy("-m", "bench", "run", "--help").stdout.replace("│", " ").split())
    assert "--flavour" in shown and "Taste: plain or sweet; repeatable." in shown
    assert "--pause" in shown and "Rest between samples." in shown
    refused = toy("-m", "bench", "run", "--flavour", "sour")
    assert refused.returncode == 2 and refused.stdout == ""
    assert refused.stderr == "error: --flavour sour: not allowed; allowed: plain, sweet\n"
    refused = toy("-m", "bench", "run", "--pause", "10")
    assert refused.stderr == "error: --pause 10.0: must be greater than 0, at most 9\n"


def test_every_field_is_said_or_is_known_not_to_be():
    """A field without a phrase would make two arms look alike; that of the weights is a path."""
    said = {field.name for field in (*NAMED, *OPTIONS)}
    assert {field.name for field in FIELDS} - said == {"weights"}
    assert all(field.about for field in (*FIELDS, *MEASURING))


def test_a_field_of_another_kind_is_refused():
    class Odd(Request):
        table: dict[str, int]

    with pytest.raises(TypeError, match="the field table is dict"):
        fields_of(Odd)


def test_settings_of_an_older_campaign_lack_what_is_newer():
    assert kept({"iterations": 3, "unknown": 1}) == {"iterations": 3}
    assert Measuring(**kept({"iterations": 3})).timeout == 180.0
