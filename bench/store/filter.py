"""The language of `--where`, read with a grammar and turned into bound parameters, never into SQL text.

    bits = 4 and outcome in (ok, fallback)
    latency_ms_median < 20 and not (browser = firefox or platform = webnn)
    error_message ~ "not supported" and effective_bits is null

`like` takes SQL's pattern (`%` any text, `_` one character), in any case; `~` is the same, and looks for the
text anywhere where it has no `%`. A name that is no column is read as `requested_NAME` where that is one. A
blank (not measured) meets no comparison, only `is null`. `test = pp512` or `test = "tg128 @ d512"` means
runs of language models by the names that llama-bench has for their shapes (`bench.plan.shapes`).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

from bench.errors import InputError
from bench.plan import shapes
from bench.store.schema import SUMMARY

if TYPE_CHECKING:
    import pyparsing as pp

MAX_LENGTH = 2000
TEST = "test"  # no column: what llama-bench's users call a shape
_LARGEST = 2**63 - 1

Condition = sa.ColumnElement[bool]
_COMPARE: dict[str, Callable[[Any, Any], Condition]] = {
    "=": lambda left, right: left == right,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<>": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def nearest(word: str, allowed: Iterable[str]) -> str:
    """`did you mean ...` with the closest names, or the first few there are."""
    names = list(allowed)
    close = difflib.get_close_matches(word.lower(), names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there is {', '.join(names[:8])}{' …' if len(names) > 8 else ''}"


def column(name: str, table: sa.FromClause = SUMMARY) -> sa.Column[Any]:
    """The column of `run_summary`, or of another table, that a name or short name means.

    Raises:
        InputError: none; the message names the nearest.
    """
    for candidate in (name, name.lower(), f"requested_{name.lower()}"):
        if candidate in table.c:
            return cast("sa.Column[Any]", table.c[candidate])  # or a label, which has name and type too
    short = [item.name.removeprefix("requested_") for item in table.c]
    raise InputError(f"there is no column {name!r}: {nearest(name, dict.fromkeys(short))}")


def compile_filter(text: str, table: sa.FromClause = SUMMARY) -> Condition:
    """A `--where` expression as a condition on `run_summary`, or on another table.

    Raises:
        InputError: whatever is wrong with it, in one line.
    """
    import pyparsing as pp

    if not text.strip():
        raise InputError("the filter is empty: write for example bits = 4 and outcome = ok")
    if len(text) > MAX_LENGTH:
        raise InputError(f"the filter has {len(text)} characters: at most {MAX_LENGTH}")
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InputError(f"the filter {_cut(ascii(text))} holds a character that no database can")
    try:
        tree = _grammar().parse_string(text, parse_all=True)[0]
        return _build(tree, table)
    except pp.ParseBaseException as error:
        raise InputError(_explain(text, error)) from None
    except RecursionError:
        raise InputError("the filter nests too deeply: write it with fewer parentheses") from None


def _explain(text: str, error: pp.ParseBaseException) -> str:
    rest = text[error.loc :].strip()
    for quote in "'\"":
        if rest.startswith(quote) and rest.count(quote) % 2:
            return f"the filter has a quote that is never closed: {_cut(rest)!r}"
    where = f"at {_cut(rest)!r}" if rest else "at its end"
    return f"cannot read the filter {_cut(text)!r} {where}: expected a comparison such as bits = 4"


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


@cache
def _grammar() -> pp.ParserElement:
    """Names, values and operators; every alternative is told from the others by its next word."""
    import pyparsing as pp

    def keyword(*words: str) -> pp.ParserElement:
        return pp.MatchFirst([pp.CaselessKeyword(word) for word in words])

    reserved = keyword("and", "or", "not", "in", "is", "like", "null")
    name = ~reserved + pp.Regex(r"[A-Za-z_][A-Za-z0-9_]*")
    quoted = pp.Regex(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
    quoted.set_parse_action(lambda found: ("text", _unquote(found[0])))
    bare = ~keyword("and", "or", "not", "in", "is", "like") + pp.Regex(r"[^\s()'\",=<>!~]+")
    bare.set_parse_action(lambda found: ("bare", found[0]))
    value = quoted | bare
    left, right = pp.Suppress("("), pp.Suppress(")")
    absent = pp.Optional(keyword("not")).set_parse_action(lambda found: bool(found))

    compare = name + pp.one_of(list(_COMPARE)) + value
    compare.set_parse_action(lambda found: ("compare", *found))
    null = name + pp.Suppress(keyword("is")) + absent + pp.Suppress(keyword("null"))
    null.set_parse_action(lambda found: ("null", *found))
    several = name + absent + pp.Suppress(keyword("in")) + left + pp.Group(pp.DelimitedList(value)) + right
    several.set_parse_action(lambda found: ("in", found[0], found[1], tuple(found[2])))
    pattern = name + absent + (pp.Literal("~") | keyword("like")) + value
    pattern.set_parse_action(lambda found: ("like", *found))

    whole = pp.Forward()
    term = pp.Forward()
    negated = (pp.Suppress(keyword("not")) + term).set_parse_action(lambda found: ("not", found[0]))
    term <<= negated | (left + whole + right) | compare | null | several | pattern
    every = (term + pp.ZeroOrMore(pp.Suppress(keyword("and")) + term)).set_parse_action(_joined("and"))
    whole <<= (every + pp.ZeroOrMore(pp.Suppress(keyword("or")) + every)).set_parse_action(_joined("or"))
    return whole


def _joined(word: str) -> Callable[[pp.ParseResults], Any]:
    return lambda found: (word, tuple(found)) if len(found) > 1 else found[0]


def _unquote(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def _build(node: tuple[Any, ...], table: sa.FromClause) -> Condition:
    kind = node[0]
    if kind in ("and", "or"):
        parts = [_build(part, table) for part in node[1]]
        return sa.and_(*parts) if kind == "and" else sa.or_(*parts)
    if kind == "not":
        return sa.not_(_build(node[1], table))
    if node[1].lower() == TEST and TEST not in table.c:
        return _tests(node, table)
    chosen = column(node[1], table)
    if isinstance(chosen.type, sa.JSON):
        raise InputError(f"{node[1]} is JSON, and no filter looks into that: use another column")
    if kind == "null":
        return chosen.is_not(None) if node[2] else chosen.is_(None)
    if kind == "in":
        found: Condition = chosen.in_([_value(chosen, item) for item in node[3]])
        return sa.not_(found) if node[2] else found
    if kind == "like":
        found = _pattern(chosen, node[3], node[4][1])
        return sa.not_(found) if node[2] else found
    return _compare(chosen, node[2], node[3])


def _tests(node: tuple[Any, ...], table: sa.FromClause) -> Condition:
    """`test = pp512`, `test in (pp512, tg128)`: runs of language models that measured such a test."""
    kind = node[0]
    if kind == "compare" and node[2] in ("=", "==", "!=", "<>"):
        values, turned = [node[3]], node[2] in ("!=", "<>")
    elif kind == "in":
        values, turned = list(node[3]), bool(node[2])
    else:
        raise InputError(f"{TEST} is compared with = != or in: write for example {TEST} = pp512")
    found = []
    for _, text in values:
        try:
            shape = shapes.read(text)
        except ValueError as error:
            raise InputError(str(error)) from None
        wrote = table.c.requested_generate
        parts = [wrote.is_not(None) if shape.generate is None else wrote == shape.generate]
        if shape.sequence_length is not None:
            parts.append(table.c.requested_sequence_length == shape.sequence_length)
        found.append(sa.and_(*parts))
    either = sa.or_(*found)
    # A blank meets no comparison, and turning one over keeps that.
    return sa.and_(table.c.requested_generate.is_not(None), sa.not_(either)) if turned else either


def _compare(chosen: sa.Column[Any], sign: str, value: tuple[str, str]) -> Condition:
    if value[0] == "bare" and value[1].lower() == "null":
        raise InputError(f"a blank is not compared: write {chosen.name} is null")
    return _COMPARE[sign](chosen, _value(chosen, value))


def _pattern(chosen: sa.Column[Any], sign: str, text: str) -> Condition:
    if not isinstance(chosen.type, sa.Text):
        raise InputError(f"{chosen.name} is not text: compare it with = < > instead of {sign}")
    if sign == "~" and "%" not in text:
        return chosen.icontains(text, autoescape=True)
    return chosen.ilike(text)


def _value(chosen: sa.Column[Any], value: tuple[str, str]) -> sa.ColumnElement[Any]:
    """A value as the column's own kind, bound as a parameter."""
    text = value[1]
    if isinstance(chosen.type, sa.Boolean):
        flag = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            text.lower()
        )
        if flag is None:
            raise InputError(f"{chosen.name} is true or false, not {_cut(text)!r}")
        return sa.literal(flag, sa.Boolean())
    if isinstance(chosen.type, sa.Text):
        return sa.literal(text, sa.Text())
    return _number(chosen, text)


def _number(chosen: sa.Column[Any], text: str) -> sa.ColumnElement[Any]:
    try:
        if not text.isascii() or "_" in text:
            raise ValueError(text)
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(text)
    except ValueError:
        raise InputError(f"{chosen.name} is a number, not {_cut(text)!r}") from None
    digits: Sequence[str] = text.lstrip("+-")
    if isinstance(chosen.type, sa.Integer) and str(digits).isdecimal() and abs(int(text)) <= _LARGEST:
        return sa.literal(int(text), sa.BigInteger())
    return sa.literal(number, sa.Double())
