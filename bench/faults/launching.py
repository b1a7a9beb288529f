"""Faults of a browser or driver that does not start as it should."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path

from bench.browsers import Build
from bench.harness.injection import Injection

# Answers every command as it is told to, once it listens.
_DRIVER = """\
import http.server, os, sys, threading
port = next(a.split("=")[1] for a in sys.argv if a.startswith("--port="))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/shutdown":
            threading.Timer(0.1, os._exit, [0]).start()
        self.answer(b'{"value": {"ready": true, "message": "ready"}}')
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        BODY
    do_DELETE = do_GET
    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""


class BrowserScript(Injection):
    """The browser's executable is a shell script."""

    def __init__(self, script: str) -> None:
        self._script = script

    def build(self, build: Build, folder: Path) -> Build:
        """Put the script in the browser's place."""
        return dataclasses.replace(build, binary=_script(folder / "browser", self._script))


class Limited(Injection):
    """The host gives the browser less than it needs: `ulimit` with these words before it starts."""

    def __init__(self, limit: str) -> None:
        self._limit = limit

    def build(self, build: Build, folder: Path) -> Build:
        """Put a script in the browser's place that starts the browser."""
        script = f'ulimit {self._limit}\nexec {shlex.quote(str(build.binary))} "$@"'
        return dataclasses.replace(build, binary=_script(folder / "browser", script))


class DriverScript(Injection):
    """The driver's executable is a shell script."""

    def __init__(self, script: str) -> None:
        self._script = script

    def build(self, build: Build, folder: Path) -> Build:
        """Put the script in the driver's place."""
        return dataclasses.replace(build, driver=_script(folder / "driver", self._script))


class FakeDriver(Injection):
    """A driver that listens, but answers a new session with `reply` (statements of a request handler)."""

    def __init__(self, reply: str) -> None:
        self._reply = reply

    def build(self, build: Build, folder: Path) -> Build:
        """Put it in the driver's place."""
        program = folder / "driver.py"
        program.write_text(_DRIVER.replace("BODY", self._reply), encoding="utf-8")
        command = f'exec {shlex.quote(sys.executable)} {shlex.quote(str(program))} "$@"'
        return dataclasses.replace(build, driver=_script(folder / "driver", command))


class Missing(Injection):
    """Browser or driver vanish between discovery and start."""

    def __init__(self, what: str) -> None:
        self._what = what

    def build(self, build: Build, folder: Path) -> Build:
        """Point to nothing."""
        nothing = folder / f"no-such-{self._what}"
        if self._what == "driver":
            return dataclasses.replace(build, driver=nothing)
        return dataclasses.replace(build, binary=nothing)


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path
