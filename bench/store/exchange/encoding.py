"""Rows into files and back: JSON lines or Parquet, a part at a time, every value held to its column."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol, TypeVar

from bench.store.exchange.layout import Column, Encoding, Entry, Layout, refused
from bench.store.writing import storable

Row = dict[str, Any]
Placed = tuple[str, Row]  # where it stands, for people, and what it says
ROWS_AT_ONCE = 1000

T = TypeVar("T")


class Writer(Protocol):
    """Takes rows in order and says in the end what the file became."""

    def write(self, row: Row) -> None:
        """Add a row, its columns in the layout's order."""

    def close(self) -> Entry:
        """Finish the file; it is on disk then."""

    def abandon(self) -> None:
        """Let go of the file, whatever state it is in."""


def writer(path: Path, layout: Layout, encoding: Encoding) -> Writer:
    """A new file for one table."""
    return _Lines(path) if encoding is Encoding.JSONL else _Parquet(path, layout)


def dumped(value: Any) -> str:
    """JSON as it stands in the files: one line, keys in the order they have."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class _Lines:
    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("xb")
        self._hash = hashlib.sha256()
        self._rows = 0

    def write(self, row: Row) -> None:
        try:
            text = dumped(row)
        except ValueError:  # not a number: an old database may hold one, and blank is what it means
            text = dumped(storable(row))
        line = text.encode() + b"\n"
        self._hash.update(line)
        self._file.write(line)
        self._rows += 1

    def close(self) -> Entry:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return Entry(rows=self._rows, sha256=self._hash.hexdigest())

    def abandon(self) -> None:
        self._file.close()


class _Parquet:
    """Objects are JSON text in it; row groups end where a fixed number of rows or samples is reached."""

    def __init__(self, path: Path, layout: Layout) -> None:
        import pyarrow.parquet as pq  # slow to load

        self._path = path
        self._schema = schema(layout)
        self._objects = [one.name for one in layout.columns if one.kind in ("object", "list")]
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[Row] = []
        self._rows = 0

    def write(self, row: Row) -> None:
        texts = {name: dumped(storable(row[name])) for name in self._objects if row.get(name) is not None}
        self._waiting.append({**row, **texts})
        if len(self._waiting) == ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        self._file.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
        self._rows += len(self._waiting)
        self._waiting = []

    def close(self) -> Entry:
        if self._waiting:
            self._flush()
        self._file.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
            return Entry(rows=self._rows, sha256=hashlib.file_digest(file, "sha256").hexdigest())

    def abandon(self) -> None:
        self._file.close()


def schema(layout: Layout) -> Any:
    """The Arrow schema of a table's Parquet file."""
    import pyarrow as pa

    kinds = {
        "text": pa.string(),
        "whole": pa.int64(),
        "real": pa.float64(),
        "flag": pa.bool_(),
        "object": pa.string(),
        "list": pa.string(),
        "texts": pa.list_(pa.string()),
        "wholes": pa.list_(pa.int64()),
        "reals": pa.list_(pa.float64()),
    }
    return pa.schema([pa.field(one.name, kinds[one.kind], one.optional) for one in layout.columns])


def read(path: Path, layout: Layout, encoding: Encoding) -> Iterator[Placed]:
    """The rows of a file, each checked: its columns, their kinds, and that a database can keep them.

    Raises:
        StoreError: a row cannot be; the message names file and line.
    """
    rows = _lines(path) if encoding is Encoding.JSONL else _parquet(path, layout)
    names = {one.name for one in layout.columns}
    checks = [(one.name, _check(one)) for one in layout.columns]
    for place, row in rows:
        if not isinstance(row, dict) or row.keys() != names:
            raise refused(place, _other_columns(row, names))
        for name, check in checks:
            try:
                row[name] = check(row[name])
            except ValueError as error:
                raise refused(place, f"{name} {error}") from None
        yield place, row


def _other_columns(row: Any, names: set[str]) -> str:
    if not isinstance(row, dict):
        return "this is not an object"
    extra, missing = sorted(row.keys() - names), sorted(names - row.keys())
    said = [f"no column {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(extra)}"] * bool(extra)
    return "; ".join(said)


def chunks(rows: Iterator[T], size: int = ROWS_AT_ONCE) -> Iterator[list[T]]:
    """Lists of at most that many."""
    while part := list(islice(rows, size)):
        yield part


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path}, line {number}"
            if not line.endswith(b"\n"):
                raise refused(place, "the line is cut off")
            yield place, _parsed(place, line)


def _parsed(place: str, text: bytes | str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise refused(place, f"this is not JSON ({error})") from None
    # Only an escape can bring what no database takes: a NUL, half a character.
    escape = b"\\u" if isinstance(text, bytes) else "\\u"
    if escape in text and storable(value) != value:  # type: ignore[operator]
        raise refused(place, "it holds a character that no database can")
    return value


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _parquet(path: Path, layout: Layout) -> Iterator[Placed]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = schema(layout)
    objects = [one.name for one in layout.columns if one.kind in ("object", "list")]
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(wanted):
                raise refused(str(path), _other_schema(file.schema_arrow, wanted))
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    place = f"{path}, row {number}"
                    for name in objects:
                        if row[name] is not None:
                            row[name] = _parsed(place, row[name])
                    yield place, row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise refused(
            f"{path}, after row {number}", f"this is not a Parquet file of ours ({error})"
        ) from None


def _other_schema(found: Any, wanted: Any) -> str:
    for field in wanted:
        place = found.get_field_index(field.name)
        if place < 0:
            return f"another schema: it has no column {field.name}"
        if not found.field(place).equals(field):
            return f"another schema: {field.name} is {_kind(found.field(place))}, not {_kind(field)}"
    return f"another schema: it has columns besides {wanted.names[0]} to {wanted.names[-1]}"


def _kind(field: Any) -> str:
    return f"{field.type}{'' if field.nullable else ', never blank'}"


def _check(column: Column) -> Callable[[Any], Any]:
    """What gives a value back as the database keeps it, or raises ValueError."""
    check = _CHECKS[column.kind](column)
    if not column.optional:
        return check
    return lambda value: None if value is None else check(value)


def _text(_: Column) -> Callable[[Any], Any]:
    def check(value: Any) -> str:
        if type(value) is not str or "\0" in value:
            raise ValueError(f"is not text: {value!r}")
        return value

    return check


def _whole(column: Column) -> Callable[[Any], Any]:
    most = 2 ** (column.bits - 1)

    def check(value: Any) -> int:
        if type(value) is not int or not -most <= value < most:
            raise ValueError(f"is not a whole number of {column.bits} bits: {value!r}")
        return value

    return check


def _real(_: Column) -> Callable[[Any], Any]:
    def check(value: Any) -> float:
        if type(value) not in (float, int) or not math.isfinite(value):
            raise ValueError(f"is not a number: {value!r}")
        return float(value)

    return check


def _of_type(kind: type, name: str) -> Callable[[Column], Callable[[Any], Any]]:
    def make(_: Column) -> Callable[[Any], Any]:
        def check(value: Any) -> Any:
            if type(value) is not kind:
                raise ValueError(f"is not {name}: {value!r}")
            return value

        return check

    return make


def _several(each: Callable[[Column], Callable[[Any], Any]]) -> Callable[[Column], Callable[[Any], Any]]:
    def make(column: Column) -> Callable[[Any], Any]:
        one = each(column)

        def check(value: Any) -> list[Any]:
            if type(value) is not list:
                raise ValueError(f"is not a list: {value!r}")
            return [one(item) for item in value]

        return check

    return make


_CHECKS: dict[str, Callable[[Column], Callable[[Any], Any]]] = {
    "text": _text,
    "whole": _whole,
    "real": _real,
    "flag": _of_type(bool, "true or false"),
    "object": _of_type(dict, "an object"),
    "list": _of_type(list, "a list"),
    "texts": _several(_text),
    "wholes": _several(_whole),
    "reals": _several(_real),
}
