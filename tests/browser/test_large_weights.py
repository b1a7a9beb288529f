"""Weights larger than a page should hold: they pass through it in pieces, and arrive whole."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import numpy as np
import psutil
import pytest

from bench.bundle.streamed import StreamedFile
from bench.harness.lab import LabError

pytestmark = pytest.mark.browser
MB = 1e6
COUNT, EACH, LARGEST = 20, 13_000_002, 40_000_000  # 300 MB, of no whole words
BOUND = 256 * MB  # beside the largest tensor


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of 300 MB, and the first and last words of each of its tensors."""
    path = tmp_path_factory.mktemp("large") / "weights.safetensors"
    sizes = {f"t{i}": EACH // 2 for i in range(COUNT)} | {"largest": LARGEST // 2}
    layout = {name: (np.dtype("<f2"), (size,)) for name, size in sizes.items()}
    rng, ends = np.random.default_rng(5), {}
    with StreamedFile(path, layout) as file:
        for name, size in sizes.items():
            values = rng.integers(0, 2**16, size, dtype=np.uint16)
            file.write(name, values.view("<f2"))
            whole = values[: size // 2 * 2].view("<u4")
            ends[name] = (int(whole[0]), int(whole[-1]))
    assert path.stat().st_size > 299 * MB
    return path, ends


@contextmanager
def watched(process: psutil.Process):
    """Yields a function that says how many bytes the process has grown by at most since it began."""
    before, most, stop = process.memory_info().rss, [0], threading.Event()

    def look():
        while not stop.wait(0.01):
            most[0] = max(most[0], process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: most[0] - before
    finally:
        stop.set()
        thread.join()


def test_every_tensor_arrives(lab, weights):
    path, ends = weights
    lab.files["weights.safetensors"] = path
    found = lab.call("stream", {"file": "weights.safetensors"})
    assert found["bytes"] == sum(EACH for _ in range(COUNT)) + LARGEST
    read = dict(zip(found["names"], zip(found["ends"][::2], found["ends"][1::2], strict=True), strict=True))
    assert read == ends


def test_the_page_stays_small(lab, weights):
    if lab.name != "chrome":
        pytest.skip(f"{lab.name}: its page shares a process with what it does not own")
    lab.files["weights.safetensors"] = weights[0]
    lab.call("stream", {"file": "weights.safetensors"})  # the device and what it brings are there
    with watched(lab.renderer()) as grown:
        lab.call("stream", {"file": "weights.safetensors"})
        assert grown() < LARGEST + BOUND, f"{grown() / MB:.0f} MB"
        streamed = grown()
    with watched(lab.renderer()) as grown:
        lab.call("stream", {"file": "weights.safetensors", "whole": True})
        assert grown() > max(streamed, 290 * MB), f"{grown() / MB:.0f} MB, {streamed / MB:.0f} streamed"


def test_a_file_that_is_not_there(lab, tmp_path):
    (tmp_path / "none.safetensors").write_bytes(b"abc")
    lab.files["none.safetensors"] = tmp_path / "none.safetensors"
    with pytest.raises(LabError, match="not a safetensors file"):
        lab.call("stream", {"file": "none.safetensors"})
