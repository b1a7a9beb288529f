"""Which tests may be skipped where nobody looks (`CI=true`); any other skip fails the run (conftest.py)."""

from __future__ import annotations

import os
import re

# A pattern for the words of the skip -> why it may be.
ALLOWED = {
    r"has no shader-f16": "the adapter decides: SwiftShader in Chromium has none, lavapipe and GPUs have",
    r"has no matrix units": "the adapter decides: of those here none has, and the same sums are made by hand",
    r"has no subgroups": "the adapter decides: Firefox 153 has none",
    r"its page shares a process with what it does not own": "Firefox: the bound is held to in Chromium",
    r"Firefox has no WebNN": "the browser decides",
    r"no browser has int2": "the browser decides: standard mode runs 2 bits as 8",
    r"are no float16|float16 ends at 65504": "the type ends there, and the f32 form of the test runs",
    r"no shader-f16 to block": "the adapter decides",
    r"only root makes devices": "the user may be another",
    r"root may write anywhere": "the user may be root",
    r"root without setpriv": "the user may be root, without a way to be another",
    r"does not run as root, and there is no runuser": "the user may be root, without a way to be another",
    r"no file system can be mounted here": "containers often forbid it",
    r"no address but the loopback's": "the machine may have no network",
    r"no distribution's Chromium beside the fetched one": "not every machine has two",
    r"a client cannot fill a server's disk": "a server has no such fault",
    r"the long form kills in every phase": "`make test-long` runs it",
    r"the extra `reference` is not installed": "it holds the field's own implementation, which is large",
    r"could not import '(torch|transformers)'": "the same, in pytest's words",
    r"npm cannot fetch transformers.js|no npm here to fetch transformers.js": "there may be no registry",
    r"pip cannot fetch gensim": "there may be no registry",
    r"Safari is there, and would really run": "macOS",
    r"only Linux has /dev/full": "other systems",
    r"no zone files here": "other systems",
    r"nohup is not on this machine": "other systems",
}


def strict() -> bool:
    """Whether a skip must be on the list: CI systems set `CI`."""
    return os.environ.get("CI", "").strip().lower() in ("1", "true", "yes")


def allowed(reason: str) -> bool:
    """Whether a test may be skipped for this reason."""
    return any(re.search(pattern, reason) for pattern in ALLOWED)


def reason_of(longrepr: object) -> str:
    """The words of a skip, as a report of pytest's holds them."""
    words = longrepr[2] if isinstance(longrepr, tuple) and len(longrepr) == 3 else longrepr
    return str(words).removeprefix("Skipped: ")
