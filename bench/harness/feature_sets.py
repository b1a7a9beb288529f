"""Which feature sets a browser has on this machine: the browser is asked, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from bench.browsers import BROWSERS, BrowserMissing, Build, locate, parse_browser
from bench.errors import InputError
from bench.harness.doctor import Examination, examine
from bench.harness.server import PageServer
from bench.harness.stop import Stop
from bench.plan.request import GPU_FEATURES, STOCK, GpuFeatures, Request
from bench.settings import Settings

_SECONDS = 45.0  # for a browser's start, and for its answers


def sets_of(
    found: Examination, server: PageServer, settings: Settings, *, timeout: float, stop: Stop | None = None
) -> dict[GpuFeatures, str | None]:
    """Feature set -> why the build lacks it, None where it has it; empty where WebGPU does not run at all.

    Args:
        found: the build as it is started for the stock set.
        server: serves the page.
        settings: binaries and flags.
        timeout: seconds for each further start, and for its answers.
        stop: ends it early.
    """
    if not found.webgpu:
        return {}
    sets: dict[GpuFeatures, str | None] = {STOCK: None}
    seen: dict[tuple[str, ...], Examination] = {found.build.flags: found}
    for features in GPU_FEATURES[1:]:
        build = BROWSERS[found.build.browser].with_features(found.build, features, settings)
        if build.flags not in seen:
            seen[build.flags] = examine(build, server, settings, timeout=timeout, stop=stop)
        sets[features] = lacking(seen[build.flags], features)
    return sets


def lacking(found: Examination, features: GpuFeatures) -> str | None:
    """What a build that was started for a feature set lacks of it, in words; None where it has the whole."""
    if not found.webgpu:
        return found.failure.message if found.failure else "with its flags WebGPU does not run"
    lacks: Mapping[str, str | None] = (found.probe.get("webgpu") or {}).get("lacks") or {}
    missing = lacks.get(features)
    return f"no {missing}" if missing else None


def check_feature_sets(
    arms: Iterable[Request], settings: Settings, stop: Stop, say: Callable[[str], None]
) -> None:
    """Start each browser once for each feature set beyond stock that it is asked for.

    A browser that is missing, hangs or has no adapter is no bad input: its runs say so.

    Raises:
        InputError: an adapter lacks a set.
        KeyboardInterrupt: a stop was asked for.
    """
    wanted = dict.fromkeys(
        (arm.browser, arm.gpu_features) for arm in arms if arm.platform == "webgpu" and arm.gpu_features
    )
    for spec, features in wanted:
        if features == STOCK:
            continue
        browser, binary = parse_browser(spec)
        try:
            build = locate(browser, binary, settings, features)
        except BrowserMissing:
            continue
        say(f"looking for the feature set {features} in {spec}")
        with stop.patient():
            _check(build, spec, features, settings, stop)


def _check(build: Build, spec: str, features: GpuFeatures, settings: Settings, stop: Stop) -> None:
    own = settings.harness
    with PageServer(own.port, own.listen, own.address) as server:
        found = examine(build, server, settings, timeout=_SECONDS, stop=stop)
    why = lacking(found, features) if found.webgpu else None
    if why and found.adapter:
        on = found.adapter["name"]
        raise InputError(
            f"--gpu-features {features}: {spec} has no such features here, on {on}: {why}; take "
            "--gpu-features stock, or another browser (bench doctor shows what each has)"
        )
