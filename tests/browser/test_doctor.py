"""`bench doctor` against real browsers, and against executables that hang or die."""

import json
import time

import pytest

from bench.browsers import BROWSERS
from bench.cli import main
from bench.settings import load_settings

pytestmark = pytest.mark.browser


def needs(name):
    if not BROWSERS[name].builds(load_settings()):
        pytest.skip(f"{name} is not on this machine: `bench browsers install {name}`")


def doctor(capsys, *arguments):
    code = main(["doctor", *arguments])
    return code, capsys.readouterr().out


def test_chrome(capsys):
    needs("chrome")
    code, out = doctor(capsys, "--browser", "chrome", "--json")
    entries = json.loads(out)["browsers"]
    assert code == 0 and len(entries) == len(BROWSERS["chrome"].builds(load_settings()))
    for entry in entries:
        assert entry["version"] and entry["driver_version"] and entry["source"]
        assert entry["cross_origin_isolated"] and 0 < entry["timer_resolution_us"] <= 100
        assert entry["runs_webgpu"] and entry["device"]["opens"]
        assert entry["adapter"]["limits"]["maxBufferSize"] > 0
        assert entry["adapter"]["is_fallback_adapter"] == ("(software)" in entry["adapter"]["name"])
    fetched = [entry for entry in entries if entry["source"] == "fetched"]
    for entry in fetched:
        assert entry["runs_webnn"] and "int4" in entry["webnn"]["data_types"]["dequantizeLinear"]
        assert set(entry["webnn"]["devices"]) == {"cpu", "gpu", "npu"}


@pytest.mark.parametrize("name", ["firefox", "webkitgtk"])
def test_others(capsys, name):
    needs(name)
    code, out = doctor(capsys, "--browser", name)
    assert "navigator.ml is undefined" in out and "cross-origin isolated" in out
    if name == "firefox":
        assert code == 0 and "runs WebGPU" in out and "timestamp-query yes" in out
    else:
        assert code == 3 and "runs neither API" in out and "navigator.gpu is undefined" in out


@pytest.mark.parametrize(
    ("script", "outcome", "said"),
    [("exec sleep 1000", "timeout", "it hangs"), ("exit 1", "crashed", "it died")],
    ids=["hangs", "dies"],
)
def test_a_broken_build_is_reported_and_ended(capsys, tmp_path, own_processes, script, outcome, said):
    needs("chrome")
    binary = tmp_path / "broken"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    begun = time.monotonic()
    code, out = doctor(capsys, "--browser", f"chrome:{binary}", "--timeout", "6", "--json")
    [entry] = json.loads(out)["browsers"]
    assert code == 3 and time.monotonic() - begun < 40
    assert entry["failure"]["outcome"] == outcome and entry["failure"]["stage"] == "launch"
    assert said in entry["remedies"][0] and not entry["runs_webgpu"]
    assert not own_processes()
