"""A language model with real weights: SmolLM2 out of its GGUF, as NumPy runs it."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import numpy as np
import pytest

from bench.bundle.calls import Held
from bench.bundle.weights import Lazy
from bench.models.catalog import resolve
from bench.models.text import decode_text, encode_text
from bench.reference.execute import run

ARTICLES = "gensim/test/test_data/lee_background.cor"


@pytest.fixture(scope="module")
def model():
    return resolve("smollm2-135m")


def test_it_knows_the_capital_of_france(model):
    """Tokenizer, rotary order of the GGUF, norms, heads and the tied table, all at once."""
    question = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    ids = np.array(encode_text(model.root, question), np.int32)
    program = model.program(1, len(ids), 16)
    weights, states = Held(Lazy(model.load), program), program.zeros()
    run(program, weights, {"input_ids": ids[None]}, states=states)
    for _ in range(8):
        run(program, weights, {}, entry="decode", states=states)
    tokens = states["tokens"][len(ids) :].tolist()
    ended = next(step for step, token in enumerate(tokens) if token in program.ends)
    assert decode_text(model.root, tokens[:ended]).strip() == "The capital of France is Paris."


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_its_perplexity_is_that_of_its_authors_weights(model, tmp_path):
    """35.2 over the first 1,024 tokens of a set of articles, in windows of 256."""
    fetch = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "gensim==4.4.0",
    ]
    done = subprocess.run([*fetch, "-d", tmp_path], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot fetch gensim, whose articles are read: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(next(tmp_path.glob("gensim-*.whl"))) as wheel:
        text = wheel.read(ARTICLES).decode("utf-8")
    ids = np.array(encode_text(model.root, text[:20_000])[:1024], np.int32)
    program = model.program(1, 1, 255)
    weights = Held(Lazy(model.load), program)
    lost = []
    for window in np.split(ids, 4):
        states = program.zeros()
        logits = run(program, weights, {"input_ids": window[None, :1]}, states=states)["logits"][0]
        for token in window[1:]:
            wide = logits.astype(np.float64)
            lost.append(np.log(np.exp(wide - wide.max()).sum()) + wide.max() - wide[token])
            states["token"][0] = token
            logits = run(program, weights, {}, entry="decode", states=states)["logits"][0]
    assert np.exp(np.mean(lost)) == pytest.approx(35.18, abs=0.05)
