"""The command line: one file a noun. Imports every room; nothing imports it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer
from sqlalchemy.exc import DBAPIError

from bench.cli.browsers import browsers_app
from bench.cli.campaign import campaign_app
from bench.cli.compare import compare_command
from bench.cli.db import db_app
from bench.cli.doctor import doctor_command
from bench.cli.faults import faults_app
from bench.cli.history import history_command
from bench.cli.models import models_app
from bench.cli.query import query_command, show_command
from bench.cli.report import explain_command, plot_command, report_command
from bench.cli.run import run_command
from bench.cli.schedule import scheduler_app
from bench.errors import InputError

app = typer.Typer(
    name="bench",
    help="Measures quantized models in real browsers through WebGPU and WebNN, and hides no fallback.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run_command)
app.command("query")(query_command)
app.command("show")(show_command)
app.command("compare")(compare_command)
app.command("history")(history_command)
app.command("report")(report_command)
app.command("plot")(plot_command)
app.command("explain")(explain_command)
app.command("doctor")(doctor_command)
app.add_typer(campaign_app, name="campaign")
app.add_typer(scheduler_app, name="scheduler")
app.add_typer(browsers_app, name="browsers")
app.add_typer(models_app, name="models")
app.add_typer(db_app, name="db")
app.add_typer(faults_app, name="faults", hidden=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code. Bad input is one line on stderr and 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return run_app(app, given or ["--help"], "bench")


def run_app(application: typer.Typer, given: Sequence[str], name: str) -> int:
    """Run a command line of a Typer application; whatever happens becomes an exit code."""
    try:
        result = application(list(given), prog_name=name, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except InputError as error:
        return _refuse(str(error))
    except DBAPIError as error:  # the database broke or went away while it was read
        return _refuse(f"the database cannot be read: {error.orig}")
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # the reader of our output, like `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        # Typer's usage errors: their class has moved between its versions, their interface has not.
        words = getattr(error, "format_message", None)
        if words is None:
            raise
        text = str(words()) or f"missing command: see `{' '.join([name, *given])} --help`"
        return _refuse(text + _value_of(error, given))


def _value_of(error: Exception, given: Sequence[str]) -> str:
    """Typer names the option that it cannot read but not always the value: that is in the command line."""
    names = getattr(getattr(error, "param", None), "opts", [])
    for flag, value in zip(given, [*given[1:], ""], strict=True):
        head, equals, tail = flag.partition("=")
        if head in names:
            return f" (given: {tail if equals else value})"
    return ""


def _refuse(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return 2
