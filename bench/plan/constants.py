"""The constants that `bench kernels --tuning` forces on our kernels: which there are, and what they may be.

A name that no kernel reads would be timed as if it had been forced, and a tile that does not divide would
fail in the browser only: both are refused before anything is written. What a device has too little of is a
row that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import InputError


@dataclass(frozen=True)
class Constant:
    """One constant.

    Attributes:
        what: for people.
        allowed: every value that it may have.
    """

    what: str
    allowed: tuple[int, ...]


def _powers(least: int, most: int) -> tuple[int, ...]:
    return tuple(2**e for e in range(least.bit_length() - 1, most.bit_length()))


_FLAG = (0, 1)
_TILE = _powers(8, 256)
_THREADS = _powers(1, 1024)
CONSTANTS: Mapping[str, Constant] = {
    "ROW_KERNEL": Constant("the kernel for a few rows, or not", _FLAG),
    "MATRICES": Constant("matrix units; 0 makes their sums by hand", _FLAG),
    "UNIFORM": Constant("shapes told at each call, one pipeline for all", _FLAG),
    "BM": Constant("rows of a workgroup's tile", _TILE),
    "BN": Constant("columns of it", _TILE),
    "BK": Constant("values of K a step", _TILE),
    "TM": Constant("rows of a thread, without matrix units", _powers(1, 16)),
    "TN": Constant("columns of a thread", _powers(1, 16)),
    "PREFETCH": Constant("the next step's values wait in registers", _FLAG),
    "SM": Constant("rows of a subgroup, with matrix units", _powers(16, 128)),
    "SN": Constant("columns of a subgroup", _powers(16, 128)),
    "SLICES": Constant("subgroups that share a step's K", _powers(1, 16)),
    "ROWS": Constant("rows of W that a team sums up at once, for a few rows", tuple(range(1, 17))),
    "TEAM": Constant("threads that make an output together", _THREADS),
    "THREADS": Constant("threads of a workgroup", _THREADS),
    "SUBGROUPS": Constant("sums by subgroups, where a team is one", _FLAG),
    "FIXED": Constant("activations as whole numbers of 16 bits", _FLAG),
    "STAGED": Constant("activations in shared memory", _FLAG),
    "BLOCK": Constant("activations staged at a time", tuple(range(64, 65_536, 64))),
    "AHEAD": Constant("the next weights are on their way meanwhile", _FLAG),
    "NORM": Constant("the norm before a matmul within it", _FLAG),
    "WINDOW": Constant("a convolution's windows are read within its matmul", _FLAG),
    "TQ": Constant("queries of attention's tile", _powers(4, 128)),
    "TK": Constant("keys of it", _powers(4, 128)),
    "RQ": Constant("queries of a thread", _powers(1, 8)),
    "RK": Constant("keys of a thread", _powers(1, 8)),
    "LOADS": Constant("loads on their way at once, for one row of attention", _powers(1, 16)),
    "SPLITS": Constant("workgroups that share the keys of a head, for one row of attention", _powers(1, 16)),
    "EACH": Constant("a norm's values stay with their threads between its passes", _FLAG),
    "NORM_THREADS": Constant("threads of a norm", _THREADS),
    "UNFOLD_THREADS": Constant("threads of a convolution's windows, before its product", _THREADS),
}
# The part of a whole, which must divide it.
_PARTS = (
    ("TM", "BM"),
    ("TN", "BN"),
    ("SM", "BM"),
    ("SN", "BN"),
    ("TEAM", "THREADS"),
    ("RQ", "TQ"),
    ("RK", "TK"),
)


def check_constants(given: Mapping[str, int]) -> None:
    """Whether kernels know these constants, and whether those that go together fit.

    Raises:
        InputError: one is unknown or not allowed, or a tile does not divide.
    """
    for name, value in given.items():
        if name not in CONSTANTS:
            raise InputError(f"{name}: no kernel has that constant; there are {', '.join(CONSTANTS)}")
        allowed = CONSTANTS[name].allowed
        if value not in allowed:
            raise InputError(
                f"{name}: {value} is not allowed ({CONSTANTS[name].what}); allowed: {_said(allowed)}"
            )
    for part, whole in _PARTS:
        if part in given and whole in given and given[whole] % given[part]:
            raise InputError(f"{whole} of {given[whole]} does not divide into parts of {part} {given[part]}")


def _said(allowed: tuple[int, ...]) -> str:
    if len(allowed) <= 16:
        return ", ".join(map(str, allowed))
    return f"{allowed[0]}, {allowed[1]}, ... to {allowed[-1]}"
