"""The command line: one file a noun. Imports every room; nothing imports it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from bench import __version__
from bench.errors import InputError

# A command's module is imported when it is asked for: all of them take a second or two, and a query needs
# neither Selenium nor charts.
_COMMANDS = {
    "run": "run:run_command",
    "query": "query:query_command",
    "show": "show:show_command",
    "errors": "errors:errors_command",
    "recommend": "recommend:recommend_command",
    "compare": "compare:compare_command",
    "history": "history:history_command",
    "report": "report:report_command",
    "plot": "report:plot_command",
    "explain": "report:explain_command",
    "explore": "explore:explore_command",
    "doctor": "doctor:doctor_command",
    "kernels": "kernels:kernels_command",
    "tune": "tune:tune_command",
}
_GROUPS = {
    "campaign": "campaign:campaign_app",
    "scheduler": "schedule:scheduler_app",
    "browsers": "browsers:browsers_app",
    "engines": "engines:engines_app",
    "export": "export:export_app",
    "models": "models:models_app",
    "db": "db:db_app",
    "faults": "faults:faults_app",
}
_HIDDEN = ("faults",)
VERSION = "--version"
# Whoever reads or keeps our output is gone, or can take no more of it.
_NO_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
_STREAMS = (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_WRONLY, "w"), ("stderr", os.O_WRONLY, "w"))


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"webquant-bench {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option(VERSION, callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


def application(wanted: str | None = None) -> typer.Typer:
    """The command line with one of its commands, or with all of them where `wanted` names none."""
    app = typer.Typer(
        name="bench",
        help="Measures quantized models in real browsers through WebGPU and WebNN, and hides no fallback.",
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    # One command alone would be taken for the whole program: this keeps its name.
    app.callback()(_options)
    one = wanted in _COMMANDS or wanted in _GROUPS or wanted == VERSION
    for name, place in _COMMANDS.items():
        if not one or name == wanted:
            app.command(name)(_named(place))
    for name, place in _GROUPS.items():
        if not one or name == wanted:
            app.add_typer(_named(place), name=name, hidden=name in _HIDDEN)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code. Bad input is one line on stderr and 2."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    return run_app(application(given[0]), given, "bench")


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"bench.cli.{module}"), name)


def run_app(application: typer.Typer, given: Sequence[str], name: str) -> int:
    """Run a command line of a Typer application; whatever happens becomes an exit code."""
    open_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # an ASCII terminal gets `\xe9` for what it cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        result = application(list(given), prog_name=name, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except InputError as error:
        return _refuse(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # the reader of our output, like `head`, has seen enough
        _silence()
        return 1
    except OSError as error:
        if error.filename is not None and any(word and word in str(error.filename) for word in given):
            return _refuse(f"{_short(str(error.filename))}: {error.strerror}; name another file or folder")
        if error.errno not in _NO_OUTPUT or error.filename is not None:
            raise
        _silence()  # what is left of it goes nowhere
        room = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return _refuse(
            f"cannot write: {error.strerror}; "
            f"{'make room where the output goes' if room else 'send the output elsewhere'}"
        )
    except UnicodeEncodeError as error:  # a shell passes on any bytes; a file may be named so, nothing else
        if not any(word in str(error.object) or str(error.object) in word for word in given):
            raise
        return _refuse(f"{_short(ascii(error.object))} is not UTF-8 text: give one")
    except Exception as error:
        if broken := _broken_database(error):
            return _refuse(broken)
        # Typer's usage errors: their class has moved between its versions, their interface has not.
        words = getattr(error, "format_message", None)
        if words is None:
            raise
        text = str(words()) or f"missing command: see `{' '.join([name, *given])} --help`"
        return _refuse(text + _value_of(error, given))


def open_streams() -> None:
    """Open what the shell closed (`>&-`), to nowhere.

    Without this the next file that is opened, a database say, becomes number 1 or 2: whatever a child or a
    library prints would be written into it.
    """
    for number, (name, flags, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _silence() -> None:
    """Let what is still to be printed, by Python's own end too, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _broken_database(error: Exception) -> str | None:
    """What to say where the database broke or went away while it was read."""
    from sqlalchemy.exc import DBAPIError  # loaded by whoever raised it, and slow for those who did not

    if not isinstance(error, DBAPIError):
        return None
    if "readonly" in str(error.orig):
        return f"the database cannot be written: {error.orig}; work on a copy: bench db backup FILE"
    return f"the database cannot be read: {error.orig}"


def _value_of(error: Exception, given: Sequence[str]) -> str:
    """Typer names the option that it cannot read but not always the value: that is in the command line."""
    names = getattr(getattr(error, "param", None), "opts", [])
    for flag, value in zip(given, [*given[1:], ""], strict=True):
        head, equals, tail = flag.partition("=")
        if head in names:
            return f" (given: {tail if equals else value})"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:99]}…"


def _refuse(message: str, code: int = 2) -> int:
    with contextlib.suppress(OSError):  # nobody reads it; the exit code says it all the same
        print("error:", " ".join(message.split()), file=sys.stderr, flush=True)
    return code
