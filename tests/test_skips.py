"""With `CI=true` a skip that is on no list fails a run, also where several processes test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import skips

HERE = Path(__file__).parent
FILE = """
import pytest
@pytest.mark.skipif(True, reason={reason!r})
def test_one():
    pass
def test_two():
    pass
@pytest.mark.xfail(strict=True)
def test_three():
    raise AssertionError
"""


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("ci", "reason", "code"),
    [
        ("true", "chrome is not on this machine: type ...", 1),
        ("", "chrome is not on this machine: type ...", 0),
        ("true", "the adapter of chrome has no shader-f16", 0),
    ],
)
def test_what_a_skip_does(tmp_path, ci, reason, code, workers):
    (tmp_path / "test_it.py").write_text(FILE.format(reason=reason))
    (tmp_path / "conftest.py").write_text((HERE / "conftest.py").read_text())
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", workers,
         "--rootdir", str(tmp_path), str(tmp_path / "test_it.py")],
        env={**os.environ, "CI": ci, "PYTHONPATH": path}, cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert ("not on the list" in done.stdout) is (code == 1)


def test_every_reason_on_the_list_says_why():
    assert all(skips.ALLOWED.values())
    assert not skips.allowed("firefox is not on this machine: type `bench browsers install firefox`")
    assert not skips.allowed("Java is not on this machine") and not skips.allowed(
        "PostgreSQL is not on this machine"
    )
