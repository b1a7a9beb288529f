"""One arm: everything that was asked for, validated once at the boundary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Platform = Literal["webgpu", "webnn", "wasm"]
Bits = Literal[16, 8, 4, 2]
Engine = Literal["native", "ort-web"]
Device = Literal["auto", "cpu", "gpu", "npu"]
Scheme = Literal["symmetric", "asymmetric"]
GroupSize = Literal[16, 32, 64, 128]

PLATFORMS: tuple[Platform, ...] = get_args(Platform)
BITS: tuple[Bits, ...] = get_args(Bits)
ENGINES: tuple[Engine, ...] = get_args(Engine)
BOTH: tuple[Platform, ...] = ("webgpu", "webnn")  # what `--platform both` stands for
# Which platforms each engine has: a plan that asks for another is refused before anything is looked for.
ENGINE_PLATFORMS: Mapping[Engine, tuple[Platform, ...]] = {"native": BOTH, "ort-web": PLATFORMS}
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

    platform: Platform = Field(
        description="`webgpu` or `webnn`; `wasm`, the processor, with engine `ort-web`"
    )
    browser: str = Field(min_length=1, description="Browser, or `NAME:/path` for a build of its own")
    model: str = Field(min_length=1, description="Name of the catalog, or of a folder's model")
    bits: Bits = Field(description="Weight precision; 16 is the baseline")
    mixed_precision: bool = Field(default=False, description="8 bits for attention and embeddings")
    experimental_precision: bool = Field(
        default=False, description="WebNN is asked for the true 4- or 2-bit type"
    )
    batch_size: int = Field(default=1, ge=1, le=MAX_BATCH, description="Sequences an inference")
    sequence_length: int = Field(
        default=128, ge=1, le=MAX_SEQUENCE, description="Tokens (Whisper: 20 ms of audio) a sequence"
    )
    engine: Engine = Field(
        default="native", description="`native`: our own kernels and graphs; `ort-web`: onnxruntime-web"
    )
    device: Device = Field(
        default="auto", description="`auto`, `cpu` (a software adapter in WebGPU), `gpu` or `npu`"
    )
    group_size: GroupSize = Field(default=32, description="Weights that share a scale, along K")
    scheme: Scheme = Field(default="symmetric", description="`symmetric` or `asymmetric`")
    weights: str | None = Field(
        default=None, description="Folder that the weights come from; blank: the catalog"
    )

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
        """A short name for progress lines: `chrome webgpu 4-bit mixed ort-web`."""
        parts = [self.browser_name, self.platform, f"{self.bits}-bit"]
        if self.mixed_precision:
            parts.append("mixed")
        if self.experimental_precision:
            parts.append("experimental")
        if self.engine != "native":
            parts.append(self.engine)
        return " ".join(parts)
