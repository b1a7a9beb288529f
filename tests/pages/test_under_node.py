"""The page's modules without a browser: each `*.test.js` of this folder runs under Node."""

import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = sorted(path.name for path in HERE.glob("*.test.js"))
# Fewest tests of each file: one that ran nothing has shown nothing.
LEAST = {
    "bundle.test.js": 31,
    "candidates.test.js": 9,
    "device.test.js": 2,
    "measure.test.js": 4,
    "plan.test.js": 904,
    "steady.test.js": 60,
    "template.test.js": 6,
    "tuning.test.js": 6,
    "variants.test.js": 5,
    "webnn_plan.test.js": 3,
}


def test_every_file_is_known():
    assert set(FILES) == set(LEAST)


@pytest.mark.parametrize("name", FILES)
def test_under_node(name):
    command = ["node", "--test", "--test-reporter=tap", str(HERE / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert int(re.search(r"^# pass (\d+)", done.stdout, re.M)[1]) >= LEAST[name]
    assert "# fail 0" in done.stdout and "# skipped 0" in done.stdout and "# todo 0" in done.stdout
