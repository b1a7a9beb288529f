"""Every command line and code sample of the announcement, run as it is written there.

`make test` shortens sequence and time through the documented environment variables; `make test-long`
(marker `long`) shortens nothing. In the short form a command line that stands there twice, on its own and in
a loop, is run once: the `python` that the shell finds hands the first answer out again.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "tests" / "data" / "announcement-2025-03.md").read_text(encoding="utf-8")
SHORT = {"BENCH_SEQUENCE_LENGTH": "1", "BENCH_ITERATIONS": "1", "BENCH_MAX_SECONDS": "0.1"}
SCRIPT = "run_real_webgpu_webnn.py"
DEFAULT_BITS = {"webgpu": 4, "webnn": 8, "both": 8}

# Same arguments, same answer; anything but the script goes straight through.
ONCE = """#!/bin/sh
[ "$1" = run_real_webgpu_webnn.py ] || exec {python} "$@"
kept={folder}/$(echo "$@" | cksum | cut -d' ' -f1)
if [ ! -f "$kept.code" ]; then
    {python} "$@" > "$kept.out" 2> "$kept.err"
    echo $? > "$kept.code"
fi
cat "$kept.out"
cat "$kept.err" >&2
exit "$(cat "$kept.code")"
"""

pytestmark = pytest.mark.browser


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def commands():
    """Each bash command once: a line, or a loop as a whole; comments stay as they are written."""
    found = {}
    for block in blocks("bash"):
        for command in re.findall(r"^for .*?^done|^(?!#)\S.*?$", block, re.MULTILINE | re.DOTALL):
            found.setdefault(command.partition("#")[0].strip(), command)
    return list(found.values())


def samples():
    return blocks("python")


def option(command, name, default=None):
    match = re.search(rf"--{name}[ =](\S+)", command)
    return match.group(1) if match else default


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as the announcement's reader has it: the script lies in it, `python` is ours."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copy(ROOT / SCRIPT, folder)
    return folder


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder with a `python` that runs the script once for the same arguments."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "python").write_text(ONCE.format(python=sys.executable, folder=folder))
    (folder / "python").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def run(place, once):
    def start(command, *, short):
        names = [*SHORT, "WEBNN_EXPERIMENTAL_PRECISION", "BENCH_DB"]
        environment = {name: value for name, value in os.environ.items() if name not in names}
        python = once if short else Path(sys.executable).parent
        environment["PATH"] = f"{python}{os.pathsep}{environment['PATH']}"
        environment["PYTHONPATH"] = str(ROOT)
        environment.update(SHORT if short else {})
        return subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=1500, check=False
        )

    return start


def documents(text):
    """The JSON objects printed one after the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := text.find("{", at)) >= 0:
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


def check(run, *, platform, browser, bits, mixed=False, experimental=False, model="bert-base-uncased"):
    """One row: what was asked for, and a real number or the reason why there is none."""
    asked = run["requested"]
    assert (asked["platform"], asked["browser"], asked["model"]) == (platform, browser, model)
    assert (asked["bits"], asked["mixed_precision"]) == (bits, mixed)
    assert asked["experimental_precision"] == experimental
    assert run["status"] == run["outcome"] and run["id"] > 0
    if browser == "edge" and run["outcome"] == "unavailable":
        assert "edge is not on this machine" in run["error"]["message"]
        assert "install Microsoft Edge" in run["error"]["message"]
        assert run["metrics"]["latency_ms"] is None
        return
    expected = 8 if platform == "webnn" and bits < 8 and not experimental else bits
    assert run["outcome"] == ("ok" if expected == bits else "fallback"), run["error"]
    assert run["effective"]["platform"] == platform and run["effective"]["bits"] == expected
    assert run["metrics"]["latency_ms"]["median"] > 0 and run["metrics"]["throughput_per_s"] > 0
    assert run["quality"]["kernel_rel_l2"] < 5e-3
    if bits < 16 and "dequantized once, held as float32" in run["effective"]["weight_path"]:
        assert run["metrics"]["memory_reduction"] < 0, (
            "WebNN's default plan buys time with memory, and says so"
        )
    elif bits < 16:
        assert run["metrics"]["memory_reduction"] > 0.4
        assert (run["effective"]["bits_mean"] > bits) == mixed
    assert run["environment"]["browser_version"] and run["environment"]["user_agent"]


def check_command(done, command):
    """A command's output against its own flags."""
    model = option(command, "model", "bert-base-uncased")
    platform = option(command, "platform", "webgpu")
    loop = re.search(r"for BITS in ([\d ]+);", command)
    asked = [int(one) for one in loop.group(1).split()] if loop else [option(command, "bits")]
    found = documents(done.stdout)
    assert len(found) == len(asked), done.stderr
    for document, bits in zip(found, asked, strict=True):
        assert set(document) == {"campaign", "runs"}
        platforms = ["webgpu", "webnn"] if platform == "both" else [platform]
        assert sorted(run["requested"]["platform"] for run in document["runs"]) == platforms
        for run in document["runs"]:
            check(
                run,
                platform=run["requested"]["platform"],
                browser=option(command, "browser", "chrome"),
                bits=int(bits or DEFAULT_BITS[platform]),
                mixed="--mixed-precision" in command,
                model=model,
                experimental="--experimental-precision" in command,
            )
    absent = all(run["outcome"] == "unavailable" for document in found for run in document["runs"])
    assert done.returncode == (3 if absent else 0), done.stderr


def check_sample(done, place):
    """The two samples: one prints what the functions return, the other what the command printed."""
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    printed = re.findall(
        r"^(WebNN test result|(\d+)-bit WebGPU result): (\{.*\})$", done.stdout, re.MULTILINE
    )
    for head, bits, text in printed:
        run = ast.literal_eval(text)
        if head.startswith("WebNN"):
            check(run, platform="webnn", browser="edge", bits=4, experimental=True)
        else:
            check(run, platform="webgpu", browser="chrome", bits=int(bits))
    return [bits for _, bits, _ in printed]


def test_the_announcement_has_what_is_run_here():
    assert len(commands()) == 15 and len(samples()) == 2
    assert sum(command.count(SCRIPT) for command in commands()) == len(commands())


def everyday():
    """The commands; those that differ from another in the bits alone are of the long form."""
    plain = re.compile(r"--platform webgpu --browser chrome --bits (16|8)\b")
    return [pytest.param(one, marks=pytest.mark.long) if plain.search(one) else one for one in commands()]


@pytest.mark.parametrize("command", everyday())
def test_command(run, command):
    check_command(run(["bash", "-c", command], short=True), command)


@pytest.mark.parametrize("number", range(2), ids=["functions", "subprocess"])
def test_sample(run, place, number):
    (place / "sample.py").write_text(samples()[number], encoding="utf-8")
    bits = check_sample(run(["python", "sample.py"], short=True), place)
    assert bits == (["", "16", "8", "4", "2"] if number == 0 else [])


def test_the_second_sample_gets_the_row_it_parses(run, place):
    """The sample throws its answer away; this prints it."""
    head, call = samples()[1].rstrip().rsplit("\n", 1)
    inner = re.fullmatch(r"asyncio\.run\((.*)\)", call).group(1)
    (place / "printing.py").write_text(f"{head}\nprint(json.dumps(asyncio.run({inner})))\n", encoding="utf-8")
    done = run(["python", "printing.py"], short=True)
    [found] = json.loads(done.stdout)["runs"]
    check(found, platform="webnn", browser="edge", bits=4, experimental=True)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", commands())
def test_command_unshortened(run, command):
    check_command(run(["bash", "-c", command], short=False), command)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(2), ids=["functions", "subprocess"])
def test_sample_unshortened(run, place, number):
    (place / "sample.py").write_text(samples()[number], encoding="utf-8")
    check_sample(run(["python", "sample.py"], short=False), place)
