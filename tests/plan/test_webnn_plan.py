"""`--webnn-plan`: what it can be asked of, and what it makes of a recipe."""

import pytest
import tiny_llama
from records import request

from bench.cli import main
from bench.engines import engine_of
from bench.errors import InputError
from bench.models.catalog import resolve
from bench.plan.cells import make_plan
from bench.plan.request import AUTO, Request
from bench.quantize.recipe import by_row, uniform

PLANS = ["dequantized", "packed", "per-channel", "blockwise", "qdq-int8"]


def webnn(**changes):
    return request(**{"platform": "webnn", "bits": 8, **changes})


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--platform", "webgpu", "--bits", "8"], "platform webgpu has no WebNN graph; say --platform webnn"),
        (["--platform", "both", "--bits", "8"], "platform webgpu has no WebNN graph"),
        (
            ["--platform", "webnn", "--engine", "ort-web", "--bits", "8"],
            "engine ort-web plans its own graphs",
        ),
        (["--platform", "webnn", "--bits", "8", "--bits", "16"], "16-bit weights are held as they are"),
    ],
)
def test_what_cannot_have_a_plan_is_refused_in_a_line(tmp_path, capsys, plan, flags, words):
    database = tmp_path / "bench.sqlite"
    code = main(
        ["run", "--model", "bert-tiny", *flags, "--webnn-plan", plan, "--db", f"sqlite:///{database}"]
    )
    said = capsys.readouterr()
    assert code == 2 and said.out == ""
    assert said.err.startswith(f"error: webnn-plan {plan} for bert-tiny") and said.err.count("\n") == 1
    assert words in said.err and not database.exists()


def test_int8_activations_have_weights_of_8_bits_and_no_cache(tmp_path):
    with pytest.raises(InputError, match="its weights have 8 bits; leave --experimental-precision out"):
        make_plan([webnn(bits=4, webnn_plan="qdq-int8", experimental_precision=True)], 1)
    asked = webnn(bits=4, webnn_plan="qdq-int8")  # in standard mode they are 8 bits anyway
    assert make_plan([asked], 1)
    writer = resolve("tiny", tiny_llama.write(tmp_path / "tiny")).program(1, 4)
    with pytest.raises(InputError, match="not allowed; a model that keeps state"):
        engine_of(asked).check(asked, writer)
    engine_of(asked).check(asked, resolve("bert-tiny").program(1, 4))


def test_an_arm_says_its_plan_and_the_default_is_silent():
    assert webnn(webnn_plan="blockwise").label == "chrome webnn 8-bit plan blockwise"
    assert Request.model_fields["webnn_plan"].default == AUTO
    assert webnn().label == webnn(webnn_plan=None).label == "chrome webnn 8-bit"


@pytest.mark.parametrize("plan", [AUTO, *PLANS])
def test_a_scale_a_row_is_a_recipe(plan):
    program = resolve("bert-tiny").program(1, 4)
    granted = engine_of(webnn()).grant(webnn(webnn_plan=plan), program)
    sizes = {how.group_size for how in granted.recipe.formats(program.weights).values()}
    rows = {-(-weight.shape[1] // 32) * 32 for weight in program.weights if len(weight.shape) == 2}
    assert granted.why is None
    assert sizes == (rows if plan in ("per-channel", "qdq-int8") else {32})
    assert by_row(uniform(16), program.weights).formats(program.weights) == uniform(16).formats(
        program.weights
    )
