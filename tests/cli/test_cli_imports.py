"""What a command does not need it does not import: each library adds 50 ms or more to its start."""

import subprocess
import sys

import pytest

# See `python -X importtime -m bench query --help`.
SLOW = {"aiohttp", "matplotlib", "numpy", "onnx", "pandas", "pyarrow", "pyparsing", "scipy", "selenium"}
NEEDED = {
    "query": set(),
    "show": set(),
    "db": set(),
    "report": set(),
    "run": {"numpy"},  # models are looked at before a runner is started: that one has the rest
    "campaign": {"numpy"},
}


@pytest.mark.parametrize("command", NEEDED)
def test_a_command_imports_only_what_it_needs(command):
    code = f"import sys; from bench.cli import application; application({command!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split()) & SLOW
    assert loaded <= NEEDED[command]
