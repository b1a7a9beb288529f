"""How a run is measured: the settings that are no part of what is asked, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.plan.fields import Flag, fields_of

MAX_SECONDS = 86_400.0
MAX_ITERATIONS = 100_000
OPERATORS = "kernels"  # by which a campaign's settings tell that it is one of operators (`bench kernels`)


class Measuring(BaseModel):
    """The settings of a run. Flags, keys of `[run]` and what the database keeps of a campaign follow them.

    Seconds are wall time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    iterations: Annotated[
        int | None,
        Flag(
            "Exactly this many samples, however long they take",
            variable="BENCH_ITERATIONS",
            otherwise="as many as needed",
        ),
    ] = Field(
        default=None,
        ge=1,
        le=MAX_ITERATIONS,
        description="Exactly this many samples, however long they take.",
    )
    max_seconds: Annotated[float, Flag("Time for sampling each cell", variable="BENCH_MAX_SECONDS")] = Field(
        default=5.0, gt=0, le=MAX_SECONDS, description="Time for sampling in one run."
    )
    timeout: Annotated[float, Flag()] = Field(
        default=180.0, gt=0, le=MAX_SECONDS, description="Seconds a stage may take without a sign of life."
    )
    precision: Annotated[float, Flag(hidden=True)] = Field(
        default=0.02,
        gt=0,
        lt=1,
        description="Sampling in one run stops at this half-width of its 95 % interval.",
    )
    tune: Annotated[
        Literal["auto", "first", "stored", "off"],
        Flag(
            "Constants of our kernels: {values}; auto finds them on the first use of a GPU, first on that of "
            "any adapter, stored takes what `bench tune` found, off the usual ones",
            variable="BENCH_TUNE",
            otherwise="auto",
        ),
    ] = Field(
        default="auto",
        description="Where the constants of our kernels come from: found on the first use of a GPU (`auto`) "
        "or of any adapter (`first`), only what was found before (`stored`), or the usual ones (`off`).",
    )
    roofline: Annotated[bool, Flag("Measure the adapter's ceilings too: `bench plot roofline`.")] = Field(
        default=False, description="Measure the adapter's ceilings in each run."
    )


MEASURING = fields_of(Measuring)


def kept(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of a campaign's stored settings, those that are fields of `Measuring`; older ones may lack some."""
    return {field.name: settings[field.name] for field in MEASURING if field.name in settings}
