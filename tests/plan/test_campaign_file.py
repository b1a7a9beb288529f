"""Campaign files: what is read, what is refused, and where the refusal points."""

import itertools
import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.plan.campaign import CampaignFile, Matrix, Rule
from bench.plan.reading import line_of, read_campaign
from bench.plan.request import Request

ROOT = Path(__file__).resolve().parents[2]
FILE = """\
name = "nightly"
[matrix]
model = ["bert-tiny"]
platform = ["webgpu", "webnn"]
browser = ["chrome", "firefox"]
bits = [16, 4]
sequence_length = [16]
[[exclude]]
platform = "webnn"
browser = "firefox"
[run]
blocks = 2
seed = 7
"""


def refusal(text):
    with pytest.raises(InputError) as caught:
        read_campaign(text, "x.toml")
    message = str(caught.value)
    assert "\n" not in message and message.startswith("campaign file x.toml")
    return message


def test_the_example_of_the_documents_is_read():
    page = (ROOT / "docs" / "campaigns.md").read_text(encoding="utf-8")
    text = page.split('```toml title="nightly.toml"\n')[1].split("```")[0]
    file, arms = read_campaign(text, "docs")
    assert file.blocks == 20 and file.run.blocks == 10
    assert len(arms) == 2 * 4 + 4 + 2 + 1  # webgpu in both, webnn in chrome only, and the included model


def test_arms_are_the_product_less_the_excluded():
    file, arms = read_campaign(FILE, "x.toml")
    assert file.name == "nightly" and file.a_a is True
    assert [(arm.platform, arm.browser, arm.bits) for arm in arms] == [
        ("webgpu", "chrome", 16), ("webgpu", "chrome", 4), ("webgpu", "firefox", 16),
        ("webgpu", "firefox", 4), ("webnn", "chrome", 16), ("webnn", "chrome", 4),
    ]  # fmt: skip
    assert {arm.sequence_length for arm in arms} == {16}


def test_an_include_is_the_matrix_with_other_axes():
    text = FILE + '[[include]]\nmodel = "all-MiniLM-L6-v2"\nbrowser = ["chrome"]\nplatform = "webgpu"\n'
    _, arms = read_campaign(text, "x.toml")
    more = [arm for arm in arms if arm.model == "all-MiniLM-L6-v2"]
    assert [(arm.browser, arm.bits) for arm in more] == [("chrome", 16), ("chrome", 4)]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("blocks = 2", "blokcs = 2", ["line 12", "run.blokcs", "unknown key", "blocks, seed"]),
        ("[run]", "[runs]", ["line 11", "runs", "unknown key", "matrix, include"]),
        ("bits = [16, 4]", "bits = []", ["line 6", "matrix.bits", "is empty"]),
        ("bits = [16, 4]", "bits = [3]", ["line 6", "matrix.bits[0]", "3", "16, 8, 4 or 2"]),
        ("bits = [16, 4]", 'bits = ["4"]', ["line 6", "matrix.bits[0]", "'4'", "16, 8, 4 or 2"]),
        ("bits = [16, 4]", "bits = [true]", ["matrix.bits[0]", "True"]),
        ("bits = [16, 4]", "bits = 4", ["line 6", "matrix.bits", "list"]),
        ("bits = [16, 4]", "bits = [4, 4]", ["line 6", "matrix.bits", "4 stands twice"]),
        ("[16]\n", "[0]\n", ["line 7", "matrix.sequence_length[0]", "0"]),
        ("[16]\n", "[16.5]\n", ["line 7", "matrix.sequence_length[0]", "16.5"]),
        ('platform = "webnn"', 'platfrom = "webnn"', ["line 9", "exclude[0].platfrom", "unknown key"]),
        ('platform = "webnn"', 'platform = "webgl"', ["line 9", "exclude[0].platform", "'webgl'"]),
        ('name = "nightly"\n', "", ["name", "is missing"]),
        ('name = "nightly"\n', 'name = ""\n', ["line 1", "name"]),
        ('name = "nightly"\n', 'name = "a\\nb"\n', ["line 1", "name", "printable"]),
        ('model = ["bert-tiny"]\n', "", ["matrix.model", "is missing", "line 2"]),
        ("[matrix]", "[matrix", ["not valid TOML", "line 2"]),
        ("seed = 7", "seed = -1", ["line 13", "run.seed", "-1"]),
        ("seed = 7", "seed = 7\nmax_minutes = 0", ["line 14", "run.max_minutes"]),
        ("seed = 7", "[stop]\nprecision = 0.02\nmax_blocks = 1", ["line 15", "stop.max_blocks"]),
        ("blocks = 2", "blocks = 9\n[stop]\nprecision = 0.02\nmax_blocks = 3\n[run2]", ["run2", "line 16"]),
        ("seed = 7", '[retry]\non = ["ok"]', ["line 14", "retry.on[0]", "'ok'"]),
        ("seed = 7", '[checks]\nload = "shout"', ["line 14", "checks.load", "'shout'", "'refuse'"]),
        ("seed = 7", "[[include]]\nbits = 4", ["line 13", "include[0]", "there already"]),
        ("seed = 7", "[[include]]", ["line 13", "include[0]", "names no field"]),
        (
            "seed = 7",
            "[[include]]\nbits = 2\n[[include]]\nbits = [8, 3]",
            ["line 16", "include[1].bits[1]", "3 is"],
        ),
        ('browser = "firefox"', 'browser = ["firefox"]\n[[exclude]]\nplatform = "webgpu"', []),
    ],
)
def test_a_mistake_is_said_with_its_place(old, new, says):
    assert old in FILE
    text = FILE.replace(old, new)
    if not says:  # the control: this one is good
        assert len(read_campaign(text, "x.toml")[1]) == 2
        return
    message = refusal(text)
    for words in says:
        assert words in message


def test_blocks_must_leave_room_to_stop():
    text = FILE.replace("blocks = 2", "blocks = 9") + "[stop]\nprecision = 0.02\nmax_blocks = 3\n"
    assert "stop.max_blocks = 3 is less than run.blocks = 9" in refusal(text)


def test_nothing_left_and_far_too_much():
    assert "every cell is excluded" in refusal(FILE + '[[exclude]]\nmodel = "bert-tiny"\n')
    lengths = ", ".join(str(one) for one in range(1, 4000))
    text = FILE.replace("[16]\n", f"[{lengths}]\n").replace("blocks = 2", "blocks = 900")
    assert "at most 200,000" in refusal(text)


def test_axes_are_the_fields_of_a_request():
    assert set(Matrix.model_fields) == set(Rule.model_fields) == set(Request.model_fields)
    for name, field in Matrix.model_fields.items():
        if not field.is_required() and name not in ("weights", "generate"):
            assert field.default == [Request.model_fields[name].default], name


def test_a_definition_comes_back_from_the_database():
    file, _ = read_campaign(FILE + "[stop]\nprecision = 0.02\nmax_blocks = 4\n", "x.toml")
    stored = json.loads(json.dumps(file.model_dump(mode="json")))
    assert CampaignFile.model_validate(stored).model_dump() == file.model_dump()


def test_lines_are_found_in_odd_layouts():
    text = '# first\n"name" = "x"\n  [ matrix ] # here\n  bits = [\n   3]\n'
    text += "[[include]]\nbits = 2\n[[include]]\nbits = 9\n"
    assert line_of(text, ("name",)) == 2
    assert line_of(text, ("matrix", "bits", 0)) == 4
    assert line_of(text, ("matrix", "model")) == 3
    assert line_of(text, ("include", 1, "bits")) == 9
    assert line_of(text, ("stop", "precision")) is None


AXES = {
    "platform": ["webgpu", "webnn"],
    "browser": ["chrome", "firefox", "edge"],
    "bits": [16, 8, 4, 2],
    "batch_size": [1, 2],
}


@given(
    st.fixed_dictionaries(
        {name: st.lists(st.sampled_from(values), min_size=1, unique=True) for name, values in AXES.items()}
    ),
    st.lists(
        st.dictionaries(st.sampled_from(["platform", "browser", "bits"]), st.integers(0, 1), min_size=1),
        max_size=3,
    ),
)
def test_every_arm_stands_once_and_no_excluded_one(axes, rules):
    excluded = [{name: AXES[name][index] for name, index in rule.items()} for rule in rules]
    data = {"name": "x", "matrix": {"model": ["bert-tiny"], **axes}, "exclude": excluded}
    text = f"name = 'x'\n[matrix]\nmodel = ['bert-tiny']\n{toml(axes)}"
    text += "".join(f"[[exclude]]\n{toml(rule)}" for rule in excluded)
    assert tomllib.loads(text) == {key: value for key, value in data.items() if value}
    wanted = [
        combination
        for combination in itertools.product(*axes.values())
        if not any(
            all(dict(zip(axes, combination, strict=True))[name] == value for name, value in rule.items())
            for rule in excluded
        )
    ]
    if not wanted:
        assert "excluded" in refusal(text)
        return
    _, arms = read_campaign(text, "x.toml")
    found = [tuple(getattr(arm, name) for name in axes) for arm in arms]
    assert sorted(found, key=str) == sorted(wanted, key=str) and len(set(found)) == len(found)


def toml(values):
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused_in_one_line(text):
    try:
        read_campaign(text, "x.toml")
    except InputError as error:
        assert "x.toml" in str(error)


def test_the_schema_describes_what_is_read():
    schema = json.loads((ROOT / "docs" / "campaign.schema.json").read_text(encoding="utf-8"))
    assert set(schema["properties"]) == set(CampaignFile.model_fields)
    assert schema["additionalProperties"] is False
    # `test` stands for two of the others.
    assert set(schema["$defs"]["Matrix"]["properties"]) == {*Request.model_fields, "test"}
    one = schema["$defs"]["Rule"]["properties"]["bits"]["anyOf"][0]
    assert one["enum"] == [16, 8, 4, 2]
