"""How an exported file is to be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.export.onnx_weights import Activations


@dataclass(frozen=True)
class Form:
    """How the file is to be used.

    Attributes:
        activations: type of everything that is computed.
        dynamic: batch and sequence are free, for a library that loads the file; else the graph's own.
        ids: type of the integer inputs.
        float_outputs: outputs are float32 whatever the activations are.
        positions: `position_ids` are no input but counted: from 0, or after this padding token.
        webnn: only what onnxruntime's WebNN provider takes: no `GatherBlockQuantized` (tables are stored
            dequantized), and gelu without a bias.
    """

    activations: Activations = "f32"
    dynamic: bool = False
    ids: Literal["int32", "int64"] = "int32"
    float_outputs: bool = False
    positions: Literal["input", "counted"] | int = "input"
    webnn: bool = False
