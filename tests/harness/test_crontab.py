"""Crontab lines mean what Debian's cron means by them: held to a clock that is watched minute by minute."""

import contextlib
import pickle
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.harness.crontab import CronLine

MINUTE = timedelta(minutes=1)
# Name of a zone, and an hour (UTC) in which its clock changes: forward, back, by half an hour, at midnight.
CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1)),
    ("America/New_York", datetime(2026, 3, 8, 7)),
    ("America/New_York", datetime(2026, 11, 1, 6)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30)),
    ("America/Santiago", datetime(2026, 9, 6, 4)),
    ("CET-1CEST,M3.5.0,M10.5.0/3", datetime(2026, 10, 25, 1)),
    ("Asia/Kolkata", datetime(2026, 3, 1)),
    ("UTC", datetime(2026, 2, 28)),
]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MONTHS = ["-", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def values(field, low, high, names=()):
    """The numbers of a field, by crontab(5)."""
    found = set()
    for term in field.lower().split(","):
        span, slash, step = term.partition("/")
        first, dash, last = span.partition("-")
        numbers = [names.index(one) if one in names else one for one in (first, last)]
        if span == "*":
            begin, end = low, high
        else:
            begin = int(numbers[0])
            end = int(numbers[1]) if dash else high if slash else begin
        found |= set(range(begin, end + 1, int(step) if slash else 1))
    return found


def matches(line, wall):
    minute, hour, day, month, weekday = line.split()
    if wall.minute not in values(minute, 0, 59) or wall.hour not in values(hour, 0, 23):
        return False
    if wall.month not in values(month, 1, 12, MONTHS):
        return False
    by_day = wall.day in values(day, 1, 31)
    by_week = wall.isoweekday() % 7 in {one % 7 for one in values(weekday, 0, 7, DAYS)}
    star = day.startswith("*") or weekday.startswith("*")
    return by_day and by_week if star else by_day or by_week


def watched(line, zone, begin, minutes):
    """What cron(8) would start: it looks at the wall clock each minute, and remembers how far that was."""
    by_clock = any(field.startswith("*") for field in line.split()[:2])
    at = lambda instant: instant.astimezone(zone).replace(tzinfo=None)  # noqa: E731
    # How far the clock was before: in an hour that comes twice it has been further already.
    far = max(at(begin - count * MINUTE) for count in range(181))
    found = []
    for count in range(1, minutes + 1):
        instant, wall = begin + count * MINUTE, at(begin + count * MINUTE)
        if by_clock:
            due = matches(line, wall)
        else:
            due, look = False, far + MINUTE
            while look <= wall:
                due, look = due or matches(line, look), look + MINUTE
            far = max(far, wall)
        if due:
            found.append(instant)
    return found


def terms(low, high, names=()):
    number = st.integers(low, high)
    span = st.tuples(number, number).map(sorted).map(lambda two: f"{two[0]}-{two[1]}")
    step = st.integers(1, 12)
    plain = st.one_of(number.map(str), number.map(str), span)
    stepped = st.tuples(st.one_of(st.just("*"), span), step).map(lambda two: f"{two[0]}/{two[1]}")
    every = [plain, stepped, *([st.sampled_from(names)] if names else [])]
    listed = st.lists(st.one_of(every), min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), listed)


LINES = st.tuples(
    terms(0, 59), terms(0, 4), terms(1, 31), terms(1, 12, MONTHS[1:]), terms(0, 7, [*DAYS[:7], "Sat"])
).map(" ".join)


@settings(max_examples=150)
@given(LINES, st.sampled_from(CHANGES), st.integers(-300, 200))
@example("30 2 * * *", CHANGES[1], -30)
@example("30 2 * * *", CHANGES[0], -30)
@example("50 2 * * *", CHANGES[1], 5)
@example("15,45 2 * * *", CHANGES[0], -90)
@example("*/30 * * * *", CHANGES[1], -90)
@example("0 0 * * 0-0/1", CHANGES[0], 0)
@example("0 0 1 * 1", CHANGES[7], -600)
def test_a_line_is_due_when_cron_would_start_it(line, change, minutes):
    name, hour = change
    begin = hour.replace(tzinfo=UTC) + minutes * MINUTE
    window = 26 * 60
    try:
        one = CronLine(line, name)
    except InputError as error:
        assert "never comes" in str(error)
        return
    found = list(takewhile(lambda due: due <= begin + window * MINUTE, one.times(begin)))
    zone = ZoneInfo("Europe/Berlin" if "," in name else name)
    assert found == watched(line, zone, begin, window)


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "America/Santiago", "Asia/Gaza"])
def test_a_daily_line_is_due_once_a_day_all_year(name):
    for hour in (0, 1, 2, 3):
        times = CronLine(f"30 {hour} * * *", name).next(datetime(2026, 1, 1, 12, tzinfo=UTC), 365)
        days = [one.date() for one in times]
        assert [later - day for day, later in pairwise(days)] == [timedelta(1)] * 364


def times(line, count=4, zone="UTC"):
    start = datetime(2026, 11, 24, 12, tzinfo=UTC)  # a Tuesday
    return [f"{one:%a %d %H:%M}" for one in CronLine(line, zone).next(start, count)]


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("0 3 * * *", ["Wed 25 03:00", "Thu 26 03:00"]),
        ("*/20 * * * *", ["Tue 24 12:20", "Tue 24 12:40", "Tue 24 13:00"]),
        ("0 3 * * 0", ["Sun 29 03:00", "Sun 06 03:00"]),
        ("0 3 * * 7", ["Sun 29 03:00", "Sun 06 03:00"]),
        ("0 3 * * 1-5", ["Wed 25 03:00", "Thu 26 03:00", "Fri 27 03:00", "Mon 30 03:00"]),
        ("0 3 * * 5-7", ["Fri 27 03:00", "Sat 28 03:00", "Sun 29 03:00", "Fri 04 03:00"]),
        ("0 3 * * fri", ["Fri 27 03:00", "Fri 04 03:00"]),
        ("0 3 * * mon-wed", ["Wed 25 03:00", "Mon 30 03:00"]),
        ("0 3 * * */3", ["Wed 25 03:00", "Sat 28 03:00", "Sun 29 03:00"]),
        ("0 0 1 * 1", ["Mon 30 00:00", "Tue 01 00:00", "Mon 07 00:00"]),  # either of the two days
        ("0 0 */2 * 1", ["Mon 07 00:00", "Mon 21 00:00"]),  # a star restricts nothing, so both
        ("0 3 31 dec *", ["Thu 31 03:00"]),
    ],
)
def test_times(line, first):
    assert times(line, len(first)) == first


@pytest.mark.parametrize(
    "line",
    ["", "0 3 * *", "0 3 * * * *", "x 3 * * *", "61 3 * * *", "0 25 * * *", "0 3 32 * *", "0 3 0 * *",
     "0 3 * 13 *", "0 3 * * 8", "0 3 * * 5-1", "0 3 * * someday", "0 3 * * 1/0", "@daily", "0 3 L * *",
     "0 3 * * 5#2", "0 3 30 2 *", "0 3 * foo *", "٣ 3 * * *", "0,,5 3 * * *", "0 3 * * -1", "\0 3 * * *",
     "0 99999999999999999999 * * *"],
)  # fmt: skip
def test_what_is_no_crontab_line(line):
    with pytest.raises(InputError) as caught:
        CronLine(line, "UTC")
    said = str(caught.value)
    assert (line if line.isprintable() else ascii(line)) in said
    assert said.isprintable() and "0 3 * * *" in said


@given(st.text(alphabet="0123456789*/-, amonsuL#?@", max_size=20))
def test_any_text_is_a_time_or_refused(text):
    with contextlib.suppress(InputError):
        CronLine(text, "UTC")


def test_a_stored_line_is_text_and_comes_back_with_its_zone():
    """Whatever a zone's object needs of this machine does not go into the database."""
    one = CronLine("30 2 * * *", "JST-9")
    data = pickle.dumps(one)
    assert b"zoneinfo" not in data and re.search(rb"JST-9", data)
    again = pickle.loads(data)
    start = datetime(2026, 7, 1, tzinfo=UTC)
    assert again.after(start) == one.after(start) == datetime(2026, 7, 1, 17, 30, tzinfo=UTC)
