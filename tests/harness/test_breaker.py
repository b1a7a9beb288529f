from records import record, request

from bench.harness.breaker import Breaker
from bench.harness.outcome import Category, Outcome, Stage
from bench.record import ErrorInfo


def failing(outcome=Outcome.CRASHED, stage=Stage.MEASURE, **changes):
    error = ErrorInfo(stage=stage, category=Category.OTHER, name="X", message="tab crashed")
    return record(request(**changes), outcome, error=error)


def test_opens_after_so_many_failures_in_a_row_and_names_the_last():
    breaker = Breaker(3)
    for outcome in (Outcome.CRASHED, Outcome.TIMEOUT):
        breaker.note(failing(outcome))
        assert breaker.open("chrome") is None
    breaker.note(failing(Outcome.ERROR, Stage.LAUNCH))
    words = breaker.open("chrome")
    assert "3 runs of chrome" in words and "error in launch: tab crashed" in words
    assert breaker.open("firefox") is None and breaker.open("chrome:/opt/other") is None


def test_what_shows_that_it_works_counts_from_anew():
    for outcome in (Outcome.OK, Outcome.FALLBACK, Outcome.INCORRECT, Outcome.UNSUPPORTED, Outcome.ERROR):
        breaker = Breaker(2)
        for one in (failing(), record(request(), outcome), failing()):
            breaker.note(one)
        assert breaker.open("chrome") is None, outcome


def test_what_says_nothing_of_the_browser_changes_nothing():
    breaker = Breaker(2)
    for one in (failing(), record(request(), Outcome.INTERRUPTED), record(request(), Outcome.UNAVAILABLE)):
        breaker.note(one)
    breaker.note(failing())
    assert breaker.open("chrome")


def test_zero_never_opens():
    breaker = Breaker(0)
    for _ in range(50):
        breaker.note(failing())
    assert breaker.open("chrome") is None
