"""Flags that are made of the fields of a request and of the settings of a run, and what they come down to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.browsers import check_browser
from bench.cli.flags import choose, positive
from bench.errors import InputError
from bench.plan.fields import RecordField
from bench.plan.matrix import expand
from bench.plan.measuring import MEASURING
from bench.plan.request import DEFAULT_MODEL, FIELDS, Request
from bench.settings import Settings, unless_given


@dataclass(frozen=True)
class Asked:
    """What the flags of a command line say, by the name of the field; None where a flag was not given."""

    request: Mapping[str, Any]
    measuring: Mapping[str, Any]

    @classmethod
    def of(cls, **given: Any) -> Asked:
        """From values by name, as from flags; what is not among them was not given."""
        return cls(
            {field.name: given.get(field.name) for field in FIELDS},
            {field.name: given.get(field.name) for field in MEASURING},
        )

    def but(self, **given: Any) -> Asked:
        """With other values of a request."""
        return Asked({**self.request, **given}, self.measuring)

    def arms(self, settings: Settings) -> list[Request]:
        """Every combination of the axes.

        Raises:
            InputError: a value that is not allowed; one line with flag, value and what is allowed.
        """
        values = {field.name: _values(field, self.request[field.name], settings) for field in _typed(FIELDS)}
        if not values["model"]:
            values["model"] = [_model_of(values["weights"][0])]
        # Those that are repeatable are the axes; the order of the others is of no matter.
        axes = {field.name: values[field.name] for field in AXES if field.name in values}
        return expand(axes, {name: found[0] for name, found in values.items() if name not in axes})

    def settings(self) -> dict[str, Any]:
        """The settings of a run, checked.

        Raises:
            InputError: a number out of range.
        """
        found: dict[str, Any] = {}
        for field in MEASURING:
            value = self.measuring.get(field.name)
            value = unless_given(field) if value is None else value
            if field.allowed:
                value = choose(field.option, value, field.allowed)
            if field.most is not None:
                positive(field.option, field.kind(value) if value is not None else None, field.most)
            found[field.name] = value
        return found


# The axes of `bench run`, in the order that its arms are listed in: what a reader compares stands together.
AXES = tuple(sorted((field for field in FIELDS if field.flag.several), key=lambda field: field.shown.sort))


def _typed(fields: Sequence[RecordField]) -> list[RecordField]:
    return [field for field in fields if not field.flag.hidden]


def _values(field: RecordField, given: Any, settings: Settings) -> list[Any]:
    """A field's values from its flag, each once."""
    if field.kind is bool:
        return [bool(given) or unless_given(field)]
    given = unless_given(field) if given is None else given
    if given is None:
        return [None]
    values = given if isinstance(given, list) else [given]
    return list(dict.fromkeys(one for value in values for one in _read(field, value, settings)))


def _read(field: RecordField, value: Any, settings: Settings) -> Sequence[Any]:
    """One value; several for the word that stands for them. InputError where it is not allowed."""
    every = field.flag.every
    if field.allowed:
        chosen = choose(field.option, value, (*field.allowed, every) if every else field.allowed)
        return field.flag.all_of if chosen == every else [chosen]
    if field.most is not None:
        positive(field.option, value, field.most)
    if field.name == "browser":
        check_browser(value, settings)
    if field.name == "model" and (not value.strip() or not value.isprintable()):
        raise InputError(f"--model {value!a}: no name of a model; see bench models list")
    if field.name == "weights":
        return [str(Path(value))]
    return [value]


def _model_of(weights: str | None) -> str:
    """What a run without --model measures, by its name."""
    if weights is None:
        return DEFAULT_MODEL
    name = Path(weights).expanduser().resolve().name
    if not name or not name.isprintable():
        raise InputError(f"--weights {weights!a}: it has no name to go by; give --model NAME too")
    return name


Command = Callable[..., int]


def with_flags(
    *, several: bool = True, only: Sequence[str] | None = None, typed: Mapping[str, Any] | None = None
) -> Callable[[Command], Command]:
    """Give a command a flag for each field, and hand it what they say as its first argument, an `Asked`.

    Args:
        several: whether the flags of axes are repeatable.
        only: the fields that have a flag; all where it is None. The others have their defaults.
        typed: what stands for a flag that is not given, where that is the command's own.
    """

    def decorate(command: Command) -> Command:
        request, measuring = (
            [field for field in _typed(fields) if only is None or field.name in only]
            for fields in (FIELDS, MEASURING)
        )
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        def flagged(**given: Any) -> int:
            asked = Asked.of(**{field.name: given.pop(field.name) for field in (*request, *measuring)})
            return command(asked, **given)

        made = [_parameter(field, several, dict(typed or {})) for field in (*request, *measuring)]
        named = {one.name: one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*made, *own)}
        flagged.__name__, flagged.__doc__, flagged.__module__ = (
            command.__name__,
            command.__doc__,
            command.__module__,
        )
        flagged.__annotations__ = {one.name: one.annotation for one in named.values()}
        vars(flagged)["__signature__"] = inspect.Signature(list(named.values()))
        return flagged

    return decorate


def _parameter(field: RecordField, several: bool, typed: dict[str, Any]) -> inspect.Parameter:
    """One flag as Typer reads it from a signature."""
    many = several and field.flag.several
    kind: Any = str if field.allowed else field.kind
    silent = False  # whether the help says the default itself
    default: Any = typed.get(field.name, field.default)
    if field.kind is bool:
        kind, default = bool, bool(default)
    elif many:
        given = field.flag.typed or (() if field.default is None else (field.default,))
        kind, default = list[kind], [str(one) if field.allowed else one for one in given]
        silent = not given
    else:
        if default is None and field.flag.typed:
            default = field.flag.typed[0]
        if field.flag.variable or default is None:
            kind, default, silent = kind | None, None, True
        elif field.allowed:
            default = str(default)
    option = typer.Option(
        field.option,
        help=_help(field, many, typed.get(field.name)),
        metavar=field.flag.metavar or None,
        show_default=not silent,
    )
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _help(field: RecordField, many: bool, typed: Any) -> str:
    """The help of a flag, with what stands for it where it is not given."""
    flag = field.flag
    text = (flag.help or field.about).rstrip(".")
    values = [str(one) for one in (*field.allowed, *([flag.every] if flag.every else []))]
    if "{values}" in text:
        text = text.replace("{values}", " or ".join(filter(None, [", ".join(values[:-1]), values[-1]])))
    parts = [text, *(["repeatable"] if many else [])]
    if field.kind is bool:
        return text + (f" (also {flag.variable}=1)." if flag.variable else ".")
    ends = [flag.variable, flag.otherwise or (f"{field.default:g}" if flag.variable else "")]
    if typed is None:
        parts.append(", ".join(f"else {end}" for end in ends if end))
    return "; ".join(part for part in parts if part) + "."
