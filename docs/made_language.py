"""Language models of a published set: tokens a second by bits, and against the peer."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.plan.measuring import MEASURING, kept
from bench.plan.request import ASKED, OPTIONS
from bench.report import words
from bench.report.board import BITS
from bench.report.kernels_table import PEER, times
from bench.report.repeat import repeat_commands
from bench.report.row import Arm, value_at, writes
from bench.store import Campaign
from made_reference import table
from made_sets import ResultSet

# What has a column of its own; every other option is said under `options`.
_OWN = ("generate", "engine", "gpu_features")
_PLACE = ("browser", "browser_version", "adapter", "model_sha256")
_HEAD = (
    *("model", "weights", "prompt + written", "browser", "engine", "feature set", "options"),
    *(f"{bits} bits" for bits in BITS),
    *("4 bits over 16", f"over {PEER} at", f"first token, ms, at {', '.join(map(str, BITS))} bits"),
)


def texts(one: ResultSet) -> list[Arm]:
    """The set's arms of language models, those that did not run too."""
    return [arm for arm in one.board.arms if writes(arm)]


def language_models(one: ResultSet) -> Iterator[Any]:
    """A line for each model, prompt, browser, engine and feature set; then what repeats them."""
    arms = texts(one)
    rows = [_row(members, arms) for members in _lines(arms)]
    used = [place for place, name in enumerate(_HEAD) if any(row[place] for row in rows)]
    yield table([_HEAD[place] for place in used], [[row[place] for place in used] for row in rows])
    said = [f"{_name(arm)}: {why}" for arm in arms if (why := words.reason(arm))]
    if said:
        yield ["```text", *(" ".join(one.split()) for one in dict.fromkeys(said)), "```"]
    yield from _repeat(one, arms)


def _lines(arms: Sequence[Arm]) -> list[list[Arm]]:
    """Arms that differ in bits alone; engines beside each other. What did not start joins what did."""
    lines: dict[tuple[Any, ...], list[Arm]] = {}
    for arm in sorted(arms, key=lambda arm: arm["model_sha256"] is None):
        asked = tuple(value_at(arm, name) for name in ASKED if name != "requested_bits")
        key = _line(arm, "requested_bits")
        if arm["model_sha256"] is None:
            key = next((known for known in lines if known[: len(asked)] == asked), key)
        lines.setdefault(key, []).append(arm)
    order = list(dict.fromkeys(_line(one[0], "requested_bits", "requested_engine") for one in lines.values()))
    return sorted(
        lines.values(), key=lambda one: order.index(_line(one[0], "requested_bits", "requested_engine"))
    )


def _line(arm: Arm, *without: str) -> tuple[Any, ...]:
    """What the arms of one line share."""
    return tuple(value_at(arm, name) for name in (*ASKED, *_PLACE) if name not in without)


def _row(members: Sequence[Arm], arms: Sequence[Arm]) -> list[str]:
    """Under `_HEAD`."""
    first = members[0]
    of = {bits: [arm for arm in members if arm["requested_bits"] == bits] for bits in BITS}
    speeds = {bits: _speed(each) for bits, each in of.items()}
    return [
        first["requested_model"],
        first["model_weights"] or "",
        words.shape(first),
        words.browser(first) or value_at(first, "requested_browser"),
        f"{value_at(first, 'requested_engine')} {words.platform(first)}",
        value_at(first, "requested_gpu_features") or "",
        _options(first),
        *(", ".join(dict.fromkeys(map(_tokens, of[bits]))) for bits in BITS),
        _over(speeds[4], speeds[16]),
        _over_peer(first, speeds, arms),
        _first_tokens(of),
    ]


def _options(arm: Arm) -> str:
    said = (field.option_said(value_at(arm, field.column)) for field in OPTIONS if field.name not in _OWN)
    return ", ".join(filter(None, said))


def _tokens(arm: Arm) -> str:
    """`887`, `85.1 (ran 16 bits)`, or the outcome of what has no speed."""
    if arm["decode_tokens_per_s"] is None:
        return arm["outcome"]
    ran = arm["effective_bits"]
    fell = "" if ran == arm["requested_bits"] else f" (ran {ran} bits)"
    return f"{words.number(arm['decode_tokens_per_s'])}{fell}"


def _speed(arms: Sequence[Arm]) -> float | None:
    """Tokens a second of the newest that ran as it was asked for."""
    known = [arm for arm in arms if arm["decode_tokens_per_s"] and arm["outcome"] == "ok"]
    return max(known, key=lambda arm: max(arm["runs"]))["decode_tokens_per_s"] if known else None


def _over(one: float | None, other: float | None) -> str:
    return times(one / other) if one and other else ""


def _over_peer(first: Arm, speeds: Mapping[int, float | None], arms: Sequence[Arm]) -> str:
    """`16 bits 1.10x, 4 bits 1.20x`: ours over the peer's, which ran in the same place."""
    if value_at(first, "requested_engine") == PEER:
        return ""
    own = _line(first, "requested_bits", "requested_engine")
    found = []
    for bits in BITS:
        theirs = [
            arm
            for arm in arms
            if value_at(arm, "requested_engine") == PEER
            and arm["requested_bits"] == bits
            and _line(arm, "requested_bits", "requested_engine") == own
        ]
        ratio = _over(speeds[bits], _speed(theirs))
        found += [f"{bits} bits {ratio}"] if ratio else []
    return ", ".join(found)


def _first_tokens(of: Mapping[int, Sequence[Arm]]) -> str:
    """`23.5, –, 20.0, –`: milliseconds at the bits of `BITS`; blank where nothing is known."""
    known = {
        bits: [arm["latency_ms_median"] for arm in arms if arm["latency_ms_median"] is not None]
        for bits, arms in of.items()
    }
    said = [words.number(known[bits][-1]) if known[bits] else "–" for bits in BITS]
    return ", ".join(said) if any(known.values()) else ""


def _name(arm: Arm) -> str:
    asked = f"{arm['requested_model']} {arm['requested_bits']}-bit {value_at(arm, 'requested_engine')}"
    return " ".join(filter(None, (asked, words.browser(arm)))) + f", {arm['outcome']}"


def _repeat(one: ResultSet, arms: Sequence[Arm]) -> Iterator[Any]:
    """The campaign files, and for campaigns that no file made the lines that ask for their arms again."""
    files = _files(one)
    lines = []
    for campaign in one.campaigns:
        own = [arm for arm in arms if campaign.name in arm["campaigns"]]
        if not own:
            continue
        if campaign.name in files:
            path = f"../results/{one.name}/{files[campaign.name]}"
            yield f"`{campaign.name}` is repeated by its campaign file, [{files[campaign.name]}]({path})."
        else:
            lines += [f"{line}{_measuring(campaign)}" for line in repeat_commands(own)]
    if lines:
        yield ["```text", *dict.fromkeys(lines), "```"]


def _files(one: ResultSet) -> dict[str, str]:
    """Name of a campaign -> the file beside the database that it was made of."""
    found = {}
    for path in sorted(one.folder.glob("*.toml")):
        name = tomllib.loads(path.read_text(encoding="utf-8")).get("name")
        if isinstance(name, str):
            found[name] = path.name
    return found


def _measuring(campaign: Campaign) -> str:
    """The flags of what it was measured with, where that is not the default."""
    said = kept(campaign.settings)
    parts: list[str] = []
    for field in MEASURING:
        value = said.get(field.name, field.default)
        if value != field.default and not field.flag.hidden:
            parts += [field.option] if field.kind is bool else [field.option, f"{value:g}"]
    return f" {shlex.join(parts)}" if parts else ""
