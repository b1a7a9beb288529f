"""One arm: everything that was asked for, validated once at the boundary.

A field is declared here and nowhere else: see `bench.plan.fields`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from bench.plan.fields import Flag, Shown, fields_of

Platform = Literal["webgpu", "webnn", "wasm"]
Bits = Literal[16, 8, 4, 2]
Engine = Literal["native", "ort-web"]
Device = Literal["auto", "cpu", "gpu", "npu"]
Scheme = Literal["symmetric", "asymmetric"]
GroupSize = Literal[16, 32, 64, 128]
GpuFeatures = Literal["stock", "f16", "all"]
WebnnPlan = Literal["auto", "dequantized", "packed", "per-channel", "blockwise", "qdq-int8"]

BITS: tuple[Bits, ...] = get_args(Bits)
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
BOTH: tuple[Platform, ...] = ("webgpu", "webnn")  # what `--platform both` stands for
# Which platforms each engine has: a plan that asks for another is refused before anything is looked for.
ENGINE_PLATFORMS: Mapping[Engine, tuple[Platform, ...]] = {"native": BOTH, "ort-web": PLATFORMS}
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
GROUP_SIZES: tuple[GroupSize, ...] = get_args(GroupSize)
GPU_FEATURES: tuple[GpuFeatures, ...] = get_args(GpuFeatures)  # each has what the ones before it have
STOCK: GpuFeatures = "stock"
AUTO: WebnnPlan = "auto"
# A scale for a whole row of a matrix, in place of groups.
ROW_PLANS: tuple[WebnnPlan, ...] = ("per-channel", "qdq-int8")

DEFAULT_MODEL = "all-MiniLM-L6-v2"  # of `bench run`
MAX_BATCH = 64
MAX_SEQUENCE = 4096
MAX_GENERATE = 2048
GENERATE = 64  # tokens that a language model writes where nobody says how many


class Request(BaseModel):
    """One arm of a campaign; equal requests are the same arm.

    `browser` is a name (`chrome`) or a name with a build (`chrome:/path/to/binary`).
    `weights` is a folder that overrides the catalog's source, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    platform: Annotated[
        Platform,
        Flag("{values}.", several=True, typed=("webgpu",), every="both", all_of=BOTH),
        Shown(phrase="{}", name=2, sort=5),
    ] = Field(description="`webgpu` or `webnn`; `wasm`, the processor, with engine `ort-web`")
    browser: Annotated[
        str,
        Flag(
            "chrome, firefox, webkitgtk, edge, safari, or NAME:/path.",
            several=True,
            typed=("chrome",),
        ),
        Shown(phrase="{}", name=1, sort=4),
    ] = Field(min_length=1, description="Browser, or `NAME:/path` for a build of its own")
    model: Annotated[
        str,
        Flag(
            "A catalog name (`bench models list`)",
            several=True,
            otherwise=f"{DEFAULT_MODEL}, with --weights the name of that",
        ),
        Shown(phrase="{}", name=0, sort=1),
    ] = Field(min_length=1, description="Name of the catalog, or of a folder's model")
    bits: Annotated[
        Bits, Flag("{values}.", several=True, typed=BITS), Shown(phrase="{}-bit", name=3, sort=6)
    ] = Field(description="Weight precision; 16 is the baseline")
    mixed_precision: Annotated[
        bool, Flag("8 bits for attention and embeddings, BITS for the rest."), Shown("mixed", "mixed")
    ] = Field(default=False, description="8 bits for attention and embeddings")
    experimental_precision: Annotated[
        bool,
        Flag(
            "Ask WebNN for the true 4- or 2-bit type and keep what it answers",
            variable="WEBNN_EXPERIMENTAL_PRECISION",
        ),
        Shown("experimental", "experimental"),
    ] = Field(default=False, description="WebNN is asked for the true 4- or 2-bit type")
    batch_size: Annotated[
        int, Flag("Sequences an inference."), Shown("batch", "batch {}", sort=3, shape=True)
    ] = Field(default=1, ge=1, le=MAX_BATCH, description="Sequences an inference")
    sequence_length: Annotated[
        int,
        Flag("Tokens (Whisper: 20 ms of audio) a sequence", variable="BENCH_SEQUENCE_LENGTH"),
        Shown("tokens", "{} tokens", name=4, sort=2, shape=True),
    ] = Field(default=128, ge=1, le=MAX_SEQUENCE, description="Tokens (Whisper: 20 ms of audio) a sequence")
    generate: Annotated[
        int | None,
        Flag("Tokens that a language model writes after its prompt", otherwise=f"{GENERATE}"),
        Shown("generated", "{} generated", sort=2, shape=True),
    ] = Field(
        default=None,
        ge=1,
        le=MAX_GENERATE,
        description="Tokens that a language model writes after its prompt; blank: the model writes no text",
    )
    engine: Annotated[
        Engine,
        Flag("native: our own kernels and graphs; ort-web: onnxruntime-web.", several=True),
        Shown(phrase="{}"),
    ] = Field(
        default="native", description="`native`: our own kernels and graphs; `ort-web`: onnxruntime-web"
    )
    device: Annotated[
        Device,
        Flag("auto, cpu (a software adapter in WebGPU), gpu, or npu (WebNN only)."),
        Shown(phrase="device {}"),
    ] = Field(default="auto", description="`auto`, `cpu` (a software adapter in WebGPU), `gpu` or `npu`")
    gpu_features: Annotated[
        GpuFeatures | None,
        Flag(
            "Of WebGPU: stock (what an ordinary user has), f16 (shader-f16 by a flag), all (matrix units)",
            several=True,
            typed=(STOCK,),
        ),
        Shown("features", "features {}"),
    ] = Field(
        default=STOCK,
        description="What of WebGPU the browser shows: `stock`, what an ordinary user has; `f16`, with "
        "`shader-f16` behind a flag; `all`, with experimental matrix units too; blank: not asked for",
    )
    webnn_plan: Annotated[
        WebnnPlan | None,
        Flag("How a WebNN graph holds its weights: {values}", several=True, typed=(AUTO,)),
        Shown("plan", "plan {}"),
    ] = Field(
        default=AUTO,
        description="How a WebNN graph holds its weights: `auto`, by what the browser can do; `dequantized`, "
        "once, before it is timed; `packed`, scaled by group at each call; `per-channel`, a scale a row; "
        "`blockwise`, `dequantizeLinear` at each call; `qdq-int8`, activations too; blank: not asked for",
    )
    group_size: Annotated[
        GroupSize, Flag("Weights a scale, along K: {values}."), Shown(phrase="groups of {}")
    ] = Field(default=32, description="Weights that share a scale, along K")
    scheme: Annotated[Scheme, Flag("{values}."), Shown(phrase="{}")] = Field(
        default="symmetric", description="`symmetric` or `asymmetric`"
    )
    weights: Annotated[
        str | None,
        Flag("A Hugging Face folder or a GGUF file to take the weights from.", metavar="PATH"),
        Shown(),
    ] = Field(default=None, description="Folder or GGUF file that the weights come from; blank: the catalog")

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
        parts = [self.browser_name, self.platform, f"{self.bits}-bit", *self.options]
        return " ".join(parts)

    @property
    def options(self) -> list[str]:
        """What is not the default, in words: `mixed`, `batch 4`."""
        said = [field.option_said(getattr(self, field.name)) for field in OPTIONS]
        return [words for words in said if words]

    @property
    def shape(self) -> tuple[Any, ...]:
        """The fields that say how much an inference computes."""
        return tuple(getattr(self, field.name) for field in FIELDS if field.shown.shape)


FIELDS = fields_of(Request)
# What an arm that lacks them was never asked: it is older than they are.
_OPTIONAL = {field.name: None for field in FIELDS if field.optional}


def stored(arm: Mapping[str, Any]) -> Request:
    """A request as a database holds it; what came later than that is blank.

    Raises:
        pydantic.ValidationError: it is no request.
    """
    return Request.model_validate({**_OPTIONAL, **arm})


# Always said of an arm, in this order.
NAMED = tuple(
    sorted((field for field in FIELDS if field.shown.name is not None), key=lambda one: one.shown.name or 0)
)
# Said where they are not the default.
OPTIONS = tuple(field for field in FIELDS if field.shown.name is None and field.shown.phrase)
SORTED = tuple(sorted(FIELDS, key=lambda one: one.shown.sort))
# Columns of the database, in the order of the class.
ASKED = tuple(field.column for field in FIELDS)
