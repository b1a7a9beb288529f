"""From what the doctor found to what to do about it."""

from __future__ import annotations

from bench.browsers import BROWSERS
from bench.browsers.install import INSTALLABLE
from bench.errors import RunFailure
from bench.harness.doctor import Examination
from bench.harness.outcome import Outcome

_FLAGS = "--use-angle=vulkan --enable-features=Vulkan --disable-vulkan-surface --ignore-gpu-blocklist"
_GPU_FLAGS = {"chrome": f"CHROME_GPU_FLAGS='{_FLAGS}'", "edge": f"EDGE_GPU_FLAGS='{_FLAGS}'"}
_NEVER_WEBNN = ("firefox", "webkitgtk", "safari")


def remedies(found: Examination, gpu_nodes: list[str]) -> list[str]:
    """What is missing or wrong with a build, and what to type; one line each, the gravest first."""
    name = found.build.browser
    if found.failure:
        return [_failed(found.failure, found)]
    if "error" in found.probe:
        return [f"the probe page failed ({found.probe['error']}): please report it with this text"]
    lines = []
    if not found.webgpu and name == "firefox":
        lines.append("for WebGPU type `apt-get install mesa-vulkan-drivers`, or install the GPU's driver")
    elif not found.webgpu and name in _GPU_FLAGS:
        lines.append("for WebGPU type `bench browsers install chrome`: that build brings a software adapter")
    elif found.adapter and found.adapter["is_fallback_adapter"] and gpu_nodes:
        advice = "install the GPU's Vulkan driver and look at `vulkaninfo --summary`"
        advice = f"try {_GPU_FLAGS[name]}" if name in _GPU_FLAGS else advice
        lines.append(f"a software adapter, although there is {', '.join(gpu_nodes[:3])}: {advice}")
    if not found.webnn and name not in _NEVER_WEBNN and found.build.source != "fetched":
        lines.append("for WebNN use the Chromium that `bench browsers install chrome` fetches")
    if not found.probe.get("cross_origin_isolated"):
        lines.append("the page is not cross-origin isolated: its clock is coarse, short runs take longer")
    return lines


def remarks(found: Examination) -> list[str]:
    """Worth knowing, nothing to do."""
    lines = []
    name = found.build.browser
    browser, driver = _major(found.version), _major(found.driver_version)
    if name in _GPU_FLAGS and browser and driver and browser != driver:
        lines.append(f"the driver is of version {driver}, the browser of {browser}: works, both are recorded")
    if found.probe and not found.webgpu and name == "webkitgtk":
        lines.append("WebKitGTK has no WebGPU yet: its runs are `unsupported` rows")
    elif found.probe and not found.webnn and name in _NEVER_WEBNN:
        lines.append("only Chromium builds have WebNN")
    tries = [line for line in found.launches if line.startswith("attempt") and not found.failure]
    return lines + [f"it started only on another try; {line}" for line in tries]


def missing(name: str) -> str:
    """What to do where a browser has no build."""
    return BROWSERS[name].remedy


def _failed(failure: RunFailure, found: Examination) -> str:
    name = found.build.browser
    if failure.outcome is Outcome.UNAVAILABLE:
        return f"its driver is missing: {BROWSERS[name].remedy}"
    if failure.outcome is Outcome.TIMEOUT:
        return "it hangs: try again when the machine is idle, with a longer --timeout, or without GPU flags"
    again = f", or type `bench browsers install {name}`" if name in INSTALLABLE else ""
    return f"it died: start {found.build.binary or name} by hand to see why{again}"


def _major(version: str | None) -> str | None:
    return version.partition(".")[0] if version else None
