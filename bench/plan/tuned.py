"""What tuning found for one kernel, and how it is asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bench.errors import InputError
from bench.plan.constants import check_constants

MOST_FORMS = 16  # of one kernel, the usual one among them
SECONDS = 2.0  # for a model

_Name = Annotated[str, Field(min_length=1, max_length=1000)]
_Milliseconds = Annotated[float, Field(gt=0, lt=1e9)]
_Count = Annotated[int, Field(ge=0, le=10_000)]


class TunedKernel(BaseModel):
    """Constants of one kernel, with what they hold for; no constants where the usual ones are the best.

    Times are medians of rounds in turn, of one dispatch, in milliseconds. Of the forms `tried`, some were
    `refused` by the browser's compiler, and some gave a `wrong` answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    adapter: _Name = Field(description="All that the browser says of the adapter")
    browser: _Name = Field(description="Name of the browser")
    browser_version: _Name = Field(description="Its build")
    features: Literal["stock", "f16", "all"] = Field(description="The largest feature set of the device")
    kernels: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="Hash of our shaders and page modules"
    )
    key: _Name = Field(description="What the kernel does: shape, format, what is joined with it")
    constants: dict[str, int] = Field(
        description="That are faster than the usual ones; none where they are not"
    )
    default_ms: _Milliseconds = Field(description="Time of the usual form")
    tuned_ms: _Milliseconds = Field(description="Time of the form that is kept")
    tried: _Count = Field(description="Forms that were tried, the usual one among them")
    refused: _Count = Field(description="Forms that did not compile")
    wrong: _Count = Field(description="Forms that gave another answer than the usual one")
    tuned_at: _Name = Field(description="UTC, ISO 8601")

    @field_validator("constants")
    @classmethod
    def _known(cls, given: dict[str, int]) -> dict[str, int]:
        try:
            check_constants(given)
        except InputError as error:
            raise ValueError(str(error)) from None
        return given

    @property
    def where(self) -> tuple[str, ...]:
        """What its constants hold for, beside the kernel."""
        return self.adapter, self.browser, self.browser_version, self.features, self.kernels

    @property
    def untried(self) -> bool:
        """Whether there was no time for another form than the usual one."""
        return self.tried == 1

    @property
    def gain(self) -> float:
        """The usual form's time over the kept one's: above 1 the kept one is faster."""
        return self.default_ms / self.tuned_ms


class Tune(BaseModel):
    """How a session finds constants.

    Attributes:
        on: the adapters on which it does.
        seconds: for all kernels of a model; no form is begun later.
        forms: of one kernel at most, the usual one among them.
        only: whether nothing else is measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: Literal["gpu", "any"] = "gpu"
    seconds: float = Field(default=SECONDS, gt=0, le=3600)
    forms: int = Field(default=MOST_FORMS, ge=2, le=MOST_FORMS)
    only: bool = False
