"""Time zones by name or rule: the host's own, and those that are typed.

A zone is kept as text, so that a job still means the same on another machine: a name of the IANA database
(`Europe/Berlin`), or a rule as POSIX writes it in the variable TZ (`JST-9`, `CET-1CEST,M3.5.0,M10.5.0/3`).
"""

from __future__ import annotations

import io
import os
import re
import struct
from pathlib import Path
from zoneinfo import ZoneInfo

from bench.errors import InputError

LOCALTIME = Path("/etc/localtime")
NAMED = Path("/etc/timezone")  # Debian's: the name of the zone that /etc/localtime holds
_FOLDER = "/zoneinfo/"
_MAGIC = b"TZif"
_USE = "give one with --timezone, for example Europe/Berlin or UTC"


def zone_of(text: str) -> ZoneInfo:
    """The zone that a name or a rule means.

    Raises:
        InputError: it is neither.
    """
    for read in (_named, _ruled):
        try:
            return read(text)
        # A folder of the database, a name that leads out of it or is too long, a rule with half of its parts.
        except (OSError, ValueError, KeyError, struct.error):
            continue
    raise InputError(f"no such time zone: {text!a}; {_USE}")


def host_zone() -> str:
    """The zone of this machine as text for `zone_of`: that of TZ, else of /etc/localtime, else UTC.

    Raises:
        InputError: it has neither a name nor a rule.
    """
    given = os.environ.get("TZ")
    if given is None:
        return _of_file(LOCALTIME) if os.path.lexists(LOCALTIME) else "UTC"
    text = given.removeprefix(":")
    if not text:
        return "UTC"
    if text.startswith("/"):
        return _of_file(Path(text))
    try:
        zone_of(text)
    except InputError:
        raise InputError(f"the time zone of this machine, TZ={given!a}, is not known; {_USE}") from None
    return text


def _of_file(path: Path) -> str:
    """The name of the zone file that this is or leads to; else the rule that it ends in.

    A plain copy has no name, but its last line is a rule that holds from now on.
    """
    try:
        real = str(path.resolve(strict=True))
        data = path.read_bytes()
        named = NAMED.read_text(encoding="utf-8").strip() if path == LOCALTIME and NAMED.is_file() else ""
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"the time zone of this machine, {path}, cannot be read: {error}; {_USE}") from None
    _, inside, name = real.partition(_FOLDER)
    name = name.removeprefix("posix/").removeprefix("right/")
    candidates = [name] if inside else []
    if named and _bytes_of(named) == data:
        candidates.append(named)
    if data.startswith(_MAGIC) and data.endswith(b"\n"):
        candidates.append(data[:-1].rpartition(b"\n")[2].decode("ascii", "replace"))
    for text in candidates:
        try:
            zone_of(text)
        except InputError:
            continue
        return text
    raise InputError(f"the time zone of this machine, {path}, has no name; {_USE}")


def _bytes_of(name: str) -> bytes | None:
    for folder in (Path("/usr/share/zoneinfo"), Path("/usr/lib/zoneinfo")):
        try:
            return (folder / name).read_bytes()
        except (OSError, ValueError):
            continue
    return None


def _named(name: str) -> ZoneInfo:
    if not name.isascii() or not name.isprintable():
        raise ValueError(name)
    return ZoneInfo(name)


def _ruled(rule: str) -> ZoneInfo:
    """A zone by its rule alone: a zone file (RFC 8536) without a change, which ends in the rule."""
    found = re.match(r"(<[\w+-]{3,}>|[A-Za-z]{3,})([+-]?\d{1,3}(?::\d\d){0,2})", rule, re.ASCII)
    if found is None:
        raise ValueError(rule)
    # Of the counts only those of types (1) and of letters in their names (4) are not zero.
    header = struct.pack(">4sc15x6l", _MAGIC, b"2", 0, 0, 0, 0, 1, 4)
    body = struct.pack(">lbb4s", _seconds_behind(found[2]), 0, 0, b"LMT\0")
    text = rule.encode("ascii")
    return ZoneInfo.from_file(io.BytesIO((header + body) * 2 + b"\n" + text + b"\n"), key=rule)


def _seconds_behind(offset: str) -> int:
    """Seconds east of Greenwich; POSIX counts the hours to the west."""
    sign = -1 if not offset.startswith("-") else 1
    parts = [*map(int, offset.lstrip("+-").split(":")), 0, 0]
    return sign * (parts[0] * 3600 + parts[1] * 60 + parts[2])
