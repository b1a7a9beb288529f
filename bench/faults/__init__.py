"""Faults on purpose: what breaks browsers, drivers, GPUs, pages and servers, each deterministic and each with
the outcome it must get. Hidden from the ordinary help: `bench faults list`, `bench run --fault NAME`.

A run with a fault says so in its evidence, so that it never passes for an honest one. The command line and
the tests bring faults; the harness knows none, and the wheel is without this package.
"""

from bench.faults.catalogue import CATALOGUE, Fault, Layer, injection

__all__ = ["CATALOGUE", "Fault", "Layer", "injection"]
