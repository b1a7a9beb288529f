"""When a crontab line is due, as Debian's cron means it.

A day of the month and a day of the week that are both restricted mean either of them; a field that begins
with a star restricts nothing. Where the clock goes forward, what its gap skips is due right after it; where
it goes back, what has set hours and minutes is due once. A line whose minute or hour begins with a star is
due by the clock, as often as that shows such a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from cronsim import CronSim, CronSimError

from bench.errors import InputError
from bench.harness.zones import zone_of

_CHANGE = timedelta(hours=3)  # more than any clock goes back
_FIELDS = ("minute", "hour", "day", "month", "weekday")
_EXAMPLE = 'for example "0 3 * * *"'
# CronSim knows more than cron does: L, W and #.
_TERM = re.compile(r"(\*|\d{1,2}(-\d{1,2})?|[a-z]{3}(-[a-z]{3})?)(/\d{1,2})?", re.ASCII | re.IGNORECASE)
_ALLOWED = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day": "1 to 31",
    "month": "1 to 12, or jan to dec",
    "weekday": "0 to 7 (0 and 7 are Sunday), or mon to sun",
}


class CronLine(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """The times of a crontab line in a zone; what a job in the database holds of it is text.

    Args:
        line: five fields.
        zone: as `bench.harness.zones.zone_of` reads it.

    Raises:
        InputError: it is not a crontab line, its time never comes, or there is no such zone.
    """

    def __init__(self, line: str, zone: str) -> None:
        self.line, self.zone = line, zone
        _check(line)
        zone_of(zone)
        if self.after(datetime.now(UTC)) is None:
            raise InputError(f'--cron "{line}": such a day never comes; {_EXAMPLE}')

    def __getstate__(self) -> dict[str, str]:
        return {"line": self.line, "zone": self.zone}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.line, self.zone = state["line"], state["zone"]

    def __str__(self) -> str:
        return f"{self.line} ({self.zone})"

    def times(self, instant: datetime) -> Iterator[datetime]:
        """The times later than `instant`, in UTC, each once."""
        zone = zone_of(self.zone)
        once = not any(field.startswith("*") for field in self.line.split()[:2])
        # An hour that comes twice begins earlier by the clock than the instant that is asked about.
        begin = instant.astimezone(zone).replace(tzinfo=None, microsecond=0) - _CHANGE
        last = instant.astimezone(UTC)
        for due in (_once if once else _by_clock)(CronSim(_plain(self.line), begin), zone):
            if due > last:
                yield due
                last = due

    def after(self, instant: datetime) -> datetime | None:
        """The first time later than `instant`, in UTC; None where none comes."""
        return next(self.times(instant), None)

    def next(self, instant: datetime, count: int) -> list[datetime]:
        """The next times after `instant`, in the zone."""
        zone = zone_of(self.zone)
        return [one.astimezone(zone) for one in islice(self.times(instant), count)]

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """APScheduler's question: the next time after the last one, else after now."""
        return self.after(previous or now)


def _once(walls: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Each time of the wall clock when that first shows it, or first shows a later one."""
    for wall in walls:
        while not _shown(wall, zone):
            wall += timedelta(minutes=1)
        yield _instant(wall, zone, 0)


def _by_clock(walls: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Each time of the wall clock as often as that shows it, in order."""
    again: list[datetime] = []  # the second passage of an hour, while the first is not over
    for wall in walls:
        if not _shown(wall, zone):
            continue
        first, second = _instant(wall, zone, 0), _instant(wall, zone, 1)
        while again and again[0] < first:
            yield again.pop(0)
        yield first
        if second > first:
            again.append(second)
    yield from again


def _instant(wall: datetime, zone: ZoneInfo, passage: int) -> datetime:
    return wall.replace(tzinfo=zone, fold=passage).astimezone(UTC)


def _shown(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether the clock ever shows this; not within the gap where it goes forward."""
    return _instant(wall, zone, 0).astimezone(zone).replace(tzinfo=None) == wall


def _plain(line: str) -> str:
    """Without `5-5/2`, which CronSim takes for `5/2`: from 5 to the end."""
    return re.sub(r"(\w+)-\1/\d+", r"\1", line)


def _check(line: str) -> None:
    fields = line.split()
    if len(fields) != len(_FIELDS):
        raise InputError(
            f"--cron {_quoted(line)}: {len(fields)} fields; allowed: five, minute hour day month weekday, "
            f"{_EXAMPLE}"
        )
    for place, (name, field) in enumerate(zip(_FIELDS, fields, strict=True)):
        alone = ["0", "0", "1", "1", "*"]
        alone[place] = field
        try:
            if not all(_TERM.fullmatch(term) for term in field.split(",")):
                raise CronSimError(name)
            CronSim(_plain(" ".join(alone)), datetime(2000, 1, 1))
        except CronSimError:
            raise InputError(
                f"--cron {_quoted(line)}: {name} {_quoted(field)} is not allowed; allowed: {_ALLOWED[name]}, "
                f"with * - , / as in a crontab, {_EXAMPLE}"
            ) from None
    try:
        CronSim(_plain(line), datetime(2000, 1, 1))
    except CronSimError:
        raise InputError(f"--cron {_quoted(line)}: such a day never comes; {_EXAMPLE}") from None


def _quoted(text: str) -> str:
    return f'"{text}"' if text.isprintable() else ascii(text)
