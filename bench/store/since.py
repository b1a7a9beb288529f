"""`--since`: from which moment on runs count."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from bench.errors import InputError

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6})\s*([mhdw])", re.ASCII)


def moment(text: str, now: datetime | None = None) -> str:
    """`30d`, `12h`, `2w`, `90m` ago, or a date or time in ISO 8601, as the database writes times.

    Args:
        text: what was typed; a time without a zone is UTC.
        now: what `ago` counts from.

    Returns:
        UTC to the second and without a zone: the beginning of every time of that second, however it goes on,
        and so before it as text.

    Raises:
        InputError: it is neither.
    """
    given = text.strip()
    ago = _AGO.fullmatch(given.lower())
    try:
        if ago:
            found = (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            found = datetime.fromisoformat(given)
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(
            f"--since {text}: not allowed; write 30d, 12h, 2w or 90m, or a date such as 2026-11-23"
        ) from None
    # Not strftime: it writes the year 657 as `657`, which is after 2026 as text.
    return found.replace(tzinfo=None).isoformat(timespec="seconds")
