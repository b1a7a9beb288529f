"""`bench doctor`: starts every browser on this machine and says what each can do, and what to do about it."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from bench.browsers import BROWSERS, Build, check_browser, parse_browser
from bench.cli.db import Database
from bench.cli.flags import AsJson, positive
from bench.cli.tables import console, fields, say
from bench.harness import advice, machine
from bench.harness.doctor import Examination, examine
from bench.harness.feature_sets import sets_of
from bench.harness.server import PageServer
from bench.harness.stop import Stop
from bench.plan.measuring import MAX_SECONDS
from bench.settings import Settings, load_settings

_FEATURES = ("shader-f16", "subgroups", "timestamp-query")
_LIMITS = {  # limit -> how it is called here
    "maxBufferSize": "buffer",
    "maxStorageBufferBindingSize": "binding",
    "maxComputeWorkgroupStorageSize": "workgroup memory",
    "maxComputeInvocationsPerWorkgroup": "threads a workgroup",
}
_TYPES = ("constant", "dequantizeLinear", "matmul", "gather")


def doctor_command(
    browser: Annotated[
        list[str] | None,
        typer.Option(help="Only this one, or NAME:/path/to/binary; repeatable.", show_default=False),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds for a browser's start, and for its answers.")
    ] = 45.0,
    as_json: AsJson = False,
    db: Database = None,
) -> int:
    """Start every browser on this machine, ask what it can do, and say how to get what is missing.

    Exit code 0 where at least one browser can run something, 3 where none can.
    """
    settings = load_settings()
    positive("--timeout", float(timeout), MAX_SECONDS)
    for spec in browser or ():
        check_browser(spec, settings)
    host = machine.look(db)
    out = console()
    if not as_json:
        _print_machine(out, host)
    results: list[dict[str, Any]] = []
    stop = Stop()
    with stop.signals(), PageServer(settings.harness.port) as server:
        for name, build in _wanted(list(dict.fromkeys(browser or BROWSERS)), settings):
            if build is None:
                entry = _absent(name)
            else:
                print(f"starting {name} ({build.source}) ...", file=sys.stderr, flush=True)
                with stop.patient():
                    found = examine(build, server, settings, timeout=timeout, stop=stop)
                    sets = sets_of(found, server, settings, timeout=timeout, stop=stop)
                entry = {**_entry(found, host.gpu_nodes), "gpu_features": sets}
            results.append(entry)
            if not as_json:
                _print_browser(out, entry)
    able = [entry for entry in results if entry["runs_webgpu"] or entry["runs_webnn"]]
    if as_json:
        print(json.dumps({"machine": host.as_json(), "browsers": results}, indent=2))
    else:
        out.print()
        say(out, _verdict(able, len(results)), style="bold")
    return 0 if able else 3


def _wanted(specs: list[str], settings: Settings) -> list[tuple[str, Build | None]]:
    """Every build of every browser asked for; None for one without a build."""
    wanted: list[tuple[str, Build | None]] = []
    for spec in specs:
        browser, binary = parse_browser(spec)
        builds = [browser.find(binary, settings)] if binary else browser.builds(settings)
        wanted += [(browser.name, build) for build in builds] or [(browser.name, None)]
    return wanted


def _absent(name: str) -> dict[str, Any]:
    return {
        "browser": name,
        "found": False,
        "runs_webgpu": False,
        "runs_webnn": False,
        "remedies": [advice.missing(name)],
        "remarks": [],
    }


def _entry(found: Examination, gpu_nodes: list[str]) -> dict[str, Any]:
    """One build as `--json` has it, and as it is printed."""
    build, probe, failure = found.build, found.probe, found.failure
    return {
        "browser": build.browser,
        "found": True,
        "source": build.source,
        "binary": str(build.binary) if build.binary else None,
        "version": found.version,
        "driver": str(build.driver) if build.driver else None,
        "driver_version": found.driver_version,
        "runs_webgpu": found.webgpu,
        "runs_webnn": found.webnn,
        "adapter": found.adapter,
        "device": probe.get("device"),
        "webgpu_reason": (probe.get("webgpu") or {}).get("reason"),
        "webnn": probe.get("webnn"),
        "timer_resolution_us": probe.get("timer_resolution_us"),
        "cross_origin_isolated": probe.get("cross_origin_isolated"),
        "user_agent": probe.get("user_agent"),
        "failure": {
            "outcome": failure.outcome.value,
            "stage": failure.stage.value,
            "name": failure.name,
            "message": failure.message,
        }
        if failure
        else None,
        "remedies": advice.remedies(found, gpu_nodes),
        "remarks": advice.remarks(found),
    }


def _print_machine(out: Console, host: machine.Machine) -> None:
    cache = f"{host.cache} ({host.cache_free_gib} GiB free)" if host.cache_writable else host.cache
    lines = [
        ("system", f"{host.os}, {host.cpu}"),
        ("GPU nodes", ", ".join(host.gpu_nodes) or "none: software adapters only"),
        ("npm", "here" if host.node else "missing"),
        ("cache", cache),
        ("database", f"{host.database}: {host.database_state}" if host.database else host.database_state),
    ]
    out.print(Text(f"webquant-bench {host.harness}", style="bold"))
    _print_lines(out, lines, host.remedies, [])


def _print_browser(out: Console, entry: dict[str, Any]) -> None:
    out.print()
    name = str(entry["browser"])
    if not entry["found"]:
        out.print(Text.assemble((name, "bold"), "  ", ("not on this machine", "yellow")))
        _print_lines(out, [], entry["remedies"], [])
        return
    runs = [label for key, label in (("runs_webgpu", "WebGPU"), ("runs_webnn", "WebNN")) if entry[key]]
    if entry["failure"]:
        verdict = (f"{entry['failure']['outcome']} in {entry['failure']['stage']}", "red")
    else:
        verdict = (f"runs {' and '.join(runs)}", "green") if runs else ("runs neither API", "yellow")
    head = f"{name} {entry['version'] or ''}".strip()
    out.print(Text.assemble((head, "bold"), f" ({entry['source']})  ", verdict))
    lines = [
        ("binary", str(entry["binary"])),
        ("driver", " ".join(filter(None, [entry["driver_version"], entry["driver"] or "Selenium Manager"]))),
    ]
    if entry["failure"]:
        lines.append(("ended with", f"{entry['failure']['name']}: {entry['failure']['message']}"))
    else:
        lines += [*_webgpu_lines(entry), *_webnn_lines(entry), ("clock", _clock(entry))]
    _print_lines(out, lines, entry["remedies"], entry["remarks"])


def _webgpu_lines(entry: dict[str, Any]) -> list[tuple[str, str]]:
    adapter = entry["adapter"]
    if adapter is None:
        return [("WebGPU", f"no: {entry['webgpu_reason']}")]
    kind = "a SOFTWARE adapter, no GPU" if adapter["is_fallback_adapter"] else "a hardware adapter"
    features = [f"{name} {'yes' if name in adapter['features'] else 'NO'}" for name in _FEATURES]
    limits = [
        f"{label} {_size(adapter['limits'][name], name)}"
        for name, label in _LIMITS.items()
        if name in adapter["limits"]
    ]
    lines = [
        ("WebGPU", f"{adapter['name']}: {kind}"),
        ("features", ", ".join(features)),
        ("feature sets", _sets(entry["gpu_features"])),
        ("limits", ", ".join(limits)),
    ]
    if not (entry["device"] or {}).get("opens"):
        lines.append(("device", f"does not open: {(entry['device'] or {}).get('reason')}"))
    return lines


def _sets(sets: dict[str, str | None]) -> str:
    """`stock yes, f16 NO (no shader-f16)`: what `--gpu-features` can ask for."""
    return ", ".join(f"{name} NO ({why})" if why else f"{name} yes" for name, why in sets.items())


def _webnn_lines(entry: dict[str, Any]) -> list[tuple[str, str]]:
    webnn = entry["webnn"] or {}
    if not webnn.get("supported"):
        return [("WebNN", f"no: {webnn.get('reason') or 'no answer'}")]
    devices = "; ".join(f"{name} {words}" for name, words in (webnn.get("devices") or {}).items())
    types = webnn.get("data_types") or {}
    shown = [f"{name}: {' '.join(types[name])}" for name in _TYPES if types.get(name)]
    return [("WebNN", devices), *((f"  {line.partition(':')[0]}", line.partition(": ")[2]) for line in shown)]


def _clock(entry: dict[str, Any]) -> str:
    tick = entry["timer_resolution_us"]
    isolated = "cross-origin isolated" if entry["cross_origin_isolated"] else "NOT cross-origin isolated"
    return f"ticks every {tick:.3g} µs, {isolated}" if tick else f"not measured, {isolated}"


def _size(value: float, name: str) -> str:
    if not name.endswith("Size"):
        return f"{int(value):,}"
    for unit, bytes_ in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= bytes_:
            return f"{value / bytes_:.4g} {unit}"
    return f"{int(value)} B"


def _print_lines(out: Console, lines: list[tuple[str, str]], remedies: list[str], remarks: list[str]) -> None:
    """Labels and values in two columns; foreign words are text, never markup."""
    fields(out, lines, label=18)
    fields(out, [("note", text) for text in remarks], label=18)
    fields(out, [("to do", Text(text, style="yellow")) for text in remedies], label=18)


def _verdict(able: list[dict[str, Any]], asked: int) -> str:
    if not able:
        return "No browser here can run anything: type `bench browsers install`."
    names = ", ".join(f"{entry['browser']} {entry['version']}" for entry in able)
    count = f"{len(able)} of {asked}" if len(able) < asked else f"all {asked}"
    return f"{count} can run something: {names}."
