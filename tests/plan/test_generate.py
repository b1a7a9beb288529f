"""How many tokens a language model is asked for: one arm with the flag and without, one hash of a plan."""

import pytest
import tiny_llama
import tiny_model
from records import request

from bench.cli.campaign_file import load
from bench.errors import InputError
from bench.harness.campaign import resolve_models, settled, settled_plan
from bench.models.catalog import resolve
from bench.plan.cells import make_plan
from bench.plan.request import GENERATE, MAX_GENERATE
from bench.report.repeat import repeat_commands

FILE = """
name = "texts"
[matrix]
model = ["tiny"]
platform = ["webgpu"]
browser = ["chrome"]
bits = [16, 4]
sequence_length = [8]
{more}
[run]
blocks = 2
"""


def asked(folder, **changes):
    return request(model="tiny", weights=str(folder), sequence_length=8, **changes)


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return tiny_llama.write(tmp_path_factory.mktemp("writer") / "tiny")


def test_a_flag_and_its_default_are_one_arm(writer):
    plain, said = asked(writer), asked(writer, generate=GENERATE)
    sources = resolve_models([plain, said], lambda _: None)
    assert settled(plain, sources) == settled(said, sources) == said
    assert said.label.endswith("64 generated")
    assert settled(asked(writer, generate=5), sources).generate == 5
    plans = [settled_plan(make_plan([one], 1), sources) for one in (plain, said)]
    assert plans[0] == plans[1] and plans[0].cells[0].request == said
    # So that `bench campaign plan` names the hash that is stored, before the model is known.
    assert make_plan([plain], 1).hash == plans[0].hash != make_plan([asked(writer, generate=5)], 1).hash


def test_the_default_is_the_models_own():
    assert resolve("llama-tiny").program(1, 4).writing.calls == GENERATE


def test_one_arm_twice_is_refused(writer):
    arms = [asked(writer), asked(writer, generate=GENERATE)]
    with pytest.raises(InputError, match="stands twice: generate is 64 where nobody says it"):
        settled_plan(make_plan(arms, 1), resolve_models(arms, lambda _: None))


def test_a_model_that_writes_no_text_has_none(tmp_path):
    folder = tiny_model.write(tmp_path / "tiny")
    sources = resolve_models([asked(folder)], lambda _: None)
    assert settled(asked(folder), sources).generate is None
    with pytest.raises(InputError, match="generate 64: tiny writes no text; leave --generate away"):
        resolve_models([asked(folder, generate=64)], lambda _: None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generate": 89}, r"sequence_length 8 \+ generate 89 = 97 tokens, but tiny .* 96"),
        ({"batch_size": 2}, "batch"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(writer, changes, said):
    with pytest.raises(InputError, match=said) as caught:
        resolve_models([asked(writer, **changes)], lambda _: None)
    assert "\n" not in str(caught.value)
    assert resolve_models([asked(writer, generate=88)], lambda _: None)


def test_a_list_is_an_axis_of_a_campaign_file(tmp_path):
    path = tmp_path / "texts.toml"
    path.write_text(FILE.format(more="generate = [16, 64]"))
    _, arms, plan = load(path)
    assert [arm.generate for arm in arms] == [16, 64, 16, 64] and len(plan.cells) == 10
    path.write_text(FILE.format(more=f"generate = [{MAX_GENERATE + 1}]"))
    with pytest.raises(InputError, match=r"matrix.generate\[0\]: 2049"):
        load(path)


def test_a_run_is_repeated_with_its_number(writer):
    one = asked(writer, generate=16)
    row = {f"requested_{name}": value for name, value in one.model_dump().items()}
    assert "--generate 16" in repeat_commands([row])[0]
