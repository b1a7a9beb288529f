"""A comparison as JUnit, which CI systems read."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.report import words
from bench.report.compare import Matched, Table
from bench.report.compare_text import arm_name, ratio, summary, title, verdict
from bench.report.gate import Gate, of
from bench.stats.verdict import Verdict


def as_junit(table: Table, fail_above: float | None = None) -> str:
    """A test case a cell.

    Failed where it is slower: by more than the limit where there is one, else by the verdict. An error where
    it is too noisy to tell on which side of the limit it is. Skipped where nothing was compared, or without a
    limit where there is no verdict.
    """
    cases = [_case(cell, fail_above) for cell in table.cells]
    suite = ElementTree.Element(
        "testsuite",
        name=words.visible(f"{table.base} against {table.other}: {table.metric}"),
        tests=str(len(cases)),
    )
    for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(kind) is not None for case in cases)))
    suite.extend(cases)
    ElementTree.SubElement(suite, "system-out").text = "\n".join([*title(table), *summary(table, fail_above)])
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _case(cell: Matched, above: float | None) -> ElementTree.Element:
    case = ElementTree.Element("testcase", name=arm_name(cell.arm) or "all", classname="bench.compare")
    text = " ".join(filter(None, [ratio(cell), verdict(cell)]))
    why = cell.judgement.why if cell.judgement else ""
    reason = "; ".join(filter(None, [text, why]))
    kind, message = _result(cell, above)
    if kind == "skipped":
        ElementTree.SubElement(case, kind, message="; ".join(filter(None, [message, reason])))
    elif kind == "system-out":
        ElementTree.SubElement(case, kind).text = text
    else:
        ElementTree.SubElement(case, kind, message=message).text = reason
    return case


def _result(cell: Matched, above: float | None) -> tuple[str, str]:
    """The element of a case, and its message."""
    if cell.judgement is None:
        return "skipped", ""
    if above is None:
        if cell.judgement.verdict is Verdict.SLOWER:
            return "failure", "slower"
        noisy = cell.judgement.verdict is Verdict.INCONCLUSIVE
        return ("skipped", Gate.NOISY.value) if noisy else ("system-out", "")
    limit = f"slower by more than {100 * above:g} %"
    met = of(cell, above)
    if met is Gate.EXCEEDED:
        return "failure", limit
    return ("error", f"{Gate.NOISY}: {limit}?") if met is Gate.NOISY else ("system-out", "")
