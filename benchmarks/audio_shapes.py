"""Whisper's operators over workgroup shapes: 256 threads in one dimension are a candidate like any other.

    python benchmarks/audio_shapes.py gpu|processor [--browser chrome] [--browser firefox]
        [--gpu-features stock] [--db URL] [--print]

Each line is a campaign of `bench kernels`: every shape in one page and in the same rounds. `--print` only
says the lines. Where one was stopped, `bench campaign resume NAME` goes on with it. `make docs` puts what a
published set holds of them onto docs/audio.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

PREFIX = "audio"
BROWSERS = ("chrome", "firefox")
ROUNDS = 15
# Of Whisper-tiny and thirty seconds of audio; on a processor a tenth of the rows, and fewer channels.
SHAPES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "gpu": {
        "convolution": ("--convolution", "3000,80,384,3,1", "--convolution", "3000,384,384,3,2"),
        "attention": ("--attention", "1500,6,64"),
        "products": ("--matmul", "1500,384,384", "--matmul", "1500,1536,384"),
        "norm": ("--layer-norm", "1500,384"),
    },
    "processor": {
        "convolution": ("--convolution", "300,80,64,3,1", "--convolution", "300,64,64,3,2"),
        "attention": ("--attention", "150,6,64"),
        "products": ("--matmul", "150,96,96", "--matmul", "150,384,96"),
        "norm": ("--layer-norm", "150,384"),
    },
}
BITS: Mapping[str, Sequence[int]] = {"gpu": (16, 4), "processor": (4,)}

_TILES = [
    {"BM": 16, "BN": 16, "BK": 32, "TM": 4, "TN": 4},  # 16 threads
    {"BM": 16, "BN": 32, "BK": 32, "TM": 4, "TN": 4},
    {"BM": 32, "BN": 32, "BK": 32, "TM": 4, "TN": 4},
    {"BM": 32, "BN": 64, "BK": 32, "TM": 4, "TN": 4},
    {"BM": 64, "BN": 64, "BK": 32, "TM": 4, "TN": 4},  # 256 threads
    {"BM": 64, "BN": 128, "BK": 32, "TM": 4, "TN": 8},  # 256, with more to do
]
VARIANTS: Mapping[str, Sequence[Mapping[str, int]]] = {
    "convolution": [*({"UNFOLD_THREADS": threads} for threads in (32, 64, 128, 256)), *_TILES],
    "attention": [
        {"TQ": 8, "TK": 16, "RQ": 4, "RK": 4},  # 8 threads
        {"TQ": 8, "TK": 16, "RQ": 2, "RK": 2},
        {"TQ": 16, "TK": 16, "RQ": 2, "RK": 2},
        {"TQ": 32, "TK": 32, "RQ": 4, "RK": 4},
        {"TQ": 32, "TK": 32, "RQ": 2, "RK": 4},
        {"TQ": 32, "TK": 32, "RQ": 2, "RK": 2},  # 256 threads
    ],
    "products": _TILES,
    "norm": [{"NORM_THREADS": threads} for threads in (4, 16, 32, 64, 128, 256)],
}


def lines(on: str, browsers: Sequence[str] = BROWSERS, features: str = "stock") -> Iterator[list[str]]:
    """The words of each `bench kernels` line, without a database.

    Args:
        on: `gpu` or `processor`: whose sizes.
        browsers: as `bench kernels` knows them.
        features: the feature set, which is in the campaign's name where it is not `stock`.
    """
    for what, shapes in SHAPES[on].items():
        for browser in browsers:
            more = [] if features == "stock" else ["--gpu-features", features]
            bits = [] if what in ("attention", "norm") else BITS[on]
            yield [
                *("bench", "kernels", *shapes, "--engine", "native", "--browser", browser, *more),
                *(word for one in bits for word in ("--bits", str(one))),
                *("--tuning", "{}"),
                *(word for one in VARIANTS[what] for word in ("--tuning", json.dumps(one))),
                *("--rounds", str(ROUNDS), "--name", "-".join([PREFIX, what, browser, *more[1:]])),
            ]


def main() -> int:
    """Type the lines, or print them; the exit code is the worst one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("on", choices=tuple(SHAPES))
    parser.add_argument("--browser", action="append")
    parser.add_argument("--gpu-features", default="stock", choices=("stock", "f16", "all"))
    parser.add_argument("--db")
    parser.add_argument("--print", action="store_true", dest="only")
    given = parser.parse_args()
    worst = 0
    for words in lines(given.on, given.browser or BROWSERS, given.gpu_features):
        typed = [*words, *(("--db", given.db) if given.db else ())]
        print(shlex.join(typed), flush=True)
        if not given.only:
            worst = max(worst, subprocess.call([sys.executable, "-m", *typed]))
    return worst


if __name__ == "__main__":
    sys.exit(main())
