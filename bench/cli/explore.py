"""`bench explore`: the database in Datasette."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.db import Database
from bench.errors import InputError
from bench.report.datasette import metadata
from bench.store import open_store
from bench.store.address import parse_url, sqlite_path

_SETTINGS = {"sql_time_limit_ms": "10000", "facet_time_limit_ms": "5000", "default_page_size": "100"}


def explore_command(
    port: Annotated[int, typer.Option("--port", metavar="N", help="Where it listens on 127.0.0.1.")] = 8001,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in this machine's browser.")] = False,
    db: Database = None,
) -> None:
    """Open the database in Datasette: tables, facets, ready queries, all of it to read and none to write.

    Needs the extra: pip install 'webquant-bench[explore]'. Ctrl-C ends it.
    """
    if find_spec("datasette") is None:
        raise InputError("Datasette is not installed: pip install 'webquant-bench[explore]'")
    path = sqlite_path(parse_url(db))
    if path is None:
        raise InputError(
            "Datasette reads SQLite files: make one with bench db export FOLDER, then bench db import FOLDER "
            "--db sqlite:///FILE"
        )
    open_store(db, create=False).close()  # says in one line what is wrong with it
    _check_port(port)
    with tempfile.TemporaryDirectory(prefix="webquant-explore-") as folder:
        told = Path(folder) / "metadata.json"
        told.write_text(json.dumps(metadata(path.stem)), encoding="utf-8")
        settings = [word for name, value in _SETTINGS.items() for word in ("--setting", name, value)]
        command = [
            *(sys.executable, "-m", "datasette", "serve", str(path), "--metadata", str(told)),
            *("--host", "127.0.0.1", "--port", str(port), *settings, *(["--open"] if open_browser else [])),
        ]
        typer.echo(f"http://127.0.0.1:{port}/{path.stem}/run_summary (Ctrl-C ends it)", err=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the server ends with us
        with contextlib.suppress(KeyboardInterrupt):
            done = subprocess.run(command, check=False)
            if done.returncode > 0:
                raise typer.Exit(done.returncode)


def _check_port(port: int) -> None:
    if not 1 <= port <= 65_535:
        raise InputError(f"--port {port}: must be from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(f"--port {port}: {error.strerror}; choose another with --port") from None
