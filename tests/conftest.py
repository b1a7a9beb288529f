"""Fixtures shared by all rooms' tests, and what a skipped test means where nobody looks."""

import os

import postgres
import pytest
import skips
from hypothesis import settings

# The extra `reference` brings a client of the hub, which no test may ask: nor may what a test starts.
os.environ["HF_HUB_OFFLINE"] = "1"
# Tests run side by side, and so do their sessions: none of their numbers is kept.
os.environ["BENCH_ALONE"] = "0"

# A loaded machine is slow now and then; pytest-timeout catches what hangs.
settings.register_profile("bench", deadline=None)
settings.load_profile("bench")


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server; skips where there is none."""
    with postgres.server() as folder:
        yield folder


@pytest.fixture
def postgres_url(postgres_server):
    """The URL of an empty database on it."""
    return postgres.new_database(postgres_server)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request, tmp_path):
    """The URL of a database that is not there yet, of each kind that the store knows."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bench.sqlite"
    return request.getfixturevalue("postgres_url")


_unlisted = {}  # test or file -> why it was skipped, where that is not on the list


def _note(report):
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = skips.reason_of(report.longrepr)
        if not skips.allowed(reason):
            _unlisted[report.nodeid] = reason


def pytest_runtest_logreport(report):
    """Here and, where several processes test, in the one that gathers."""
    _note(report)


def pytest_collectreport(report):
    """A whole file may be skipped too."""
    _note(report)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """With `CI=true` a green run is one in which everything ran."""
    gathers = not hasattr(session.config, "workerinput")
    if gathers and skips.strict() and _unlisted and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    """Say which skips made the run fail."""
    if skips.strict() and _unlisted:
        terminalreporter.section("skipped, and not on the list of tests/skips.py")
        for place, reason in sorted(_unlisted.items()):
            terminalreporter.line(f"{place}: {reason}")


# Begun last, a long test would keep one worker while the other has nothing left: these come first.
_LONG_FIRST = (
    "test_docs_run.py",
    "test_kernels.py",
    "test_faults.py",
    "test_fallbacks.py",
    "test_circumstances.py",
)


def _group(item: pytest.Item) -> str | None:
    """With whom a test must share a worker: those with the same browser open, or the same fixture made."""
    # These look for renderers without a browser on the whole machine, and some of them make one for a while.
    if "orphans" in getattr(item, "function", _group).__code__.co_names:
        return "orphans"
    params = getattr(getattr(item, "callspec", None), "params", {})
    if "lab" in params:
        return f"lab-{params['lab']}"
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    ours = [one for several in fixtures for one in several if one.baseid]
    return item.path.name if any(one.scope in ("module", "session") for one in ours) else None


# First: xdist's own hook is an ordinary one, and takes the groups that it finds by then.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `--dist loadgroup`: who shares something keeps to one worker, others go where there is room."""
    for item in items:
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))
    order = {name: at for at, name in enumerate(_LONG_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups that xdist did not take would be lost without a word, and tests would disturb each other."""
    if not getattr(session.config.option, "loadgroup", False):
        return  # not one of several workers
    for item in session.items:
        if (group := item.get_closest_marker("xdist_group")) and not item.nodeid.endswith(
            f"@{group.args[0]}"
        ):
            raise pytest.UsageError(f"{item.nodeid} is not sent to the worker of its group {group.args[0]!r}")
