"""How a row of `run_summary` reads: the same few phrases in tables, charts and the command line.

Every function takes a row as a mapping, None where nothing was measured, and gives "" for what is blank.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from bench.plan.request import OPTIONS
from bench.report.row import Row, decode_ms, median_ms, tokens_per_s, value_at

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: object) -> str:
    """Foreign words, verbatim but for control characters, which a terminal would obey: shown as escapes."""
    if text is None:
        return ""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), str(text))


def number(value: Any, digits: int = 3) -> str:
    """Significant digits without a needless exponent: `12.3`, `1240`, `3.2e-07`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{places}f}"


def percent(value: Any) -> str:
    """A share as `72 %`."""
    return "" if value is None else f"{100 * value:.0f} %"


def megabytes(value: Any) -> str:
    """Bytes as millions of them: `12.3`."""
    return "" if value is None else number(value / 1e6)


def thousands(value: Any) -> str:
    """A count as `22,713,216`."""
    return "" if value is None else f"{value:,}"


def bits(row: Row) -> str:
    """`4`, `4 → 8` after a fallback, with the mean where precision is mixed: `4 (mean 5.2)`."""
    asked, ran, mean = row["requested_bits"], row["effective_bits"], row["effective_bits_mean"]
    text = str(asked) if ran is None or ran == asked else f"{asked} → {ran}"
    return f"{text} (mean {mean:.1f})" if mean is not None and ran is not None and mean != ran else text


def platform(row: Row) -> str:
    """`webnn`, or `webnn → webgpu` where another one ran."""
    asked, ran = row["requested_platform"], row["effective_platform"]
    return str(asked) if ran is None or ran == asked else f"{asked} → {ran}"


def browser(row: Row) -> str:
    """`chrome 153.0.8010.0`."""
    return " ".join(str(part) for part in (row["browser"], row["browser_version"]) if part)


def latency(row: Row) -> str:
    """`12.3 [12.0, 12.6]`: median and 95 % interval in ms; `12.3 n=4` where the samples are too few."""
    if row["latency_ms_median"] is None:
        return "on the browser's timer" if row.get("timer_ms") is not None else ""
    median = number(row["latency_ms_median"])
    if row["latency_ms_ci95_low"] is None:
        return f"{median} n={row['latency_ms_n']}"
    return f"{median} [{number(row['latency_ms_ci95_low'])}, {number(row['latency_ms_ci95_high'])}]"


def interval(row: Row) -> tuple[float, float]:
    """Ends of the 95 % interval in ms; the median itself twice where the samples were too few for one."""
    low, high = row["latency_ms_ci95_low"], row["latency_ms_ci95_high"]
    if low is not None and high is not None:
        return low, high
    median = median_ms(row)
    return median, median


def tokens(row: Row) -> str:
    """`80.1 [79.2, 81.0]`: tokens per second after the prompt, with the 95 % interval; "" where none."""
    if row["decode_tokens_per_s"] is None:
        return ""
    low, high = tokens_interval(row)
    middle = number(row["decode_tokens_per_s"])
    if row["decode_ms_ci95_low"] is None:
        return f"{middle} n={row['decode_ms_n']}"
    return f"{middle} [{number(low)}, {number(high)}]"


def tokens_interval(row: Row) -> tuple[float, float]:
    """Ends of the 95 % interval of tokens per second; the rate itself twice where there is none."""
    rate, median = tokens_per_s(row), decode_ms(row)
    low, high = row["decode_ms_ci95_low"], row["decode_ms_ci95_high"]
    if not low or not high:
        return rate, rate
    return rate * median / high, rate * median / low


def shape(row: Mapping[str, object]) -> str:
    """`128 tokens`, `128 + 64 tokens` of a prompt and what is written after it; works for cells too."""
    asked, more = value_at(row, "requested_sequence_length"), value_at(row, "requested_generate")
    return f"{asked} tokens" if more is None else f"{asked} + {more} tokens"


def device(row: Row) -> str:
    """What it ran on, and plainly so where that is software: `cpu`, `llvmpipe (software adapter)`."""
    ran = row["effective_device"]
    if (row["effective_platform"] or row["requested_platform"]) == "webnn":
        return str(ran or "")
    name = row["adapter"] or ran
    if not name:
        return ""
    said = not software(row) or "software" in name.lower()
    return visible(name) if said else f"{visible(name)} (software adapter)"


def software(row: Row) -> bool:
    """Whether a CPU did the work: a fallback adapter, or the device `cpu`."""
    on_cpu = bool(row["effective_device"] == "cpu")
    if (row["effective_platform"] or row["requested_platform"]) == "webnn":
        return on_cpu
    return on_cpu or row["adapter_is_fallback"] is True


def options(row: Mapping[str, object]) -> str:
    """Every option that is not the default: `mixed, batch 4`; works for cells too."""
    said = (field.option_said(value_at(row, field.column)) for field in OPTIONS)
    return ", ".join(filter(None, said))


def reason(row: Row) -> str:
    """Why a run is not `ok`: the browser's words, the fallback's reason, or how wrong it is."""
    if row["error_message"] is not None:
        return f"{visible(row['error_name'])}: {visible(row['error_message'])}"
    if row["outcome"] == "incorrect" and row["kernel_rel_l2"] is not None:
        return f"relative L2 distance to the reference: {number(row['kernel_rel_l2'], 2)}"
    return visible(row["fallback_reason"])


def short_version(version: str | None) -> str:
    """`153.0` of `153.0.8010.0`."""
    return ".".join((version or "").split(".")[:2])


def distinct(values: Iterable[Any]) -> list[str]:
    """Each value once, in the order met, without blanks."""
    return list(dict.fromkeys(str(value) for value in values if value is not None and value != ""))
