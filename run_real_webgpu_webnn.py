#!/usr/bin/env python3
"""The command and the functions of the March 2025 announcement, on today's engine: nothing is simulated.

    python run_real_webgpu_webnn.py --platform webnn --browser chrome --bits 4 --experimental-precision

prints ONE JSON object on stdout, `{"campaign": NUMBER, "runs": [RUN, ...]}`, whatever the number of runs;
progress goes to stderr. A RUN is what `bench run --json` prints, and `status`, its outcome once more. Exit
codes: 0 all well; 1 a run failed (an `error` in experimental mode is a result, not a failure); 2 bad input; 3
nothing could run, for example because that browser is not on this machine; 130 interrupted.

    import asyncio
    from run_real_webgpu_webnn import run_real_webgpu_test, run_real_webnn_test

    run = asyncio.run(run_real_webgpu_test(model="bert-base-uncased", browser="chrome", bits=4))
    print(run["status"], run["metrics"]["latency_ms"])

return one RUN each, with `campaign` beside it. Calls made at the same time run one after the other: two
browsers at once would measure each other. Cancelling one ends its browser.

Every run is also kept in the database: `--db`, else BENCH_DB, else sqlite:///results/bench.sqlite.
WEBNN_EXPERIMENTAL_PRECISION=1 is `--experimental-precision`. BENCH_SEQUENCE_LENGTH, BENCH_ITERATIONS and
BENCH_MAX_SECONDS stand for flags that were not given, so that any command can be shortened as it is written.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import run_app
from bench.cli.asked import Asked, with_flags
from bench.cli.run import as_contract, run_requests
from bench.errors import BenchError, InputError
from bench.harness.asked import RunSettings
from bench.harness.campaign import Report
from bench.harness.stop import Stop
from bench.plan.request import Request
from bench.settings import Settings, load_settings

__all__ = ["main", "run_real_webgpu_test", "run_real_webnn_test"]

_MODEL = "bert-base-uncased"
_DEFAULT_BITS = {"webgpu": 4, "webnn": 8, "both": 8}  # the predecessor's
_FLAGS = (
    *("platform", "browser", "model", "mixed_precision", "experimental_precision", "weights"),
    *("batch_size", "sequence_length", "iterations", "max_seconds"),
)
_one_at_a_time = threading.Lock()

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


async def run_real_webgpu_test(
    model: str = _MODEL,
    browser: str = "chrome",
    bits: int = _DEFAULT_BITS["webgpu"],
    mixed_precision: bool = False,
    experimental_precision: bool = False,
    batch_size: int = 1,
    sequence_length: int | None = None,
    iterations: int | None = None,
    max_seconds: float | None = None,
    db: str | None = None,
) -> dict[str, Any]:
    """Run a model through WebGPU in a real browser.

    Args:
        model: a name of the catalog (`bench models list`).
        browser: chrome, firefox, webkitgtk, edge, safari, or NAME:/path/to/binary.
        bits: 16, 8, 4 or 2, for the weights.
        mixed_precision: 8 bits for attention and embeddings, `bits` for the rest.
        experimental_precision: WebNN's experimental mode; stored with the run.
        batch_size: sequences an inference.
        sequence_length: tokens a sequence; by default BENCH_SEQUENCE_LENGTH, else 128.
        iterations: exactly this many samples; by default BENCH_ITERATIONS, else as many as needed.
        max_seconds: time for sampling; by default BENCH_MAX_SECONDS, else 5.
        db: a database URL; by default BENCH_DB, else sqlite:///results/bench.sqlite.

    Returns:
        the run as `bench run --json` prints it, with `status` (its outcome) and `campaign`. What a browser
        refuses, lacks or breaks is an outcome in it, never an exception.

    Raises:
        bench.errors.InputError: a value that is not allowed; nothing was run.
    """
    arguments = {**locals(), "platform": "webgpu"}
    return await _measure(**arguments)


async def run_real_webnn_test(
    model: str = _MODEL,
    browser: str = "chrome",
    bits: int = _DEFAULT_BITS["webnn"],
    mixed_precision: bool = False,
    experimental_precision: bool = False,
    batch_size: int = 1,
    sequence_length: int | None = None,
    iterations: int | None = None,
    max_seconds: float | None = None,
    db: str | None = None,
) -> dict[str, Any]:
    """Run a model through WebNN in a real browser; arguments and result as `run_real_webgpu_test`.

    In standard mode 4 and 2 bits run as 8 (`status` is `fallback`); with `experimental_precision` the browser
    is asked for the true type, and its answer is kept verbatim in `error` where it refuses.
    """
    arguments = {**locals(), "platform": "webnn"}
    return await _measure(**arguments)


async def _measure(
    *, iterations: int | None, max_seconds: float | None, db: str | None, **wanted: Any
) -> dict[str, Any]:
    """One run in a thread of its own; a cancelled caller gets its answer when the browser has ended."""
    settings = load_settings()
    asked = Asked.of(iterations=iterations, max_seconds=max_seconds, **wanted)
    arms, measuring = asked.arms(settings), RunSettings(**asked.settings())
    stop = Stop()
    work = asyncio.ensure_future(asyncio.to_thread(_run_alone, arms, settings, measuring, db, stop))
    try:
        report = await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.request()
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # taken note of: the caller wanted no answer
        raise
    found = _contract(report)
    return {"campaign": found["campaign"], **found["runs"][0]}


def _run_alone(
    arms: list[Request], settings: Settings, measuring: RunSettings, db: str | None, stop: Stop
) -> Report:
    try:
        while not _one_at_a_time.acquire(timeout=0.25):
            stop.check()
        try:
            return run_requests(arms, settings, measuring, db=db, stop=stop)
        finally:
            _one_at_a_time.release()
    except KeyboardInterrupt:  # out of a thread it would end the event loop
        raise BenchError("cancelled before it began") from None


def _contract(report: Report) -> dict[str, Any]:
    found = as_contract(report)
    return {**found, "runs": [{"status": run["outcome"], **run} for run in found["runs"]]}


_HELP = """Run a model in a real browser through WebGPU or WebNN. Nothing is simulated.

Prints ONE JSON object on stdout, {"campaign": NUMBER, "runs": [RUN, ...]}, whatever the number of runs;
progress goes to stderr. A RUN is what `bench run --json` prints, and "status", its outcome once more.

Exit codes: 0 all well; 1 a run failed; 2 bad input; 3 nothing could run; 130 interrupted.

Environment: BENCH_DB names the database, WEBNN_EXPERIMENTAL_PRECISION=1 is --experimental-precision;
BENCH_SEQUENCE_LENGTH, BENCH_ITERATIONS and BENCH_MAX_SECONDS stand for flags that were not given."""


@app.command(
    help="\n\n".join(part.replace("\n", " ") for part in _HELP.split("\n\n")),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@with_flags(several=False, only=_FLAGS, typed={"model": _MODEL})
def command(
    asked: Asked,
    bits: Annotated[
        str | None, typer.Option(help="16, 8, 4 or 2; else 4 for webgpu, 8 otherwise.", show_default=False)
    ] = None,
    db: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The database, as an SQLAlchemy URL.", show_default=False),
    ] = None,
    db_path: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The database, as an SQLite file.", show_default=False)
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Also write an HTML page about these runs.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Where; else results/report.html.", show_default=False),
    ] = None,
) -> int:
    """One command line; `_HELP` is what it says of itself."""
    if db and db_path:
        raise InputError(f"--db {db} and --db-path {db_path} both name a database: give one")
    if output and not report:
        raise InputError(f"--output {output} is where --report writes: give --report too")
    page = output or Path("results/report.html")
    if report and page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--output {page} is not an HTML file: use a name that ends in .html")
    settings = load_settings()
    platform = str(asked.request["platform"])
    asked = asked.but(bits=_DEFAULT_BITS.get(platform, 8) if bits is None else bits)
    arms, measuring = asked.arms(settings), RunSettings(**asked.settings())
    url = f"sqlite:///{db_path}" if db_path else db
    result = run_requests(arms, settings, measuring, db=url)
    print(json.dumps(_contract(result), indent=2))
    if report:
        _write_page(page, url, result.campaign.id)
    return result.exit_code


def _write_page(page: Path, url: str | None, campaign: int) -> None:
    from bench.report.html import write_report  # matplotlib and pandas are slow to load
    from bench.store import open_store

    with open_store(url, create=False) as store:
        write_report(store, page, campaign=str(campaign))
    print(f"report: {page}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    return run_app(app, sys.argv[1:] if arguments is None else arguments, "run_real_webgpu_webnn.py")


if __name__ == "__main__":
    sys.exit(main())
