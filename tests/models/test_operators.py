"""Single operators: what is typed, what it is called, and the program that it comes down to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.models.operators import KINDS, ON_GPU, ON_PROCESSOR, Operator, of


@st.composite
def operators(draw):
    kind = draw(st.sampled_from(sorted(KINDS)))
    sizes = [draw(st.integers(1, 300)) for _ in KINDS[kind]]
    if kind == "decode":
        sizes[1] = sizes[2] * draw(st.integers(1, 4))
    if kind == "convolution":
        sizes[3] = 2 * (sizes[3] // 2) + 1
    return Operator(kind, tuple(sizes))


@given(operators(), st.integers(1, 4))
def test_a_name_is_read_back_and_its_program_holds_together(operator, copies):
    assert of(operator.name) == operator
    assert Operator.parse(operator.kind, ",".join(map(str, operator.sizes))) == operator
    program = operator.program(copies)
    program.check()
    assert program.outputs == tuple(f"y.{copy}" for copy in range(copies))
    last = [node for node in program.main.nodes if node.output in program.outputs]
    assert {node.shape for node in last} == {(operator.rows, operator.columns)}
    # No two copies share an input, a weight or a cache: planners must not join them, nor caches hold them.
    read = [name for node in program.main.nodes for name in {*node.inputs, *node.weights} - {"length"}]
    assert len(read) == len(set(read))
    weights = sum(weight.parameters for weight in program.weights if weight.role != "vector")
    caches = sum(state.shape[0] * state.shape[-1] for state in program.states if state.name != "length")
    assert weights + caches == copies * operator.weight_elements
    assert operator.moved(100, 2) > 0 and operator.bytes_of(4) > 0 and operator.flops >= 0


def test_work_is_counted_by_hand():
    assert of("matmul 2x3x5").flops == 60 and of("matmul 2x3x5").moved(30, 4) == 30 + 4 * (10 + 6)
    assert of("attention 4x2x8").flops == 4 * 4 * 4 * 16
    assert of("decode 10x4x2x8").flops == 4 * 10 * 32
    # Caches, the token's query, key and value, and the answer.
    assert of("decode 10x4x2x8").moved(0, 2) == 2 * (2 * 10 * 16 + 3 * 32 + 32)
    assert of("embedding 2x10x8").moved(400, 4) == 80 + 8 + 4 * 16
    assert of("convolution 9x4x6x3x2").rows == 5


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("matmul", "1,2", "--matmul 1,2: not allowed; allowed: M,N,K, 3 whole numbers"),
        ("matmul", "1,2,x", "M,N,K"),
        ("matmul", "1,2,-3", "M,N,K"),
        ("matmul", "", "M,N,K"),
        ("matmul", "0,1,1", "each of M,N,K must be from 1 to"),
        ("matmul", "1,1,99999999", "each of M,N,K must be from 1 to"),
        ("matmul", "1,1000000,1000000", "more than 2147483648 numbers in one tensor"),
        ("decode", "8,3,2,4", "HEADS must be a multiple of KV_HEADS"),
        ("convolution", "8,3,2,4,1", "KERNEL must be odd"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(kind, text, said):
    with pytest.raises(InputError) as error:
        Operator.parse(kind, text)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_model_is_no_operator():
    with pytest.raises(InputError, match="bert-tiny: no operator; allowed: matmul"):
        of("bert-tiny")


def test_the_defaults_have_every_kind():
    for names in (ON_GPU, ON_PROCESSOR):
        assert {of(name).kind for name in names} == set(KINDS)
