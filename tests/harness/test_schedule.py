"""Crontab lines mean what cron means by them."""

import contextlib
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.harness.schedule import trigger_of

START = datetime(2026, 11, 24, 12).astimezone()  # a Tuesday, in the host's time zone


def times(cron, count=4):
    trigger, found, after = trigger_of(cron), [], START
    for _ in range(count):
        after = trigger.get_next_fire_time(None, after)
        found.append(f"{after:%a %d %H:%M}")
        after += timedelta(seconds=1)
    return found


@pytest.mark.parametrize(
    ("cron", "first"),
    [
        ("0 3 * * *", ["Wed 25 03:00", "Thu 26 03:00"]),
        ("*/20 * * * *", ["Tue 24 12:00", "Tue 24 12:20", "Tue 24 12:40"]),
        ("0 3 * * 0", ["Sun 29 03:00", "Sun 06 03:00"]),  # cron's Sunday, which APScheduler calls 6
        ("0 3 * * 7", ["Sun 29 03:00", "Sun 06 03:00"]),
        ("0 3 * * 1-5", ["Wed 25 03:00", "Thu 26 03:00", "Fri 27 03:00", "Mon 30 03:00"]),
        ("0 3 * * 5-7", ["Fri 27 03:00", "Sat 28 03:00", "Sun 29 03:00", "Fri 04 03:00"]),
        ("0 3 * * fri", ["Fri 27 03:00", "Fri 04 03:00"]),
        ("0 3 * * mon-wed", ["Wed 25 03:00", "Mon 30 03:00"]),
        ("0 3 * * */3", ["Wed 25 03:00", "Sat 28 03:00", "Sun 29 03:00"]),
        ("0 0 1 * 1", ["Mon 30 00:00", "Tue 01 00:00", "Mon 07 00:00"]),  # either of the two days
    ],
)
def test_times(cron, first):
    assert times(cron, len(first)) == first


@pytest.mark.parametrize(
    "cron",
    ["", "0 3 * *", "0 3 * * * *", "x 3 * * *", "61 3 * * *", "0 25 * * *", "0 3 32 * *", "0 3 * 13 *",
     "0 3 * * 8", "0 3 * * 5-1", "0 3 * * someday", "0 3 * * 1/0", "@daily"],
)  # fmt: skip
def test_what_is_no_crontab_line(cron):
    with pytest.raises(InputError) as caught:
        trigger_of(cron)
    assert cron in str(caught.value) and "\n" not in str(caught.value) and "0 3 * * *" in str(caught.value)


@given(st.text(alphabet="0123456789*/-, amonsu", max_size=20))
def test_any_text_is_a_time_or_refused(text):
    with contextlib.suppress(InputError):
        trigger_of(text)


@given(st.integers(0, 7), st.integers(0, 23), st.integers(0, 59))
def test_a_day_of_the_week_is_cron_s(day, hour, minute):
    found = trigger_of(f"{minute} {hour} * * {day}").get_next_fire_time(None, START)
    assert (found.isoweekday() % 7, found.hour, found.minute) == (day % 7, hour, minute)
