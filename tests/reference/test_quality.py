import math

import numpy as np
import pytest

from bench.models.graph import Graph
from bench.models.program import Phase, Program
from bench.reference import compare


def program(*outputs):
    return Program("g", "test", (), {"forward": Graph((), (), outputs)}, (Phase("forward", "forward"),))


EMBEDDING = program("last_hidden_state", "sentence_embedding")
LOGITS = program("last_hidden_state", "logits", "probabilities")


def outputs(names, *arrays):
    return dict(zip(names, (np.array(a, np.float32) for a in arrays), strict=True))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("last_hidden_state", "sentence_embedding"), "sentence_embedding"),
        (("last_hidden_state", "logits", "probabilities"), "logits"),
        (("last_hidden_state", "pooler_output"), "pooler_output"),
        (("last_hidden_state",), "last_hidden_state"),
        (("a", "b"), "b"),
    ],
)
def test_chosen_output(names, expected):
    assert compare.chosen_output(program(*names)) == expected


def test_kernel_takes_the_worst_output_and_set():
    truth = outputs(EMBEDDING.outputs, [[3.0, 4.0]], [[1.0, 0.0]])
    near = outputs(EMBEDDING.outputs, [[3.0, 4.5]], [[1.0, 0.0]])
    assert compare.kernel_rel_l2([truth, truth], [truth, truth]) == 0
    assert compare.kernel_rel_l2([truth, near], [truth, truth]) == pytest.approx(0.1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_infinitely_wrong(bad):
    truth = outputs(EMBEDDING.outputs, [[3.0, 4.0]], [[1.0, 0.0]])
    wrong = outputs(EMBEDDING.outputs, [[3.0, bad]], [[1.0, 0.0]])
    found = compare.quality(EMBEDDING, [wrong], [truth], [truth])
    assert found.kernel_rel_l2 == math.inf
    assert found.cosine_fp32 is None


def test_missing_misshapen_and_zero():
    truth = outputs(EMBEDDING.outputs, [[3.0, 4.0]], [[1.0, 0.0]])
    assert compare.kernel_rel_l2([{"last_hidden_state": np.ones((1, 2))}], [truth]) == math.inf
    assert compare.rel_l2(np.ones((1, 3)), np.ones((1, 2))) == math.inf
    assert compare.rel_l2(np.zeros(2), np.zeros(2)) == 0
    assert compare.rel_l2(np.ones(2), np.zeros(2)) == math.inf


def test_cost_speaks_of_the_embedding():
    truth = outputs(EMBEDDING.outputs, [[0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
    got = outputs(EMBEDDING.outputs, [[9.0, 9.0]], [[1.0, 0.0], [1.0, 0.0]])
    assert compare.cosine_fp32(EMBEDDING, [got], [truth]) == 0.5
    assert compare.rel_l2_fp32(EMBEDDING, [got], [truth]) == pytest.approx(1.0)
    assert compare.max_abs_fp32(EMBEDDING, [got], [truth]) == 1.0
    assert compare.top1_agreement(EMBEDDING, [got], [truth]) is None


def test_top1_of_logits():
    truth = outputs(LOGITS.outputs, [[0.0]], [[1.0, 2.0], [3.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]])
    got = outputs(LOGITS.outputs, [[0.0]], [[1.0, 2.0], [0.0, 3.0]], [[0.0, 1.0], [1.0, 0.0]])
    assert compare.top1_agreement(LOGITS, [truth, got], [truth, truth]) == 0.75
    assert compare.quality(LOGITS, [truth], [truth], [truth]).top1_agreement == 1.0


@pytest.mark.parametrize("off", [0.84, -3.0, 1e6])
def test_a_single_number_has_no_measure_that_cannot_fail(off):
    """A reranker's logit, however far off, has a cosine of 1 to another and is the largest of one."""
    truth = outputs(LOGITS.outputs, [[0.0]], [[2.0], [0.5]], [[0.9], [0.6]])
    got = outputs(LOGITS.outputs, [[0.0]], [[2.0 * (1 + off)], [0.5]], [[0.9], [0.6]])
    found = compare.quality(LOGITS, [got], [got], [truth])
    assert found.cosine_fp32 is None
    assert found.top1_agreement is None
    assert found.rel_l2_fp32 == pytest.approx(abs(2 * off) / math.hypot(2, 0.5))
    assert found.max_abs_fp32 == pytest.approx(abs(2 * off))


def test_every_input_set_counts_once():
    """What the measurement gave last is of set 0 again: it may fail the kernel, but counts once."""
    good = outputs(EMBEDDING.outputs, [[1.0, 0.0]], [[1.0, 0.0]])
    bad = outputs(EMBEDDING.outputs, [[1.0, 0.0]], [[0.0, 1.0]])
    once = compare.quality(EMBEDDING, [good, bad], [good, bad], [good, good])
    more = compare.quality(EMBEDDING, [good, bad], [good, bad], [good, good], [(good, good)] * 3)
    assert once == more
    assert once.cosine_fp32 == 0.5
    wrong = compare.quality(EMBEDDING, [good, bad], [good, bad], [good, good], [(bad, good)])
    assert wrong.kernel_rel_l2 > 1
    assert wrong.cosine_fp32 == 0.5
