"""A campaign file, validated: what is measured, how often, when it stops, and what is tried again.

`docs/campaign.schema.json` is made of these classes; `bench.plan.reading` reads a file with them.
"""

from __future__ import annotations

from itertools import product
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic.fields import FieldInfo

from bench.harness.outcome import Outcome
from bench.plan import shapes
from bench.plan.fields import Flag, Shown
from bench.plan.measuring import MAX_SECONDS, Measuring
from bench.plan.request import Request

Check = Literal["ignore", "warn", "refuse"]
Retried = Literal["error", "incorrect", "timeout", "device_lost", "crashed"]

MAX_BLOCKS = 1000
MAX_CELLS = 200_000
BREAKER = 5
TEST = "test"

Word = Annotated[str, Field(min_length=1, max_length=4096)]
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
Share = Annotated[float, Field(gt=0, lt=1)]


class _Many:
    """One value stands for a list of one: said to the schema, and done by `_listed`."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        listed = handler(schema)
        return {"anyOf": [listed["items"], listed]}


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


_ONE_OR_MORE = (_Many(), BeforeValidator(_listed))


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _with_tests(schema: dict[str, Any]) -> None:
    """The key `test` in the schema: it is read, and stands for two others."""
    schema["properties"][TEST] = {
        "description": "Instead of sequence_length and generate: names of llama-bench, `pp512`, `tg128`, "
        "`tg128 @ d512`.",
        "title": "Test",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
    }


class _Axes(_Part):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, json_schema_extra=_with_tests)

    @model_validator(mode="before")
    @classmethod
    def _tests(cls, data: Any) -> Any:
        """`test = ["pp512", "tg128"]` as the lengths and tokens that it stands for."""
        if not isinstance(data, dict) or TEST not in data:
            return data
        given = data[TEST] if isinstance(data[TEST], list) else [data[TEST]]
        if not given or not all(isinstance(one, str) for one in given):
            raise ValueError(f"{TEST} = {data[TEST]!r}: write {shapes.ALLOWED}")
        found = shapes.axes(given)
        if twice := sorted(found.keys() & data.keys()):
            raise ValueError(f"{TEST} says {' and '.join(twice)} too: name one of them")
        return {**{name: value for name, value in data.items() if name != TEST}, **found}

    @field_validator("*")
    @classmethod
    def _each_once(cls, value: Any) -> Any:
        for index, item in enumerate(value or ()):
            if item in value[:index]:
                raise ValueError(f"{item!r} stands twice")
        return value

    def given(self) -> dict[str, list[Any]]:
        """Field of a request -> its values, in the order of `Request`; those of the file only."""
        found = {name: getattr(self, name) for name in Request.model_fields if name in self.model_fields_set}
        return {name: values for name, values in found.items() if values is not None}


class _Rule(_Axes):
    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names no field")
        return self

    def matches(self, request: Request) -> bool:
        """Whether the request has one of the values in each field that is named here."""
        return all(getattr(request, name) in values for name, values in self.given().items())


def _axis(info: FieldInfo) -> Any:
    """The type of a list of a field's values: not empty, each within what a request allows."""
    kinds = [kind for kind in get_args(info.annotation) or () if kind is not NoneType]
    value = kinds[0] if type(None) in get_args(info.annotation) else info.annotation
    limits = [note for note in info.metadata if not isinstance(note, Flag | Shown)]
    item: Any = Word if value is str else Annotated[(value, *limits)] if limits else value
    return Annotated[list[item], Field(min_length=1)]


def _matrix_fields() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in _FILE_ORDER:
        info = Request.model_fields[name]
        axis = _axis(info)
        if info.is_required():
            fields[name] = (axis, ...)
        else:
            fields[name] = (axis | None, None) if info.default is None else (axis, [info.default])
    return fields


def _rule_fields() -> dict[str, Any]:
    return {
        name: (Annotated[(_axis(Request.model_fields[name]), *_ONE_OR_MORE)] | None, None)
        for name in _FILE_ORDER
    }


# A file names the model first; the rest is as in a request.
_FILE_ORDER = ("model", *(name for name in Request.model_fields if name != "model"))

if TYPE_CHECKING:  # whose fields are known once `Request` is: what all of them have is what types can say
    Matrix = _Axes
    Rule = _Rule
else:
    Matrix = create_model(
        "Matrix",
        __base__=_Axes,
        __doc__="The axes: every combination of their values is an arm. A field that is left out has its "
        "default.",
        **_matrix_fields(),
    )
    Rule = create_model(
        "Rule",
        __base__=_Rule,
        __doc__="""Some fields of a request, each with one value or a list of them.

    In `[[include]]` it adds the matrix once more with these axes instead of its own; in `[[exclude]]` it
    takes out every arm that has one of the values in each of the fields.
    """,
        **_rule_fields(),
    )


class Run(Measuring):
    """How often and how long. Seconds are wall time."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    blocks: Annotated[int, Field(ge=1, le=MAX_BLOCKS, description="Each arm runs once a block.")] = 1
    seed: Annotated[int, Field(ge=0, lt=2**63, description="Of the order the cells run in.")] = 0
    max_cell_seconds: Annotated[
        Seconds | None, Field(description="A run that takes longer as a whole is ended as `timeout`.")
    ] = None
    max_minutes: Annotated[
        float | None,
        Field(gt=0, le=60 * 24 * 31, description="No cell begins later than so long after the start."),
    ] = None
    grid: Annotated[
        Word | None, Field(description="A Selenium Grid whose browsers are used, as with `--grid`.")
    ] = None
    breaker: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="After this many failures of one browser in a row (crash, timeout, launch), its "
            "other cells become `unavailable` rows; 0: never.",
        ),
    ] = BREAKER


class Stopping(_Part):
    """When blocks beyond `run.blocks` need not run."""

    precision: Annotated[
        Share,
        Field(
            description="Wanted half-width of the 95 % interval of every arm's ratio to the first arm of its "
            "model and shape, over blocks; looked at after every second block from the tenth on."
        ),
    ]
    max_blocks: Annotated[int, Field(ge=2, le=MAX_BLOCKS, description="The most blocks that run.")]


class Retry(_Part):
    """What is tried again. Every attempt is a run of its own in the database."""

    attempts: Annotated[int, Field(ge=1, le=10, description="Runs of one cell at most.")] = 1
    on: Annotated[list[Retried], Field(min_length=1, description="Outcomes that are tried again.")] = [
        "timeout",
        "device_lost",
        "crashed",
    ]


class Checks(_Part):
    """What is looked at before the first run: `ignore` it, `warn` of it, or `refuse` to run."""

    disk: Annotated[Check, Field(description="Less than 1 GiB free for temporary files or database.")] = (
        "warn"
    )
    memory: Annotated[Check, Field(description="Less than 1 GiB of memory available.")] = "warn"
    load: Annotated[Check, Field(description="Others keep more than half of the processors busy.")] = "warn"
    battery: Annotated[Check, Field(description="The machine runs on its battery.")] = "warn"
    browsers: Annotated[Check, Field(description="Browsers run that this program did not start.")] = "ignore"


class CampaignFile(_Part):
    """A whole campaign file."""

    name: Annotated[str, Field(min_length=1, max_length=200, description="Unique in the database.")]
    a_a: Annotated[
        bool,
        Field(description="One arm runs twice a block, hidden from every comparison: a false-alarm meter."),
    ] = True
    matrix: Matrix
    include: list[Rule] = []
    exclude: list[Rule] = []
    run: Run = Run()
    stop: Stopping | None = None
    retry: Retry = Retry()
    checks: Checks = Checks()

    @field_validator("name")
    @classmethod
    def _printable(cls, value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError("must be printable and not blank")
        return value

    @model_validator(mode="after")
    def _room_to_stop(self) -> Self:
        if self.stop and self.stop.max_blocks < self.run.blocks:
            raise ValueError(
                f"stop.max_blocks = {self.stop.max_blocks} is less than run.blocks = {self.run.blocks}"
            )
        return self

    @property
    def blocks(self) -> int:
        """How many blocks are planned at most."""
        return self.stop.max_blocks if self.stop else self.run.blocks


class DuplicateArm(ValueError):
    """Two rules name the same arm; `place` is the later one in the file, as (table, index)."""

    def __init__(self, request: Request, place: tuple[str, int]) -> None:
        super().__init__(f"the cell {request.model} {request.label} is there already")
        self.place = place


def arms_of(file: CampaignFile) -> list[Request]:
    """Every arm once, in the order of the file: the matrix, then each include, less the excluded.

    Raises:
        DuplicateArm: an include names an arm that is there already.
    """
    arms: dict[Request, None] = dict.fromkeys(_product(file.matrix.given()))
    for index, rule in enumerate(file.include):
        for request in _product({**file.matrix.given(), **rule.given()}):
            if request in arms:
                raise DuplicateArm(request, ("include", index))
            arms[request] = None
    return [arm for arm in arms if not any(rule.matches(arm) for rule in file.exclude)]


def _product(axes: dict[str, list[Any]]) -> list[Request]:
    return [Request(**dict(zip(axes, values, strict=True))) for values in product(*axes.values())]


def retried(file: CampaignFile) -> tuple[Outcome, ...]:
    """The outcomes that are tried again."""
    return tuple(Outcome(word) for word in file.retry.on)
