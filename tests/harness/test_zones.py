"""Time zones by name or rule: what a TZ or a zone file means is what the C library makes of it."""

import os
import random
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.harness import zones
from bench.harness.zones import host_zone, zone_of

FILES = Path("/usr/share/zoneinfo")
needs_files = pytest.mark.skipif(not (FILES / "Europe/Berlin").is_file(), reason="no zone files here")
TIMES = [datetime(2026, month, 15, 12, tzinfo=UTC) for month in (1, 4, 7, 11)]


def by_the_system(monkeypatch, tz, at):
    """What `date` says under that TZ: the offset in minutes."""
    done = subprocess.run(
        ["date", "-d", f"@{int(at.timestamp())}", "+%z"],
        env={"PATH": os.environ["PATH"], "TZ": tz},
        capture_output=True,
        text=True,
        check=True,
    )
    sign = -1 if done.stdout[0] == "-" else 1
    return timedelta(hours=sign * int(done.stdout[1:3]), minutes=sign * int(done.stdout[3:5]))


@needs_files
@pytest.mark.parametrize(
    "tz",
    ["UTC0", "JST-9", "<-03>3", "<+0330>-3:30", "CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0", "",
     "Europe/Berlin", ":Europe/Berlin", ":/usr/share/zoneinfo/Asia/Tokyo", "/usr/share/zoneinfo/Asia/Kolkata",
     ":/etc/localtime", "America/Santiago", "EST5EDT", "Etc/GMT+3", ":"],
)  # fmt: skip
def test_tz_means_what_the_system_makes_of_it(monkeypatch, tz):
    monkeypatch.setenv("TZ", tz)
    zone = zone_of(host_zone())
    for at in TIMES:
        assert at.astimezone(zone).utcoffset() == by_the_system(monkeypatch, tz, at)


@needs_files
@pytest.mark.parametrize(
    "name", ["Europe/Berlin", "Asia/Tokyo", "America/Sao_Paulo", "UTC", "Australia/Lord_Howe"]
)
@pytest.mark.parametrize("how", ["link", "copy", "copy with a name beside it"])
def test_localtime_as_a_link_and_as_a_plain_file(tmp_path, monkeypatch, name, how):
    monkeypatch.delenv("TZ", raising=False)
    place, beside = tmp_path / "localtime", tmp_path / "timezone"
    monkeypatch.setattr(zones, "LOCALTIME", place)
    monkeypatch.setattr(zones, "NAMED", beside)
    if how == "link":
        place.symlink_to(FILES / name)
    else:
        shutil.copy(FILES / name, place)
    if "name" in how:
        beside.write_text(f"{name}\n")
    found = host_zone()
    assert (Path(found).name == Path(name).name) or how == "copy"
    for at in TIMES:
        assert at.astimezone(zone_of(found)).utcoffset() == at.astimezone(zone_of(name)).utcoffset()


@needs_files
def test_a_stale_name_beside_a_plain_file_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.delenv("TZ", raising=False)
    shutil.copy(FILES / "Asia/Tokyo", tmp_path / "localtime")
    (tmp_path / "timezone").write_text("Europe/Berlin\n")
    monkeypatch.setattr(zones, "LOCALTIME", tmp_path / "localtime")
    monkeypatch.setattr(zones, "NAMED", tmp_path / "timezone")
    assert host_zone() == "JST-9"


# The same bytes in every worker: they are a part of the test's name.
@pytest.mark.parametrize("content", [b"", b"TZif", b"TZif2 nonsense\n", random.Random(1).randbytes(300)])
def test_a_file_that_is_no_zone(tmp_path, monkeypatch, content):
    place = tmp_path / "localtime"
    place.write_bytes(content)
    monkeypatch.setenv("TZ", f":{place}")
    with pytest.raises(InputError, match="--timezone"):
        host_zone()


@pytest.mark.parametrize("tz", ["Mars/Base", ":Mars", "CET-1CEST", "/nowhere/at/all", "JST-999", "a" * 5000])
def test_a_tz_that_names_none(monkeypatch, tz):
    monkeypatch.setenv("TZ", tz)
    with pytest.raises(InputError, match="--timezone") as caught:
        host_zone()
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30) | st.from_regex(r"<?[A-Z+]{1,5}>?[+-]?\d{1,4}(:\d\d)?([A-Z]{3}[,\w./-]*)?"))
def test_any_text_is_a_zone_or_refused(text):
    try:
        zone = zone_of(text)
    except InputError as error:
        assert str(error).isprintable()
    else:
        assert TIMES[0].astimezone(zone).utcoffset() is not None
