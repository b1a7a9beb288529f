"""docs/performance.md: figures of published sets, by hand, on small databases made through the store."""

import itertools
import re
import shlex

import pytest
import typer
from records import operator, record, request, written

import made_performance
from bench.cli import application, kernels
from bench.harness.outcome import Outcome
from bench.plan.cells import Plan, PlannedCell
from bench.store import CampaignState, open_store
from made_kernels import MOST_ROWS
from made_operators import Operators
from made_sets import result_sets

NORM = "rms-norm 8x64"
OK, INCORRECT, CRASHED = Outcome.OK, Outcome.INCORRECT, Outcome.CRASHED


@pytest.fixture
def published(tmp_path):
    """Writes campaigns into the set `mine`: `bench kernels` where there are variants."""

    def publish(name, cells, variants=None, *, rounds=3):
        """`cells`: (block, what is asked, its run or None)."""
        settings = {"kernels": {"rounds": rounds, "spread": None, "variants": variants}} if variants else {}
        plan = Plan(0, {}, tuple(PlannedCell(n, at, "arm", one) for n, (at, one, _) in enumerate(cells)))
        with open_store(f"sqlite:///{tmp_path}/mine/runs.sqlite", create=True) as store:
            campaign = store.plan_campaign(name, plan, settings=settings)
            for cell, (_, _, made) in zip(campaign.cells, cells, strict=True):
                if made is not None:
                    store.record(cell.id, made)
            done = all(made for _, _, made in cells)
            store.set_state(campaign.id, CampaignState.DONE if done else CampaignState.INTERRUPTED)
        return tmp_path

    return publish


def ran(*made, block=0):
    return [(block, one.requested, one) for one in made]


def planned(engine, **asked):
    return [(0, operator(engine, [1.0], [1.0], **asked).requested, None)]


def lines(folder, section):
    """What a section of the page says, by lines."""
    page = made_performance.performance_page(folder)
    return page.split(f"\n## {section}\n")[1].split("\n## ")[0].splitlines()


def rows(folder, section):
    """Cells of the tables of a section, without headings."""
    found = [line for line in lines(folder, section) if line.startswith("|")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in found]
    return [cells for cells in split if cells[0] not in ("operator", "constants", "model", "---")]


_MATRIX = {"group_size", "scheme"}
LEVELS = ["native", "ort-web", "ort-web level 4"]


def test_a_line_has_both_sides_and_the_ratio_to_the_better_level(published):
    folder = published(
        "both",
        ran(
            operator("native", [0.002, 0.004, 0.006], [0.001, 0.002, 0.004]),
            operator("ort-web", [0.02, 0.02, 0.02], [0.009, 0.009, 0.009]),
            operator("ort-web", [0.004, 0.012, 0.006], [0.003, 0.008, 0.004], level=4),
        ),
        LEVELS,
    )
    [row] = rows(folder, "Operators")
    # Within the rounds: 3, 4 and 1 of GPU time; 2, 3 and 1 by the clock.
    assert row == [
        *("matmul 1x8x32", "4", "2.00", "4.00", "4", "3.00x", "4.00", "6.00", "2.00x", "50 %", "25 %", ""),
    ]
    said = "\n".join(lines(folder, "Operators"))
    assert "`both`: chrome, feature set `stock`, 3 rounds." in said
    assert "**SwiftShader Device (Subzero) (a software adapter: its times say nothing of a GPU)**" in said
    assert "chrome 153.0.8010.0; Test CPU, 2 cores, Linux 6.1 (Debian 12); harness 0.1.0; 2026-11-23" in said
    assert "Ours is faster in 1 of the 1" in said


def test_a_level_that_is_wrong_leaves_the_other_and_says_so(published):
    folder = published(
        "levels",
        ran(
            operator("native", [0.001] * 3, [0.001] * 3),
            operator("ort-web", [0.005] * 3, [0.005] * 3),
            operator("ort-web", [0.002] * 3, [0.002] * 3, level=4, outcome=INCORRECT),
        ),
        LEVELS,
    )
    [row] = rows(folder, "Operators")
    assert row[3:6] == ["5.00", "0", "5.00x"] and row[-1] == "peer level 4 incorrect"


def test_a_side_that_is_missing_has_no_ratio_and_a_word(published):
    folder = published(
        "holes",
        [
            *ran(operator("native", [0.001] * 3, [0.001] * 3, outcome=CRASHED)),
            *ran(operator("ort-web", [0.005] * 3, [0.005] * 3)),
            *ran(operator("native", [0.001] * 3, [0.001] * 3, bits=8)),
            *planned("ort-web", bits=8),
            *ran(operator("native", [0.001] * 3, [0.001] * 3, model=NORM, bits=16)),
        ],
        ["native", "ort-web"],
    )
    bad, unfinished, alone = rows(folder, "Operators")
    assert bad[2:6] == ["", "5.00", "", ""] and bad[-1] == "ours crashed"
    assert unfinished[2:6] == ["1.00", "", "", ""] and unfinished[-1] == "peer not run"
    assert alone[:6] == [NORM, "", "1.00", "", "", ""] and alone[-1] == "peer not asked for"
    said = "\n".join(lines(folder, "Operators"))
    assert "the campaign is interrupted" in said and "Ours is faster" not in said
    assert "matmul 1x8x32 4-bit native: Failed to execute 'input'" in said  # why it crashed


def test_blocks_are_one_line_whose_ratios_stay_within_the_rounds(published):
    """The peer has no second block: the rounds of ours there are beside nothing."""
    cells = []
    for block, (ours, theirs) in enumerate(
        [(0.001, 0.002), (0.001, None), (0.002, 0.008), (0.004, 0.012)],
    ):
        cells += ran(operator("native", [ours] * 3, [ours] * 3), block=block)
        outcome = OK if theirs else CRASHED
        cells += ran(
            operator("ort-web", [theirs or 1.0] * 3, [theirs or 1.0] * 3, outcome=outcome), block=block
        )
    # The run that crashed has no rounds, as `bench kernels` writes it.
    cells[3][2].evidence["rounds"] = {"wall_ms": None, "gpu_ms": None, "calls": None}
    folder = published("blocks", cells, ["native", "ort-web"])
    [row] = rows(folder, "Operators")
    # Ratios 2, 4 and 3; ours in the middle of 1, 1, 2 and 4 µs.
    assert row[2:6] == ["1.50", "8.00", "", "3.00x"] and row[-1] == "peer ok, crashed"
    assert "4 starts of the browser" in "\n".join(lines(folder, "Operators"))


def test_without_gpu_times_the_clock_speaks(published):
    folder = published(
        "clock",
        ran(operator("native", [0.002] * 3, []), operator("ort-web", [0.004] * 3, [])),
        ["native", "ort-web"],
    )
    [row] = rows(folder, "Operators")
    assert row[2:9] == ["", "", "", "", "2.00", "4.00", "2.00x"]


def swept(count):
    """The default, and so many constants, each slower than the one before it; the last one is wrong."""
    made = [operator("native", [0.00195] * 3, [0.00195] * 3)]
    for step in range(1, count + 1):
        time = 0.0015 + step / 10000
        outcome = OK if step < count else INCORRECT
        made.append(operator("native", [time] * 3, [time] * 3, tuning={"ROWS": step}, outcome=outcome))
    return made


def test_a_sweep_is_sorted_and_says_how_far_from_the_default(published):
    labels = ["native", *(f'native {{"ROWS": {step}}}' for step in range(1, 8))]
    folder = published("few", ran(*swept(7)), labels)
    found = rows(folder, "Sweeps")
    order = [1, 2, 3, 4, None, 5, 6, 7]
    assert [row[0] for row in found] == [f'`{{"ROWS": {one}}}`' if one else "default" for one in order]
    assert found[0][1:] == ["1.60", "1.22x", "1.60", "ok"]
    assert next(row for row in found if row[0] == "default")[2] == ""
    assert found[-1] == ['`{"ROWS": 7}`', "", "", "", "incorrect"]
    assert rows(folder, "Operators") == []  # without the peer it says nothing of that


def test_a_long_sweep_loses_its_slow_ones_and_no_failure(published):
    labels = ["native", *(f'native {{"ROWS": {step}}}' for step in range(1, 31))]
    folder = published("many", ran(*swept(30)), labels)
    found = rows(folder, "Sweeps")
    assert len(found) == MOST_ROWS and found[-1][-1] == "incorrect"
    assert [row[0] for row in found].count("default") == 1
    assert found[0][0] == '`{"ROWS": 1}`' and "19 slower ones left out." in lines(folder, "Sweeps")


@pytest.mark.parametrize(
    ("variants", "asked"),
    [
        (LEVELS, {}),
        (["ort-web level 4", "ort-web"], {"browser": "firefox", "gpu_features": "all", "device": "gpu"}),
        (["native", 'native {"ROWS": 4, "TEAM": 32}'], {"group_size": 64, "scheme": "asymmetric"}),
        (['native {"ROWS": 4}', "ort-web"], {"gpu_features": "f16"}),
    ],
)
def test_the_line_beneath_asks_for_the_same(published, variants, asked):
    """Read by the command's own parser: the same operators, variants and settings."""
    engines = list(dict.fromkeys(one.partition(" ")[0] for one in variants))
    shapes = [("matmul 1x8x32", (8, 4)), ("matmul 4x8x32", (8, 4)), (NORM, (16,))]
    cells = []
    for (model, bits), engine in itertools.product(shapes, engines):
        for each in bits:
            # What is no matrix is not stored in groups.
            own = {key: asked[key] for key in asked.keys() - (_MATRIX if model == NORM else set())}
            cells += ran(operator(engine, [0.1], [0.1], model=model, bits=each, **own))
    folder = published("typed", cells, variants, rounds=9)
    [one] = [each for each in result_sets(folder) if each.of_operators]
    block = Operators(one, one.of_operators[0]).command()
    assert block[0] == "```text" and all(len(line) < 120 for line in "\n".join(block).splitlines())
    words = shlex.split(block[1].replace("\\\n", ""))
    assert words[:2] == ["bench", "kernels"]
    command = typer.main.get_command(application()).commands["kernels"]
    given = command.make_context("kernels", words[2:]).params
    typed = {kind: given[kind.replace("-", "_")] for kind in kernels.KINDS}
    found = kernels._asked(typed, given["bits"] or kernels.BITS, given["group_size"], given["scheme"])
    assert [(case.operator.name, case.bits) for case in found.cases(found.shapes)] == [
        (model, each) for model, bits in shapes for each in bits
    ]
    of = kernels._variants(
        given["engine"] or kernels._ENGINES, given["tuning"] or [], given["accuracy_level"] or ["0"]
    )
    assert [each.label for each in of] == variants
    first = cells[0][1]
    for name in ("browser", "device", "gpu_features", "scheme"):
        assert given[name] == getattr(first, name)
    assert (given["rounds"], given["name"], given["group_size"]) == (9, "typed", str(first.group_size))


def text(outcome=OK, *, decode=10.0, first=90.0, **asked):
    one = request(**{"model": "smollm2-135m", "sequence_length": 128, "generate": 64, **asked})
    return written(one, outcome, decode=decode, prefill=first)


def test_language_models_by_bits_and_against_the_peer(published):
    made = [
        text(bits=16, decode=10.0, first=90.0),
        text(bits=4, decode=4.0, first=80.0),
        text(bits=16, decode=20.0, engine="ort-web"),
        text(INCORRECT, bits=4, engine="ort-web"),
        text(bits=4, decode=5.0, gpu_features="all"),
    ]
    folder = published("words", ran(*made))
    (folder / "mine" / "words.toml").write_text('name = "words"\n')
    page = lines(folder, "Language models")
    head = next(line for line in page if line.startswith("| model"))
    assert head == (
        "| model | weights | prompt + written | browser | engine | feature set | 16 bits | 4 bits | "
        "4 bits over 16 | over ort-web at | first token, ms, at 16, 8, 4, 2 bits |"
    )
    shared = ["smollm2-135m", "local", "128 + 64 tokens", "chrome 153.0.8010.0"]
    ours, theirs, features = rows(folder, "Language models")
    assert ours == [
        *shared,
        *("native webgpu", "stock", "100", "250", "2.50x", "16 bits 2.00x", "90.0, –, 80.0, –"),
    ]
    assert theirs == [*shared, "ort-web webgpu", "stock", "50.0", "incorrect", "", "", "90.0, –, –, –"]
    assert features[4:9] == ["native webgpu", "all", "", "200", ""]
    assert any("[words.toml](../results/mine/words.toml)" in line for line in page)
    said = "\n".join(page)
    assert "smollm2-135m 4-bit ort-web chrome 153.0.8010.0, incorrect: relative L2 distance" in said
    assert "bench run" not in said


def test_a_language_model_that_did_not_start_is_beside_those_that_did(published):
    asked = text(bits=4).requested
    folder = published("part", [*ran(text(bits=16)), (0, asked, None)])
    [row] = rows(folder, "Language models")
    assert row[6:8] == ["100", "not run"]
    assert any(
        re.fullmatch(r"bench run .*--model smollm2-135m --bits 16 --bits 4 .*--generate 64", line)
        for line in lines(folder, "Language models")
    )


def test_without_such_runs_each_section_is_a_line(published):
    folder = published("plain", ran(record(request())))
    for section, what in (
        ("Operators", "campaigns of `bench kernels`"),
        ("Language models", "runs of language models"),
        ("Sweeps", "campaigns of `bench kernels` with `--tuning`"),
    ):
        assert [line for line in lines(folder, section) if line] == [f"No published set holds {what} so far."]
    assert "No published set has notes" in "\n".join(lines(folder, "Notes"))


def test_notes_stand_as_they_were_written(published):
    folder = published("plain", ran(record(request())))
    (folder / "mine" / "notes.md").write_text("#### Why\n\nIt was **cold**.\n")
    assert "\n".join(lines(folder, "Notes")).strip() == "### `mine`: notes\n\n#### Why\n\nIt was **cold**."


def test_operators_are_no_models_and_reading_changes_nothing(published):
    published("plain", ran(record(request())))
    folder = published("ops", ran(operator("native", [0.1], [0.1])), ["native"])
    before = {path.name: path.read_bytes() for path in (folder / "mine").iterdir()}
    [one] = result_sets(folder)
    assert len(one.board.runs) == 2 and list(one.models.runs["requested_model"]) == ["all-MiniLM-L6-v2"]
    assert {path.name: path.read_bytes() for path in (folder / "mine").iterdir()} == before
