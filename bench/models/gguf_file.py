"""A language model in a GGUF file, opened like a Hugging Face folder: same names, same order of rows."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.models.families import family_of
from bench.models.files import file_sha256
from bench.models.gguf_config import FACTORS, config_of
from bench.models.gguf_reader import Gguf, read_gguf
from bench.models.remembered import remembered
from bench.models.stored import Stored

_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TURNED = re.compile(r"self_attn\.([qk])_proj\.(weight|bias)$")


@dataclass(frozen=True)
class GgufFile:
    """An opened file; tensors are read and made float32 when asked for.

    Attributes:
        path: the file.
        root: where its tokenizer lies: the same.
        config: with Hugging Face's keys.
        stored: every tensor of the file by Hugging Face's name; one that has none keeps its own.
        tensors: name -> shape of those that a graph may use.
    """

    path: Path
    root: Path
    config: dict[str, Any]
    stored: dict[str, Stored] = field(repr=False)
    tensors: dict[str, tuple[int, ...]]
    pooling: None = None

    def load(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32, rows in Hugging Face's order; KeyError for a name that is not there."""
        values = read_gguf(self.path).load(self.stored[name].name)
        turned = _TURNED.search(name)
        # llama.cpp keeps the pairs that one rotation turns side by side for this architecture, and only it.
        if turned is None or self.config["model_type"] not in ("llama", "mistral"):
            return values
        key = "num_attention_heads" if turned[1] == "q" else "num_key_value_heads"
        return _halves(values, int(self.config[key]))

    def is_finite(self, name: str) -> bool:
        """Whether a tensor holds no infinity and no NaN; the file is read for it once, and remembered."""
        return self.stored[name].name not in remembered(self.path, "not_finite", self._not_finite)

    def _not_finite(self) -> list[str]:
        file = read_gguf(self.path)
        with ThreadPoolExecutor() as pool:
            fine = pool.map(lambda name: bool(np.isfinite(file.load(name)).all()), file.tensors)
            return [name for name, is_fine in zip(file.tensors, fine, strict=True) if not is_fine]

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    @property
    def sha256(self) -> str:
        """Of the file, its tokenizer and metadata included."""
        return file_sha256(self.path)


def open_gguf(path: Path) -> GgufFile:
    """Open a GGUF file of a Llama, Mistral, Qwen2 or Qwen3.

    Raises:
        InputError: the file is not whole, its architecture or a type in it is not read, or its metadata say
            what cannot be computed; one line that names it.
    """
    file = read_gguf(path)
    config = config_of(file)
    family_of(config, str(path)).check(config, str(path))
    stored = {_named(name): Stored(path, name, one.type, one.shape) for name, one in _tensors(file)}
    return GgufFile(path, path, config, stored, {name: one.shape for name, one in stored.items()})


def _tensors(file: Gguf) -> list[tuple[str, Any]]:
    # The divisors of the rope's frequencies are said by the config.
    return [(name, one) for name, one in file.tensors.items() if name != FACTORS]


def _named(name: str) -> str:
    """Hugging Face's name of a tensor; its own where it is of none that is known."""
    block = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    if block and block[2] in _INSIDE:
        return f"model.layers.{block[1]}.{_INSIDE[block[2]]}.{block[3]}"
    stem, _, part = name.rpartition(".")
    return f"{_OUTSIDE[stem]}.{part}" if stem in _OUTSIDE else name


def _halves(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head from interleaved pairs to Hugging Face's two halves."""
    rest = values.shape[1:]
    pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *rest)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)
