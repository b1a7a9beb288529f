"""The hash of our own kernels: constants hold for the code that they were found for."""

from __future__ import annotations

import hashlib
import json

from bench.engines import ENGINES
from bench.harness.server import page_modules, page_text, shader_files, shader_text

_DIGITS = 16


def code_hash() -> str:
    """Over the shaders and the page's modules: what `kernelsHash` of `pages/runtime/identity.js` gives."""
    texts = {name: page_text(name) for name in page_modules(ENGINES["native"].modules("webgpu"))}
    texts |= {name: shader_text(name) for name in shader_files()}
    said = json.dumps([sorted(texts.items()), []], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()[:_DIGITS]
