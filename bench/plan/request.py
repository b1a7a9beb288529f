"""One arm: everything that was asked for, validated once at the boundary."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Platform = Literal["webgpu", "webnn"]
Bits = Literal[16, 8, 4, 2]
Engine = Literal["native"]
Device = Literal["auto", "cpu", "gpu", "npu"]
Scheme = Literal["symmetric", "asymmetric"]
GroupSize = Literal[16, 32, 64, 128]

PLATFORMS: tuple[Platform, ...] = get_args(Platform)
BITS: tuple[Bits, ...] = get_args(Bits)
ENGINES: tuple[Engine, ...] = get_args(Engine)
DEVICES: tuple[Device, ...] = get_args(Device)
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
GROUP_SIZES: tuple[GroupSize, ...] = get_args(GroupSize)

MAX_BATCH = 64
MAX_SEQUENCE = 4096


class Request(BaseModel):
    """One arm of a campaign; equal requests are the same arm.

    `browser` is a name (`chrome`) or a name with a build (`chrome:/path/to/binary`).
    `weights` is a folder that overrides the catalog's source, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    platform: Platform
    browser: str = Field(min_length=1)
    model: str = Field(min_length=1)
    bits: Bits
    mixed_precision: bool = False
    experimental_precision: bool = False
    batch_size: int = Field(default=1, ge=1, le=MAX_BATCH)
    sequence_length: int = Field(default=128, ge=1, le=MAX_SEQUENCE)
    engine: Engine = "native"
    device: Device = "auto"
    group_size: GroupSize = 32
    scheme: Scheme = "symmetric"
    weights: str | None = None

    @property
    def browser_name(self) -> str:
        """The browser without its build."""
        return self.browser.partition(":")[0]

    @property
    def experimental(self) -> bool:
        """Whether this asks WebNN for a type that it may refuse, so that a refusal is a result."""
        return self.experimental_precision and self.platform == "webnn" and self.bits < 8

    @property
    def label(self) -> str:
        """A short name for progress lines: `chrome webgpu 4-bit mixed`."""
        parts = [self.browser_name, self.platform, f"{self.bits}-bit"]
        if self.mixed_precision:
            parts.append("mixed")
        if self.experimental_precision:
            parts.append("experimental")
        return " ".join(parts)
