# ruff: noqa: E501 - a table of filters reads best with one filter a row
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from records import fill, record, request

from bench.errors import InputError
from bench.store import open_store
from bench.store.filter import compile_filter


@pytest.fixture(scope="module")
def store():
    with open_store("sqlite://") as opened:
        fill(opened)
        cell = opened.create_campaign("it's", [request(model="x' OR '1'='1")], seed=1, settings={}).cells[0]
        opened.record(cell.id, record(cell.request))
        yield opened


def ids(store, where):
    return [row["id"] for row in store.rows(where)]


@pytest.mark.parametrize(
    ("where", "same"),
    [
        ("bits = 4", lambda row: row["requested_bits"] == 4),
        ("BITS == '4'", lambda row: row["requested_bits"] == 4),
        ("bits <> 4", lambda row: row["requested_bits"] != 4),
        ("bits in (4, 2)", lambda row: row["requested_bits"] in (4, 2)),
        ("bits not in (4, 2)", lambda row: row["requested_bits"] not in (4, 2)),
        ("bits > 4.5", lambda row: row["requested_bits"] > 4.5),
        ("platform = webnn and not outcome = ok", lambda row: row["requested_platform"] == "webnn" and row["outcome"] != "ok"),
        ("browser=chrome or browser=firefox and bits=2", lambda row: row["browser"] == "chrome" or (row["browser"] == "firefox" and row["requested_bits"] == 2)),
        ("(browser=chrome or browser=firefox) AND bits=2", lambda row: row["browser"] in ("chrome", "firefox") and row["requested_bits"] == 2),
        ("latency_ms_median is null", lambda row: row["latency_ms_median"] is None),
        ("latency_ms_median is not null", lambda row: row["latency_ms_median"] is not None),
        ("latency_ms_median < 1e2", lambda row: (row["latency_ms_median"] or 1e9) < 100),
        ("adapter_is_fallback = true", lambda row: row["adapter_is_fallback"] is True),
        ("mixed_precision = false", lambda row: True),
        ("model like '%minilm%'", lambda row: "MiniLM" in row["model"]),
        ("model ~ minilm", lambda row: "MiniLM" in row["model"]),
        ("model ~ mini_m", lambda row: False),
        ("model not like '%minilm%'", lambda row: "MiniLM" not in row["model"]),
        ("browser_version = 153.3.0", lambda row: row["browser_version"] == "153.3.0"),
        ('campaign = "it\'s"', lambda row: row["campaign"] == "it's"),
        ("campaign = 'it''s'", lambda row: row["campaign"] == "it's"),
        ("id < 99999999999999999999999", lambda row: True),
        ("not not bits = 4", lambda row: row["requested_bits"] == 4),
    ],
)  # fmt: skip
def test_means_what_it_says(store, where, same):
    assert ids(store, where) == [row["id"] for row in store.rows() if same(row)]


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("latencyms_median < 3", "latency_ms_median"),
        ("btis = 4", "did you mean bits"),
        ("bits = four", "requested_bits is a number, not 'four'"),
        ("bits = nan", "is a number"),
        ("bits = 1e999", "is a number"),
        ("adapter_is_fallback = maybe", "true or false"),
        ("bits ~ 4", "is not text"),
        ("outcome = null", "outcome is null"),
        ("model = 'open", "never closed"),
        ('model = "open', "never closed"),
        ("bits = 4; drop table runs", "requested_bits is a number|cannot read"),
        ("bits = 4 bits = 8", "at 'bits = 8'"),
        ("bits =", "at its end"),
        ("bits in ()", "cannot read"),
        ("(bits = 4", "cannot read"),
        ("  ", "empty"),
        ("(" * 900, "deep|cannot read"),
        ("not " * 499 + "x=1", "deep|no column"),
        ("a" * 2001, "at most 2000"),
        ("model = '\0'", "no database"),
        ("model = '\ud800'", "no database"),
        ("bits = 4\nand nothing = 3", "nothing"),
    ],
)
def test_bad_filters_are_one_line(store, where, says):
    with pytest.raises(InputError, match=says) as caught:
        store.rows(where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["x' OR '1'='1", "'; DROP TABLE runs; --", "%", '" OR 1=1 --', "1) OR (1=1", "\\", "x UNION SELECT 1"],
)
def test_an_injection_is_only_a_value(store, value):
    quoted = "'" + value.replace("'", "''") + "'"
    assert ids(store, f"model = {quoted}") == [r["id"] for r in store.rows() if r["model"] == value]
    assert len(store.rows()) == 25


def test_values_are_bound_never_pasted():
    condition = compile_filter("model = 'bert' and bits in (4, 2) and browser like 'c%' and id < 3")
    sql = str(condition.compile(dialect=sa.create_engine("sqlite://").dialect))
    assert "bert" not in sql and "c%" not in sql and "= ?" in sql


_WORDS = st.sampled_from(
    [
        "bits",
        "model",
        "outcome",
        "id",
        "(",
        ")",
        "=",
        "!=",
        "<>",
        "<",
        "<=",
        "~",
        "like",
        "in",
        "is",
        "not",
        "null",
        "and",
        "or",
        ",",
        "'x'",
        '"',
        "'",
        "4",
        "1e9",
        "true",
        "chrome",
        "%",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_WORDS, max_size=14).map(" ".join)))
def test_no_text_raises_anything_else(store, text):
    try:
        store.rows(text)
    except InputError as error:
        assert len(str(error).splitlines()) == 1


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
def test_a_quoted_value_is_equal_only_to_itself(store, value):
    quoted = "'" + value.replace("'", "''") + "'"
    assert ids(store, f"model = {quoted}") == [r["id"] for r in store.rows() if r["model"] == value]
