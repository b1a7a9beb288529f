"""GGUF files as the transformers library reads them: the same logits from the same file.

Needs the extra `reference` (PyTorch and transformers).
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tiny_gguf
from tiny_gguf import CONFIG

from bench.models.catalog import resolve
from bench.models.text import encode_text
from bench.reference.compare import rel_l2
from bench.reference.execute import run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip(
        "torch", reason="the extra `reference` is not installed (pip install '.[reference]')"
    )
    transformers = pytest.importorskip("transformers")
    pytest.importorskip(
        "accelerate", reason="the extra `reference` is not installed (pip install '.[reference]')"
    )
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

pytestmark = pytest.mark.filterwarnings("ignore")
KINDS = {
    "llama": {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
    "llama-tied": {"tie_word_embeddings": True},
    "qwen2": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
    # 128 is what the library takes a head of Qwen3 to have, whatever the file says.
    "qwen3": {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 128},
}


def theirs(path, ids):
    """The library's logits after the last token."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        return model(torch.from_numpy(ids.astype(np.int64))).logits[0, -1].numpy()


def ours(source, ids):
    program = source.program(1, ids.shape[1], 1)
    weights = {weight.name: source.load(weight.name) for weight in program.weights}
    return run(program, weights, {"input_ids": ids}, states=program.zeros())["logits"][0]


@pytest.mark.parametrize("quantized", ["F32", "Q8_0", "Q4_1"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_logits(tmp_path, kind, quantized):
    config = {**CONFIG, **KINDS[kind]}
    rng = np.random.default_rng(7)
    values = {
        name: (1 + 0.2 * rng.standard_normal(one.shape) if "norm" in name else one / 10).astype(np.float32)
        for name, one in tiny_gguf.tensors(config).items()
    }
    tokens = [f"t{index}" for index in range(config["vocab_size"])]
    path = tiny_gguf.write(
        tmp_path / "m.gguf",
        config,
        values,
        quantized,
        tokens=lambda writer: writer.add_token_list(tokens),
    )
    ids = rng.integers(0, 1003, (1, 19)).astype(np.int32)
    assert rel_l2(ours(resolve("m", path), ids), theirs(path, ids)) < 1e-4


def test_smollm2():
    source = resolve("smollm2-135m")
    ids = np.array([encode_text(source.root, "The Eiffel Tower stands in the city of")], np.int32)
    assert rel_l2(ours(source, ids), theirs(source.root, ids)) < 1e-4
