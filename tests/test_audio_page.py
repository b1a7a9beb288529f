"""docs/audio.md: shapes beside each other in two browsers, by hand; its lines can be typed."""

import json
import shlex
import subprocess
import sys

import pytest
import typer
from records import operator

import made_audio
import made_performance
from bench.cli import application, kernels
from bench.harness.outcome import Outcome
from bench.models.operators import Operator
from bench.plan.cells import Plan, PlannedCell
from bench.store import CampaignState, open_store

NORM = {"model": "layer-norm 150x384", "bits": 16}
TILE = {"BM": 64, "BN": 64, "BK": 32, "TM": 4, "TN": 4}
SCRIPT = str(made_audio.ROOT / made_audio.SCRIPT)


def ran(tuning, gpu, kernel, outcome=Outcome.OK, **asked):
    made = operator("native", [9.0, 9.0, 9.0], gpu, tuning=tuning, outcome=outcome, **{**NORM, **asked})
    made.evidence["notes"] = {"kernels": {kernel: [150, 1, 1]}}
    return made


def norm(threads):
    return f"layer_norm {json.dumps({'ADD': 1, 'THREADS': threads, 'EACH': 0}, separators=(',', ':'))}"


@pytest.fixture
def publish(tmp_path):
    def write(name, made, planned=()):
        asked = [*(one.requested for one in made), *planned]
        plan = Plan(0, {}, tuple(PlannedCell(at, 0, "arm", one) for at, one in enumerate(asked)))
        labels = ["native", *(f"native {json.dumps(one.evidence['variant']['tuning'])}" for one in made[1:])]
        settings = {"kernels": {"rounds": 3, "spread": None, "variants": labels}}
        with open_store(f"sqlite:///{tmp_path}/mine/runs.sqlite", create=True) as store:
            campaign = store.plan_campaign(name, plan, settings=settings)
            for cell, one in zip(campaign.cells, made, strict=False):
                store.record(cell.id, one)
            store.set_state(campaign.id, CampaignState.DONE)
        return tmp_path

    return write


def rows(folder):
    page = made_audio.audio_page(folder)
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"
    ]


def test_shapes_stand_beside_each_other_in_two_browsers(publish):
    publish(
        "audio-norm-chrome",
        [
            ran({}, [1.0, 2.0, 4.0], norm(4)),
            ran({"NORM_THREADS": 4}, [1.0, 2.5, 4.0], norm(4)),
            ran({"NORM_THREADS": 256}, [2.0, 1.0, 4.0], norm(256)),
        ],
    )
    firefox = {"browser": "firefox"}
    folder = publish(
        "audio-norm-firefox",
        [
            ran({}, [8.0, 8.0, 8.0], norm(64), **firefox),
            ran({"NORM_THREADS": 4}, [4.0, 2.0, 1.0], norm(4), **firefox),
            ran({"NORM_THREADS": 256}, [], norm(256), Outcome.ERROR, **firefox),
        ],
    )
    assert rows(folder) == [
        [
            *("workgroups", "constants", "chrome, µs", "chrome, to the default"),
            *("firefox, µs", "firefox, to the default"),
        ],
        ["---"] * 6,
        ["layer_norm 4; layer_norm 64", "default", "2000", "", "8000", ""],
        [
            "layer_norm 4", '`{"NORM_THREADS": 4}`, as the default in chrome', "2500",
            "1.00x (0.800x to 1.00x)", "2000", "4.00x (2.00x to 8.00x)",
        ],
        ["layer_norm 256", '`{"NORM_THREADS": 256}`', "2000", "1.00x (0.500x to 2.00x)", "error", ""],
    ]  # fmt: skip
    page = made_audio.audio_page(folder)
    assert 'native {"NORM_THREADS": 256}: ' in page and "## `mine`" in page
    assert page.count("--name audio-norm-") >= 2 and "--name audio-norm-firefox" in page
    # The page on performance leaves them to this one.
    assert "audio-norm" not in made_performance.performance_page(folder)


def test_notes_of_such_a_set_stand_on_its_page(publish):
    folder = publish("audio-norm-chrome", [ran({}, [1.0], norm(4))])
    (folder / "mine" / "notes.md").write_text("Others were at work.\n")
    assert "\n\nOthers were at work.\n\n" in made_audio.audio_page(folder)
    assert "Others were at work" not in made_performance.performance_page(folder)


def test_what_was_not_run_is_said(publish):
    left = operator("native", [1.0], [1.0], **NORM).requested
    folder = publish("audio-norm-chrome", [ran({}, [1.0], norm(4))], [left])
    assert f"chrome: 1 cells {made_audio.NOT_RUN}." in made_audio.audio_page(folder)


def test_without_a_set_it_says_so_and_how(tmp_path):
    page = made_audio.audio_page(tmp_path)
    assert "No published set holds such a sweep so far." in page and f"python {made_audio.SCRIPT} gpu" in page


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        ('unfold {"THREADS":256}', "unfold 256"),
        (f"matmul_tile {json.dumps({**TILE, 'BITS': 4})}", "matmul_tile 256"),
        ('attention {"D":64,"TQ":32,"TK":16,"RQ":4,"RK":2}', "attention 64"),
        ('attention_matrix {"D":64,"TQ":64,"TK":32}', "attention_matrix 128"),
        ("softmax", "softmax"),
    ],
)
def test_threads_of_a_workgroup(kernel, said):
    assert made_audio._workgroups(made_audio.Side(ran({}, [1.0], kernel), [])) == said


@pytest.mark.parametrize("on", ["gpu", "processor"])
def test_what_the_script_types_can_be_typed(on):
    done = subprocess.run([sys.executable, SCRIPT, on, "--print"], capture_output=True, text=True, check=True)
    typed = [shlex.split(line) for line in done.stdout.splitlines()]
    command = typer.main.get_command(application()).commands["kernels"]
    names = set()
    for words in typed:
        given = command.make_context("kernels", words[2:]).params
        shapes = [
            Operator.parse(kind, each)
            for kind in kernels.KINDS
            for each in given[kind.replace("-", "_")] or ()
        ]
        variants = kernels._variants(given["engine"], given["tuning"], ["0"])
        assert shapes and variants[0].label == "native" and len(variants) >= 6
        assert given["rounds"] >= kernels.LEAST_ROUNDS
        names.add(given["name"])
        # 256x1x1 is among the candidates of each.
        assert any(256 in _threads(dict(one.tuning)) for one in variants[1:])
    kinds = ("convolution", "attention", "products", "norm")
    assert names == {f"audio-{kind}-{browser}" for kind in kinds for browser in ("chrome", "firefox")}


def _threads(forced):
    found = {forced.get("UNFOLD_THREADS"), forced.get("NORM_THREADS")}
    if "BM" in forced:
        found.add(forced["BM"] // forced["TM"] * (forced["BN"] // forced["TN"]))
    if "TQ" in forced:
        found.add(forced["TQ"] // forced["RQ"] * (forced["TK"] // forced["RK"]))
    return found
