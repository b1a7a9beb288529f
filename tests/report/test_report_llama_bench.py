"""What llama-bench's users read and type: its table, and its names for shapes."""

import re
import statistics

import pytest
from records import record, request, written

from bench.cli import main
from bench.cli.campaign_file import load
from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.plan.shapes import Shape, read
from bench.store import open_store

# As llama-bench prints a line: the model, its size, its parameters, where it ran, the test, and the speed.
LINE = re.compile(
    r"\| (?P<model>\S.*?) +\| +(?P<size>[\d.]+ [MG]iB)? *\| +(?P<params>[\d.]+ [MB])? *\| "
    r"(?P<backend>\S.*?) +\| (?P<browser>\S.*?) +\| +(?P<test>\S.*?) \| +(?P<rate>\S.*?) \|"
)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('bench')}/bench.sqlite"
    asked = [
        request(model="smollm2-135m", bits=4, sequence_length=512, generate=128),
        request(model="smollm2-135m", bits=8, sequence_length=128, generate=64),
        request(model="smollm2-135m", bits=2, sequence_length=128, generate=64),
        request(bits=8),
    ]
    with open_store(url) as store:
        campaign = store.create_campaign("texts", asked, seed=1, settings={})
        for cell, one in zip(campaign.cells, asked, strict=True):
            outcome = Outcome.CRASHED if one.bits == 2 else Outcome.OK
            store.record(cell.id, written(one, outcome) if one.generate else record(one))
    return url


@pytest.fixture
def printed(url, capsys):
    def run(*arguments, code=0):
        assert main(["query", "--db", url, "--format", "llama-bench", *arguments]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return run


def test_the_table_is_llama_benchs(printed, url):
    head, rule, *body = printed().splitlines()
    assert [one.strip() for one in head.strip("|").split("|")] == [
        *("model", "size", "params", "backend", "browser", "test", "t/s")
    ]
    assert set(rule) <= set("|-: ") and len({len(line) for line in (head, rule, *body[:6])}) == 1
    rows = [LINE.fullmatch(line).groupdict() for line in body[:6]]
    assert [row["test"] for row in rows[:2]] == ["pp512", "tg128 @ d512"]
    with open_store(url, create=False) as store:
        times = [one.value_ms for one in store.samples(1) if one.phase == "decode"]
    rates = [1000 / one for one in times]
    assert rows[1] == {
        "model": "smollm2-135m 4-bit",
        "size": "11.06 MiB",
        "params": "134.52 M",
        "backend": "WebGPU native",
        "browser": "chrome 153.0",
        "test": "tg128 @ d512",
        "rate": f"{statistics.fmean(rates):.2f} ± {statistics.stdev(rates):.2f}",
    }
    assert [row["rate"] for row in rows[4:]] == ["crashed", "crashed"]
    assert body[7:] == ["1 run of models that write no text left out", "build: webquant-bench 0.1.0"]


def test_what_cannot_be_printed_so_is_refused(printed):
    assert "no run of a language model" in printed("--where", "generate is null", code=2)
    assert "--columns id: not together" in printed("--columns", "id", code=2)


@pytest.mark.parametrize(
    ("where", "bits"),
    [
        ("test = pp512", {4}),
        ("test = tg64", {8, 2}),
        ("test = 'tg128 @ d512'", {4}),
        ("test = tg128@d128", set()),
        ("test in (pp512, tg64) and outcome = ok", {4, 8}),
        ("test != pp512", {8, 2}),
        ("not test = pp512", {8, 2}),
        ("test not in (pp512, tg64)", set()),
    ],
)
def test_a_filter_knows_the_names(url, where, bits):
    with open_store(url, create=False) as store:
        found = store.rows(where)
    assert {row["requested_bits"] for row in found if row["requested_generate"]} == bits
    if "not test" not in where:
        assert all(row["requested_generate"] for row in found)


@pytest.mark.parametrize("where", ["test = qq1", "test > pp512", "test is null", "test ~ pp"])
def test_a_filter_refuses_other_names(url, where):
    with open_store(url, create=False) as store, pytest.raises(InputError, match="pp512"):
        store.rows(where)


def test_names_are_read_as_people_write_them():
    assert read("pp 512") == read("PP512") == Shape(512, None)
    assert read("tg128 @ d2048") == read("tg128@d2048") == Shape(2048, 128)
    for name in ("", "pp", "tg", "pp512 @ d5", "tg1 @ 5", "pp512+tg128", "pp٣"):
        with pytest.raises(ValueError, match="no test of llama-bench"):
            read(name)


FILE = """name = "texts"
[matrix]
model = ["m"]
platform = ["webgpu"]
browser = ["chrome"]
bits = [4]
"""


@pytest.mark.parametrize(
    ("line", "shapes"),
    [
        ('test = ["pp512", "tg128"]', [(512, 128)]),
        ('test = "tg32"', [(128, 32)]),
        ('test = ["pp512"]', [(512, None)]),
        ('test = ["tg64 @ d128", "tg64 @ d1024"]', [(128, 64), (1024, 64)]),
        ('test = ["pp128", "pp512", "tg16", "tg64"]', [(128, 16), (128, 64), (512, 16), (512, 64)]),
        ('test = "tg8"\n[[include]]\ntest = "tg64 @ d512"', [(128, 8), (512, 64)]),
    ],
)
def test_a_campaign_file_knows_the_names(tmp_path, line, shapes):
    path = tmp_path / "texts.toml"
    path.write_text(FILE + line)
    _, arms, _ = load(path)
    assert [(arm.sequence_length, arm.generate) for arm in arms] == shapes


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('test = ["pp"]', "'pp' is no test of llama-bench"),
        ("test = 7", "test = 7: write pp512"),
        ('test = ["tg64 @ d128", "tg128 @ d512"]', r"\[\[include\]\] of its own"),
        ('sequence_length = [8]\ntest = "pp512"', "test says sequence_length too"),
        ('test = "tg4096"', "generate"),
    ],
)
def test_a_campaign_file_refuses_others_in_one_line(tmp_path, line, said):
    path = tmp_path / "texts.toml"
    path.write_text(FILE + line)
    with pytest.raises(InputError, match=said) as caught:
        load(path)
    assert "\n" not in str(caught.value)
