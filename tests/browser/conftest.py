"""Real browsers for the tests; one session of each is shared where a test does not need its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from left import OURS, left_behind

from bench.browsers import BROWSERS
from bench.harness.lab import Lab
from bench.settings import load_settings


def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of `bench` in a process of its own, to its end."""
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def require(name: str) -> None:
    """Skip where that browser is not installed; CI installs chrome, firefox and webkitgtk."""
    if not BROWSERS[name].builds(load_settings()):
        pytest.skip(f"{name} is not on this machine: {BROWSERS[name].remedy}")


@pytest.fixture
def own_processes(tmp_path, monkeypatch):
    """A function that lists the live processes of this test, whatever else its worker has open."""
    monkeypatch.setenv(OURS, str(tmp_path))
    return lambda: left_behind(str(tmp_path))


@pytest.fixture(params=["webgpu", "webgpu-f16", "webnn"])
def platform(request, lab):
    """Each way that a program runs in the lab's browser: its platform, and whether activations are halves."""
    name, _, half = request.param.partition("-")
    if half and "shader-f16" not in lab.features:
        pytest.skip(f"the adapter of {lab.name} has no shader-f16")
    if name == "webnn" and lab.name == "firefox":
        pytest.skip("Firefox has no WebNN")
    return name, bool(half)


@pytest.fixture(scope="session", params=["chrome", "firefox"])
def lab(request):
    require(request.param)
    with Lab(request.param, load_settings()) as opened:
        opened.name = request.param
        opened.features = opened.adapter_features()
        yield opened
