"""Results of crossbench: its folder of JSON files, one merged file of a probe, or its `results.db`.

The folder (1.0.5): `cb.results.json` names the browsers; each story has one too, in
`BROWSER/stories/STORY`, which names the probes' merged files beside it. Such a file maps a metric to its
values over all repetitions. The file of the same name at the top has them once more, all stories in one, and
says which system each browser ran on. Newer versions also write `results.db` (SQLite, tables `platform`,
`browser`, `run`, `unit`), which has no metrics but when each run began and how long its parts took.
No unit and no direction stands beside a metric in any of them, so both stay blank.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from bench.store.exchange.result import ForeignFile, ForeignResult, unreadable

NAME = "crossbench"
SUMMARY = "cb.results.json"
DATABASE = "results.db"
_TABLES = {"platform", "browser", "run"}
_UNKNOWN = {"", "UNKNOWN", "N/A"}
_OWN_PROBES = "cb."  # what crossbench keeps about itself


def claims(path: Path) -> bool:
    """Whether it is a folder of results, one of their files, or the database."""
    if path.is_dir():
        return (path / SUMMARY).is_file() or (path / DATABASE).is_file()
    if path.name == SUMMARY:
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"SQLite format 3\0"):
        return _tables(path) >= _TABLES
    return start.lstrip().startswith(b"{") and b'"info"' in start and b'"label"' in start


def read(path: Path) -> ForeignFile:
    """Every metric of every story and browser.

    Raises:
        InputError: a file is missing or torn, or nothing was measured.
    """
    if path.name == SUMMARY and path.is_file():
        path = path.parent
    left: list[str] = []
    if path.is_dir():
        results = _folder(path, left) if (path / SUMMARY).is_file() else []
        if (path / DATABASE).is_file():
            results += _database(path / DATABASE)
        name = path.resolve().name
    elif _is_database(path):
        results, name = _database(path), path.resolve().parent.name or path.stem
    else:
        results, name = _merged(path), path.stem
    if not results:
        raise unreadable(path, "crossbench measured no number here")
    return ForeignFile(NAME, name, results, left)


def _any_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, f"cannot be read ({error}): copy the whole results folder") from None


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = _any_json(path)
    if not isinstance(found, dict):
        raise unreadable(path, "this is not an object")
    return found


def _folder(folder: Path, left: list[str]) -> list[ForeignResult]:
    """Every story's merged files; a probe that keeps no metrics, such as a trace, is named in `left`."""
    top = _json(folder / SUMMARY)
    systems = _systems(folder, top)
    results = []
    for path in sorted(folder.rglob(SUMMARY)):
        story = _json(path)
        if "repetitions" not in story or "story" not in story:
            continue  # of one repetition, of a browser, or the one at the top
        browser, name = _part(path, story, "browser"), _part(path, story, "story").get("name")
        for probe, file in _files(path, story):
            record = {
                "cwd": str(story.get("cwd", "")),
                "story": story["story"],
                "browser": browser,
                "success": story.get("success"),
                "errors": story.get("errors"),
                "probe": probe,
            }
            known = {
                **systems.get(str(browser.get("unique_name")), {}),
                "browser": _word(browser.get("browser")),
                "browser_version": _word(browser.get("version")),
                "test": str(name),
            }
            data = _any_json(file)
            if data and _has_metrics(data):
                results += _metrics(data, probe, known, record)
            else:
                left.append(f"probe {probe} of story {name} has no metrics: {file} was not read")
    return results


def _part(path: Path, data: dict[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(data.get(name), dict):
        raise unreadable(path, f"it has no {name}")
    found: dict[str, Any] = data[name]
    return found


def _files(summary: Path, data: dict[str, Any]) -> list[tuple[str, Path]]:
    """The JSON file of each probe: named by where it was written, found beside its summary."""
    found = []
    for probe, files in sorted(_part(summary, data, "probes").items()):
        listed = files.get("json") if isinstance(files, dict) else None
        if probe.startswith(_OWN_PROBES) or not isinstance(listed, list):
            continue
        for name in listed:
            base = (PureWindowsPath if "\\" in str(name) else PurePosixPath)(str(name)).name
            found.append((probe, summary.parent / base))
    return found


def _systems(folder: Path, top: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Unique name of a browser -> the system it ran on, from any file merged over browsers."""
    found: dict[str, dict[str, Any]] = {}
    for _, path in _files(folder / SUMMARY, top):
        merged = _any_json(path)
        for browser, data in merged.items() if isinstance(merged, dict) else ():
            if isinstance(data, dict) and isinstance(data.get("info"), dict):
                found[browser] = _system(data["info"])
    return found


def _system(info: dict[str, Any]) -> dict[str, Any]:
    return {"host": _word(info.get("device")), "os": _word(info.get("os")), "cpu": _word(info.get("cpu"))}


def _word(value: Any) -> str | None:
    text = str(value).strip() if value is not None else ""
    return None if text in _UNKNOWN else text


def _merged(path: Path) -> list[ForeignResult]:
    """One probe's file over all browsers, its stories in one: which file it was tells it from others."""
    data = _json(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    results = []
    for browser, part in data.items():
        if not isinstance(part, dict) or not isinstance(part.get("data"), dict):
            raise unreadable(path, f"{browser} has no data: name the results folder instead")
        info = _part(path, part, "info")
        known = {
            **_system(info),
            "browser": _word(info.get("browser")),
            "browser_version": _word(info.get("version")),
            "test": path.stem,
        }
        record = {"file_sha256": digest, "browser": {"unique_name": browser, **info}, "probe": path.stem}
        if not _has_metrics(part["data"]):
            raise unreadable(path, f"the data of {browser} are no metrics of crossbench")
        results += _metrics(part["data"], path.stem, known, record)
    return results


def _has_metrics(data: Any) -> bool:
    """Whether each entry is a metric with its values, as crossbench merges them over repetitions."""
    return isinstance(data, dict) and all(
        isinstance(found, dict) and isinstance(found.get("values"), list) for found in data.values()
    )


def _metrics(
    data: dict[str, Any], probe: str, known: dict[str, Any], record: dict[str, Any]
) -> list[ForeignResult]:
    """The metrics that are numbers; crossbench's own mean is the value, its values the samples."""
    results = []
    for metric, found in data.items():
        values = found["values"]
        if not values or not all(_number(value) for value in values):
            continue  # words, such as a URL, are kept there too
        mean = found.get("average")
        results.append(
            ForeignResult(
                tool=NAME,
                **known,
                metric=f"{probe}/{metric}",
                value=mean if _number(mean) else None,
                n=len(values),
                samples=values,
                record={**record, "metric": found},
            )
        )
    return results


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _tables(path: Path) -> set[str]:
    try:
        with closing(_opened(path)) as database:
            return {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        return set()


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    return database


def _database(path: Path) -> list[ForeignResult]:
    """How long each part of each run took; runs that never ended have no times."""
    results = []
    try:
        with closing(_opened(path)) as database:
            rows = {
                table: [dict(row) for row in database.execute(f'SELECT * FROM "{table}"')]  # noqa: S608 - ours
                for table in sorted(_TABLES)
            }
        platforms = {row["label"]: row for row in rows["platform"]}
        browsers = {row["label"]: row for row in rows["browser"]}
        for run in sorted(rows["run"], key=lambda row: row["index"]):
            browser = browsers[run["browser_label"]]
            platform = platforms[browser["platform_label"]]
            results += _durations(run, browser, platform)
    except (sqlite3.Error, KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(path, f"this is not a results database of crossbench ({error!r})") from None
    return results


def _durations(run: dict[str, Any], browser: dict[str, Any], platform: dict[str, Any]) -> list[ForeignResult]:
    """Seconds, as crossbench's timers give them."""
    durations = json.loads(run["durations"]) if run["durations"] else {}
    system = " ".join(word for name in ("os_name", "os_version") if (word := _word(platform[name])))
    record = {"run": {**run, "durations": None}, "browser": browser, "platform": platform}
    return [
        ForeignResult(
            tool=NAME,
            host=_word(platform["hw_model"]),
            os=system or None,
            browser=_word(browser["name"]),
            browser_version=_word(browser["version"]),
            test=run["story"],
            metric=f"duration/{name}",
            unit="s",
            direction="lower",
            value=seconds,
            n=1,
            samples=[seconds],
            record=record,
            started_at=_word(run["start_datetime"]),
        )
        for name, seconds in durations.items()
    ]
