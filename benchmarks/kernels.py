"""GFLOP/s and GB/s of each kernel at each precision, in a real browser.

    python benchmarks/kernels.py [--browser chrome] [--f32] [--shape M,N,K ...] [--tile BM,BN,BK,TM,TN ...]

A time is that of one pass of many dispatches over their number, by GPU timestamps on a GPU and by the wall
clock on a software adapter; the gap between two dispatches is in it. low and high are the smallest and
largest of the passes. Weights are rotated through several copies (`--spread` MiB in all), so that a GPU's
cache does not hold them; without it small weights come from the cache. FLOPs are 2MNK, bytes what must be
moved once.
"""

from __future__ import annotations

import argparse
import json
import math
from itertools import product
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.harness.lab import Lab, LabError, encode, packed, value, vector
from bench.quantize.methods import quantize
from bench.quantize.packing import pack_f16
from bench.settings import load_settings

BITS = (16, 8, 4, 2)
SMALL = ((16, 384, 384), (16, 1536, 384), (1, 1024, 1024))
LARGE = (
    (128, 768, 768),
    (128, 2304, 768),
    (128, 3072, 768),
    (512, 2048, 2048),
    (1, 4096, 4096),
    (1, 14336, 4096),
)


def matmul(m: int, n: int, k: int, bits: int, tuning: dict[str, int]) -> dict[str, Any]:
    """A matmul with random data; small sources are drawn once and tiled, for speed."""
    rng = np.random.default_rng([m, n, k, bits])
    w = np.tile(rng.normal(0, 0.05, (min(n, 64), k)).astype(np.float32), (math.ceil(n / 64), 1))[:n]
    if bits == 16:
        quant: dict[str, Any] = {"bits": 16, "group_size": None, "scheme": None, "k": k, "kp": k + k % 2}
        weights = {"W.codes": encode(pack_f16(w))}
    else:
        weights, quant = packed("W", quantize(w, bits, 32, "symmetric"))
    weights["b"] = vector(rng.normal(0, 1, n))
    spec = {
        "name": "matmul", "m": m, "n": n, "quant": quant, "weights": ["W"], "bias": ["b"], "act": "none",
        "input": "x", "output": "y", "tuning": tuning,
    }  # fmt: skip
    x = rng.normal(0, 1, (m, k)).astype(np.float32)
    return {
        "op": "matmul",
        "spec": spec,
        "weights": weights,
        "values": {"x": value(x)},
        "output": "y",
        "elements": m * n,
    }


def others(rows: int, hidden: int) -> list[dict[str, Any]]:
    """The other operators of an encoder at [rows, hidden]."""
    rng = np.random.default_rng([rows, hidden])
    x = value(rng.normal(0, 1, (rows, hidden)).astype(np.float32))
    g = vector(np.ones(hidden))
    norm = {
        "name": "n", "rows": rows, "hidden": hidden, "epsilon": 1e-12, "gamma": "g", "beta": "b",
        "input": "x", "other": "z", "output": "y",
    }  # fmt: skip
    columns = {"value": "x", "stride": hidden, "offset": 0}
    attend = {
        "name": "a", "batch": 1, "sequence": rows, "heads": hidden // 64, "hidden": hidden, "scale": 0.125,
        "q": columns, "k": columns, "v": columns, "mask": "mask", "output": "y",
    }  # fmt: skip
    act = {"name": "g", "inputs": ["x"], "output": "y", "rows": rows, "hidden": hidden, "act": "gelu"}
    mask = value(np.ones(rows, np.int32))
    shared = {"output": "y", "elements": rows * hidden}
    return [
        {"op": "layer_norm", "spec": norm, "weights": {"g": g, "b": g}, "values": {"x": x, "z": x}, **shared},
        {"op": "attention", "spec": attend, "weights": {}, "values": {"x": x, "mask": mask}, **shared},
        {"op": "activation", "spec": act, "weights": {}, "values": {"x": x}, **shared},
    ]


def main() -> None:
    """Print one line a kernel, precision and shape."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--browser", default="chrome")
    parser.add_argument("--f32", action="store_true", help="f32 activations although the adapter has f16")
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--shape", action="append", help="M,N,K; by default small ones on a software adapter")
    parser.add_argument("--bits", action="append", type=int, choices=BITS)
    parser.add_argument("--tile", action="append", help="BM,BN,BK,TM,TN or 'row': force the matmul kernel")
    parser.add_argument("--tuning", action="append", help="JSON of further forced values; repeatable")
    parser.add_argument("--spread", type=int, default=0, help="MiB over which the weights are rotated")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    shapes = [tuple(int(v) for v in text.split(",")) for text in arguments.shape or []]
    rows = []
    with Lab(arguments.browser, load_settings()) as lab:
        first = lab.call("time", timed(matmul(4, 64, 64, 16, {}), arguments))
        software = first["is_fallback_adapter"]
        shapes = shapes or list(SMALL if software else LARGE)
        for m, n, k in shapes:
            for bits in arguments.bits or BITS:
                for tile, more in product(arguments.tile or [None], arguments.tuning or ["{}"]):
                    case = matmul(m, n, k, bits, {**forced(tile), **json.loads(more)})
                    rows.append(time(lab, case, f"matmul {m} x {n} x {k}", bits, arguments))
        if not arguments.tile:
            hidden = 384 if software else 768
            for case in others(16 if software else 128, hidden):
                rows.append(
                    time(lab, case, f"{case['op']} {case['elements'] // hidden} x {hidden}", None, arguments)
                )
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        show(rows, first)


def forced(tile: str | None) -> dict[str, int]:
    """A tile from the command line as tuning values."""
    if tile is None:
        return {}
    if tile == "row":
        return {"ROW_KERNEL": 1}
    return {
        "ROW_KERNEL": 0,
        **dict(zip(("BM", "BN", "BK", "TM", "TN"), map(int, tile.split(",")), strict=True)),
    }


def timed(case: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """The case with its copies, so many that `--spread` MiB are rotated."""
    size = sum(len(text) * 3 // 4 for text in case["weights"].values()) or 1
    copies = max(1, min(64, math.ceil(arguments.spread * 2**20 / size)))
    return {**case, "f16": not arguments.f32, "copies": copies, "seconds": arguments.seconds}


def time(
    lab: Lab, case: dict[str, Any], label: str, bits: int | None, arguments: argparse.Namespace
) -> dict[str, Any]:
    """One timed kernel; its error where it cannot run."""
    row: dict[str, Any] = {"kernel": label, "bits": bits}
    try:
        answer = lab.call("time", timed(case, arguments))
    except LabError as error:
        return {**row, "error": str(error)}
    seconds = answer["ms"] / 1000
    return {
        **row,
        **answer,
        "gflops": answer["flops"] / seconds / 1e9,
        "gbytes": answer["bytes"] / seconds / 1e9,
    }


def show(rows: list[dict[str, Any]], first: dict[str, Any]) -> None:
    """A table for people."""
    software = " (software adapter)" if first["is_fallback_adapter"] else ""
    console = Console()
    console.print(
        f"{first['adapter'] or 'unnamed adapter'}{software}, activations {'f16' if first['f16'] else 'f32'}"
    )
    table = Table(box=None)
    if not console.is_terminal:
        console.width = 200
    for name in ("kernel", "bits", "shader", "tile", "us", "low", "high", "GFLOP/s", "GB/s"):
        table.add_column(name, justify="left" if name in ("kernel", "shader", "tile") else "right")
    for row in rows:
        if "error" in row:
            table.add_row(row["kernel"], str(row["bits"] or ""), row["error"][:80])
            continue
        values = row["values"]
        tile = (
            f"{values['BM']}x{values['BN']}x{values['BK']}/{values['TM']}x{values['TN']}"
            if "BM" in values
            else ""
        )
        numbers = [f"{1000 * row[key]:.1f}" for key in ("ms", "low", "high")]
        rates = [f"{row['gflops']:.1f}", f"{row['gbytes']:.2f}"]
        table.add_row(row["kernel"], str(row["bits"] or ""), row["shader"], tile, *numbers, *rates)
    console.print(table)


if __name__ == "__main__":
    main()
