"""What Chrome and Edge share: flags, options, and how a Chromium is started headless."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.browsers.base import Build, Role
from bench.browsers.process import SessionSpace
from bench.plan.request import GpuFeatures
from bench.settings import Settings

# Each group says why it is there; the record of a run keeps the flags it was started with.
_QUIET = (  # nothing but the page may use the network or the processor
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-quic",
    "--disable-client-side-phishing-detection",
    "--disable-domain-reliability",
    "--metrics-recording-only",
    "--no-proxy-server",
)
_NO_HOSTS = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"
_STEADY = (  # a page without a visible window must not be throttled
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-dev-shm-usage",
)
_FEATURES = (  # the adapter's name and a clock that is not coarsened; navigator.ml, which every build hides
    "--enable-webgpu-developer-features",
    "--enable-features=WebMachineLearningNeuralNetwork",
)
# On Linux a Chromium hides software adapters, and those of many GPUs, without the first. That shows what is
# experimental too, which no user has: the second hides it.
_SHOWN = ("--enable-unsafe-webgpu", "--disable-dawn-features=allow_unsafe_apis")
_F16 = "--enable-dawn-features=vulkan_enable_f16_on_nvidia"
_ALL = ("--enable-unsafe-webgpu", "--enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia")


def merge_flags(flags: list[str]) -> list[str]:
    """Join repeated list flags into one: of two `--enable-features` Chromium would read only the last."""
    joined = (
        "--enable-features=",
        "--disable-features=",
        "--enable-dawn-features=",
        "--disable-dawn-features=",
    )
    lists: dict[str, list[str]] = {}
    merged: list[str] = []
    for flag in flags:
        prefix = next((p for p in joined if flag.startswith(p)), None)
        if prefix is None:
            if flag not in merged:
                merged.append(flag)
            continue
        if prefix not in lists:
            lists[prefix] = []
            merged.append(prefix)
        for value in flag[len(prefix) :].split(","):
            if value and value not in lists[prefix]:
                lists[prefix].append(value)
    return [flag + ",".join(lists[flag]) if flag in lists else flag for flag in merged]


def set_flags(name: str, features: GpuFeatures, settings: Settings) -> tuple[str, ...]:
    """What makes a Chromium show a feature set: the setting for it, else our own and the further flags.

    Nobody knows the system of a Grid's machine: it is asked as a Linux is.

    Args:
        name: of the browser, whose settings count.
        features: the set.
        settings: of this machine.
    """
    own = settings.browser(name)
    given = own.flags_of(features)
    if given is not None:
        return split_flags(given)
    shown = _SHOWN if settings.harness.grid or sys.platform.startswith("linux") else ()
    flags = {"stock": shown, "f16": (*shown, _F16), "all": _ALL}[features]
    return (*flags, *split_flags(own.gpu_flags))


def flags_for(build: Build, settings: Settings) -> list[str]:
    """The command line of a Chromium, without its profile folder."""
    harness = settings.harness
    if harness.elsewhere:
        # Without it the page is no secure context there: no WebGPU, no WebNN, and the coarse clock.
        secure = f"--unsafely-treat-insecure-origin-as-secure=http://{harness.page_host}:{harness.port}"
        network = [f"{_NO_HOSTS}, EXCLUDE {harness.page_host}", secure]
    else:
        network = [_NO_HOSTS]
    flags = [*_QUIET, *network, *_STEADY, *_FEATURES]
    if settings.harness.headless:
        flags.append("--headless")
    if sys.platform.startswith("linux") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to run as root with it
    return merge_flags([*flags, *build.flags])


def fill_options(options: Any, build: Build, settings: Settings) -> None:
    """Set binary and flags on a Selenium ChromiumOptions.

    The fresh profile is the driver's: it makes one under TMPDIR, which is the session's folder. Named by
    `--user-data-dir` instead, headless shells start without the page that the driver waits for.
    """
    if build.binary:
        options.binary_location = str(build.binary)
    for flag in flags_for(build, settings):
        options.add_argument(flag)
    options.set_capability("unhandledPromptBehavior", "dismiss and notify")


def service_arguments(build: Build, space: SessionSpace) -> dict[str, Any]:
    """What a Selenium ChromiumService is made with.

    The build check is off: a driver of another major version drives these builds well, and the record names
    both versions.
    """
    return {
        "executable_path": str(build.driver) if build.driver else None,
        "service_args": ["--disable-build-check"],
        "env": driver_environment(build, space),
        "log_output": str(space.log),
        "popen_kw": {"start_new_session": True},
    }


def driver_environment(build: Build, space: SessionSpace) -> dict[str, str]:
    """The driver's environment; the browser inherits it."""
    if build.library_path is None:
        return space.environment()
    # Last, so that the system's own libraries win where both have one.
    path = os.pathsep.join(filter(None, [os.environ.get("LD_LIBRARY_PATH"), str(build.library_path)]))
    return space.environment(LD_LIBRARY_PATH=path)


def role_of(command: Sequence[str]) -> Role | None:
    """What a Chromium's process is, by its command line."""
    kinds = [word.partition("=")[2] for word in command if word.startswith("--type=")]
    if not kinds:
        driver = any("driver" in Path(word).name for word in command[:1])
        return None if driver or not command or "crashpad" in command[0] else "main"
    if kinds[0] == "gpu-process":
        return "gpu"
    return "page" if kinds[0] == "renderer" and "--extension-process" not in command else None


def split_flags(text: str | None) -> tuple[str, ...]:
    """A settings string of flags, split as a shell would."""
    return tuple(shlex.split(text)) if text else ()


def existing(*candidates: str | Path | None) -> list[Path]:
    """Those of the candidates that are executable files, each once, in order; a link is what it leads to."""
    found: dict[Path, Path] = {}
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK) and Path(candidate).is_file():
            path = Path(candidate)
            found.setdefault(path.resolve(), path)
    return list(found.values())
