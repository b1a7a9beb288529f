"""Single operators as ONNX, run by onnxruntime's processor build and held to float64."""

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import load_file

from bench.export.onnx_operators import WEIGHTS
from bench.harness.kernel_cases import Case, prepare
from bench.models.operators import of
from bench.plan.request import BITS

COPIES = 2
NAMES = (
    *("matmul 5x24x64", "matmul 1x16x70", "attention 7x2x16", "decode 9x4x2x16", "layer-norm 5x24"),
    *("rms-norm 5x24", "convolution 11x6x8x3x2", "embedding 4x30x64"),
)


def fed(session, operator, given):
    """Inputs as the page gives them: [1, C, T] of a convolution, caches by heads."""
    feeds = {}
    for item in session.get_inputs():
        name, _, _ = item.name.rpartition(".")
        array = given[name.removeprefix("past_")]
        if name.startswith("past_"):
            heads = operator.named["KV_HEADS"]
            array = array.reshape(len(array), heads, -1).transpose(1, 0, 2)[None]
        elif operator.kind == "convolution":
            array = array.T[None]
        kind = {"tensor(float16)": np.float16, "tensor(int32)": np.int32}.get(item.type, np.float32)
        feeds[item.name] = np.ascontiguousarray(array.reshape(item.shape).astype(kind))
    return feeds


@pytest.mark.parametrize(
    ("name", "bits"), [(name, bits) for name in NAMES for bits in (BITS if of(name).packed else BITS[:1])]
)
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
def test_an_operator_gives_what_float64_gives(tmp_path, name, bits, scheme):
    operator = of(name)
    group = 16 if operator.kind == "matmul" else 32
    prepared = prepare(Case(operator, bits, group, scheme), COPIES, "f32", [0, 4], tmp_path)
    (tmp_path / "external.0.onnx").rename(tmp_path / WEIGHTS)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(tmp_path / "model.0.onnx"), options)
    found = session.run(
        [f"y.{copy}" for copy in range(COPIES)],
        fed(session, operator, load_file(tmp_path / "inputs.safetensors")),
    )
    for values in found:
        if operator.kind == "convolution":
            values = values[0].T
        got = values.reshape(prepared.expected.shape).astype(np.float64)
        wrong = np.linalg.norm(got - prepared.expected) / np.linalg.norm(prepared.expected)
        assert wrong < 1e-5, (name, bits)
    small = (tmp_path / "model.0.onnx").stat().st_size
    assert small < 40_000, "large tensors stand beside the model"


def test_halves_are_rounded_before_the_truth_is_made(tmp_path):
    prepare(Case(of("matmul 3x8x32"), 4, 32, "symmetric"), 1, "f16", [0], tmp_path)
    x = load_file(tmp_path / "inputs.safetensors")["x"]
    assert np.array_equal(x, x.astype(np.float16).astype(np.float32))


def test_copies_fill_what_is_to_be_spread():
    case = Case(of("matmul 1x4096x4096"), 4, 32, "symmetric")
    assert case.copies(0) == 2 and case.copies(256) == 32 and case.copies(64) == 8


@pytest.mark.parametrize(("level", "most"), [(0, 1e-3), (4, 1e-2)])
def test_products_of_halves_are_summed_wide_unless_more_rounding_is_asked_for(tmp_path, level, most):
    operator = of("matmul 3x8x512")
    prepared = prepare(Case(operator, 16, 32, "symmetric"), 1, "f16", [level], tmp_path)
    (tmp_path / f"external.{level}.onnx").rename(tmp_path / WEIGHTS)
    path = tmp_path / f"model.{level}.onnx"
    casts = [node.op_type for node in onnx.load(str(path), load_external_data=False).graph.node]
    assert casts == (["MatMul"] if level else ["Cast", "MatMul", "Cast"])
    session = onnxruntime.InferenceSession(str(path))
    [got] = session.run(["y.0"], fed(session, operator, load_file(tmp_path / "inputs.safetensors")))
    wrong = np.linalg.norm(got - prepared.expected) / np.linalg.norm(prepared.expected)
    assert wrong < most
