"""What a field is beside its type, default and range; everything that lists fields reads it here.

A field stands in one place, its class (`bench.plan.request`, `bench.plan.measuring`), with a `Flag` and a
`Shown` in its `Annotated`. Flags, help, keys of a campaign file, columns, labels, names of arms, and the
commands that repeat a run are made of that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Note = TypeVar("Note")


@dataclass(frozen=True)
class Flag:
    """How a command line asks for a field.

    Attributes:
        help: of the flag; the field's description where blank. `{values}` stands for the values allowed.
        several: whether the flag is repeatable, so that the field is an axis of `bench run`.
        typed: what `bench run` asks for where the flag is not given, if that is not the field's default.
        every: a word that stands for several values.
        all_of: those values.
        variable: the environment variable that stands for a flag which is not given.
        otherwise: the default in words, where the value does not say it.
        metavar: stands for the value in the help.
        hidden: whether no command has this flag: only a campaign file sets the field.
    """

    help: str = ""
    several: bool = False
    typed: tuple[Any, ...] = ()
    every: str = ""
    all_of: tuple[Any, ...] = ()
    variable: str = ""
    otherwise: str = ""
    metavar: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class Shown:
    """How a field of a request reads in tables, labels and names of arms.

    A field with a place in `name` is always said. Any other is an option: it is said only where its value is
    not the default, and never where it has no phrase.

    Attributes:
        title: heading of its column; the field's name where blank.
        phrase: how a value reads, `batch {}`; of a flag, the word that stands for True.
        name: place in an arm's name; None for an option.
        sort: place among the fields that arms are sorted by; equal places keep the order of the class.
        shape: whether it says how much an inference computes: two arms that differ in it are no alternatives.
    """

    title: str = ""
    phrase: str = ""
    name: int | None = None
    sort: int = 99
    shape: bool = False


@dataclass(frozen=True)
class RecordField:
    """A field of a pydantic class with its metadata.

    Attributes:
        name: in the class, in a campaign file and in JSON.
        kind: its type without None: `bool`, `int`, `float` or `str`.
        allowed: its values, where they are a closed list.
        most: the largest number allowed.
        default: None where it is optional or `needed`.
        needed: whether it has no default.
        optional: whether None is a value.
        about: its description.
    """

    name: str
    kind: type
    allowed: tuple[Any, ...]
    most: float | None
    default: Any
    needed: bool
    optional: bool
    about: str
    flag: Flag
    shown: Shown

    @property
    def option(self) -> str:
        """`--batch-size`."""
        return "--" + self.name.replace("_", "-")

    @property
    def column(self) -> str:
        """Its column in the database: `requested_batch_size`."""
        return f"requested_{self.name}"

    @property
    def title(self) -> str:
        """Heading of its column in a table for people."""
        return self.shown.title or self.name.replace("_", " ")

    def said(self, value: Any) -> str:
        """A value in words: `4-bit`, `mixed`; "" for False and where the field has no phrase."""
        if self.kind is bool:
            return self.shown.phrase if value else ""
        return self.shown.phrase.format(value)

    def option_said(self, value: Any) -> str:
        """A value in words, "" where it is the default, or where nobody said it."""
        return "" if value in (None, self.default) else self.said(value)


def fields_of(record: type[BaseModel]) -> tuple[RecordField, ...]:
    """The fields of a class in its order.

    Raises:
        TypeError: a field is neither a flag, a number, a text nor one of a closed list.
    """
    return tuple(_read(name, info) for name, info in record.model_fields.items())


def _read(name: str, info: FieldInfo) -> RecordField:
    optional, inner = _without_none(info.annotation)
    allowed = get_args(inner) if get_origin(inner) is Literal else ()
    kind = type(allowed[0]) if allowed else inner
    if kind not in (bool, int, float, str):
        raise TypeError(f"the field {name} is {info.annotation}: use bool, int, float, str or a Literal")
    return RecordField(
        name=name,
        kind=kind,
        allowed=allowed,
        most=next((note.le for note in info.metadata if hasattr(note, "le")), None),
        default=None if info.is_required() else info.default,
        needed=info.is_required(),
        optional=optional,
        about=info.description or "",
        flag=_only(info.metadata, Flag) or Flag(),
        shown=_only(info.metadata, Shown) or Shown(),
    )


def _only(metadata: Iterable[Any], kind: type[Note]) -> Note | None:
    return next((note for note in metadata if isinstance(note, kind)), None)


def _without_none(annotation: Any) -> tuple[bool, Any]:
    """Whether None is allowed, and the type without it."""
    if get_origin(annotation) in (UnionType, Union):
        kinds = [one for one in get_args(annotation) if one is not NoneType]
        return len(kinds) < len(get_args(annotation)), kinds[0]
    return False, annotation
