"""Bundles of today's models are those that were recorded before there were programs and recipes.

Weights and inputs to the bit; outputs, which pass through BLAS, by their sums.
"""

import hashlib
import json
from pathlib import Path

import pytest
from bundled import bundled
from safetensors.numpy import load_file

from bench.models.catalog import resolve

RECORDED = json.loads((Path(__file__).parent / "data/bundles.json").read_text())


def digest(path):
    found = hashlib.sha256()
    for name, value in sorted(load_file(path).items()):
        found.update(f"{name} {value.dtype} {value.shape}".encode())
        found.update(value.tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("was", RECORDED, ids=lambda was: f"{was['model']}-{was['bits']}-{was['scheme']}")
def test_a_bundle_is_what_it_was(was, tmp_path):
    source = resolve(was["model"])
    asked = {key: was[key] for key in ("bits", "mixed", "group_size", "scheme", "sequence")}
    made = bundled(source, **asked, batch=1, cache=tmp_path)
    assert source.sha256 == was["sha256"]
    assert digest(made.weights_path) == was["weights"] and digest(made.inputs_path) == was["inputs"]
    assert (made.weight_bytes, made.bits_mean, made.parameters) == (
        was["weight_bytes"], was["bits_mean"], was["parameters"]
    )  # fmt: skip
    outputs = load_file(made.reference_path)
    assert sorted(outputs) == sorted(was["outputs"])
    for name, (total, length) in was["outputs"].items():
        wide = outputs[name].astype("f8")
        assert (wide**2).sum() ** 0.5 == pytest.approx(length, rel=1e-5)
        assert wide.sum() == pytest.approx(total, rel=1e-4, abs=1e-4 * length)
