"""The runner process of a run with a fault: what a worker starts instead of `bench.harness.runner`."""

from __future__ import annotations

import sys

from bench.faults import injection
from bench.harness.runner import main

if __name__ == "__main__":
    sys.exit(main(injection))
