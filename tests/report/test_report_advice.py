"""What a run that failed advises, from made-up rows; `tests/faults` has those that browsers brought about."""

import pytest
from records import operator, record

from bench.harness.outcome import Category, Outcome, Stage
from bench.record import ErrorInfo
from bench.report.advice import advise

NO_ROOM = {"circumstances": [{"kind": "room", "words": "only 0.0 MiB were free for temporary files in /tmp"}]}


@pytest.mark.parametrize("category", Category)
@pytest.mark.parametrize("outcome", [Outcome.CRASHED, Outcome.TIMEOUT, Outcome.DEVICE_LOST])
def test_what_the_machine_lacked_is_why_a_browser_died(outcome, category):
    """Whatever its last words look like: `invalid session id` is no word about an operation."""
    error = ErrorInfo(stage=Stage.PROBE, category=category, name="X", message="invalid session id")
    advice = advise(record(outcome=outcome, error=error, evidence=NO_ROOM))
    assert advice is not None
    assert "only 0.0 MiB were free" in advice.cause and "export TMPDIR=DIR" in advice.next


def test_a_refused_type_is_the_browsers_own_word():
    error = ErrorInfo(stage=Stage.BUILD, category=Category.UNSUPPORTED_TYPE, name="X", message="int2")
    advice = advise(record(outcome=Outcome.ERROR, error=error, evidence=NO_ROOM))
    assert advice is None or "free for temporary files" not in advice.cause


@pytest.mark.parametrize("outcome", [Outcome.INCORRECT, Outcome.INTERRUPTED])
def test_an_operator_is_asked_for_again_by_its_own_command(outcome):
    """`bench run` has no such model, and `bench campaign resume` does not go on with operators."""
    advice = advise(operator("native", [1.0], [1.0], outcome=outcome, gpu_features="all"))
    assert advice is not None
    assert advice.next == "bench kernels --browser chrome --matmul 1,8,32 --bits 4 --gpu-features all"
    norm = operator("native", [1.0], [1.0], outcome=outcome, model="rms-norm 8x64", bits=16)
    assert (found := advise(norm)) and found.next == "bench kernels --browser chrome --rms-norm 8,64"
