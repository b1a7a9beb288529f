"""One request from bundle to record. Never raises for what a browser does: that becomes the record."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.browsers import BrowserMissing, Build, grid, locate, parse_browser
from bench.bundle import Bundle, make
from bench.engines import Granted, engine_of
from bench.errors import RunFailure
from bench.harness.asked import RunSettings, interruption, now
from bench.harness.environment import (
    describe_adapter,
    driver_version,
    harness_version,
    host_cpu,
    host_os,
)
from bench.harness.hardware import host_gpus
from bench.harness.injection import Injection
from bench.harness.measured import metrics_of, quality_of
from bench.harness.outcome import Outcome, Stage, categorize
from bench.harness.server import PageServer
from bench.harness.session import Findings, Session
from bench.harness.stop import Stop
from bench.harness.turn import turn
from bench.harness.written import verified_tokens
from bench.models.catalog import ModelSource
from bench.plan.request import GPU_FEATURES, STOCK, Request
from bench.record import Effective, Environment, ErrorInfo, ModelInfo, RunRecord
from bench.settings import Settings

Say = Callable[[str], None]
_HOW_TIMED = ("batch", "steady", "stopped")


@dataclass
class Attempt:
    """Everything known about one run while it goes on."""

    request: Request
    source: ModelSource | None
    started_at: str
    build: Build | None = None
    flags: list[str] = field(default_factory=list)
    granted: Granted | None = None
    bundle: Bundle | None = None
    session: Session | None = None
    failure: RunFailure | None = None
    fault: str | None = None
    injection: Injection = field(default_factory=Injection)
    grid: str | None = None
    phases_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A finished run: its record, the first input set with its outputs, and whether the user stopped it."""

    record: RunRecord
    inputs: Mapping[str, NDArray[np.int32]]
    outputs: Mapping[str, NDArray[np.float32]]
    interrupted: bool


def execute(
    request: Request,
    source: ModelSource,
    server: PageServer,
    settings: Settings,
    run_settings: RunSettings,
    say: Say,
    stop: Stop | None = None,
    injection: Injection | None = None,
) -> Result:
    """Run one request to its end, whatever that end is; a wish to stop ends it as `interrupted`.

    `injection` is the fault that `run_settings` names; whoever names one brings it.
    """
    attempt = Attempt(request, source, now(), fault=run_settings.fault, injection=injection or Injection())
    try:
        _attempt(attempt, server, settings, run_settings, say, stop or Stop())
    except RunFailure as failure:
        attempt.failure = failure
    except KeyboardInterrupt:
        attempt.failure = interruption(attempt.session.watch.stage if attempt.session else Stage.LAUNCH)
    except Exception as error:  # whatever it is, it ends this run and not the campaign
        stage = attempt.session.watch.stage if attempt.session else Stage.LAUNCH
        attempt.failure = RunFailure(Outcome.ERROR, stage, str(error), name=type(error).__name__)
    if attempt.session:
        attempt.phases_ms.update(attempt.session.watch.close())
    found = attempt.session.findings if attempt.session else Findings()
    inputs = attempt.bundle.inputs()["0"] if attempt.bundle else {}
    record = _record(attempt, found)
    interrupted = record.outcome is Outcome.INTERRUPTED
    return Result(record, inputs, found.outputs.get("0", {}), interrupted)


def unfinished(
    request: Request, source: ModelSource | None, failure: RunFailure, started_at: str | None = None
) -> RunRecord:
    """The record of a run of which nothing is known but how it ended.

    Args:
        request: what was asked for.
        source: the model; None where it was not even looked for.
        failure: outcome, stage and words.
        started_at: UTC, ISO 8601; now by default.
    """
    return _record(Attempt(request, source, started_at or now(), failure=failure), Findings())


def _attempt(
    attempt: Attempt, server: PageServer, settings: Settings, run_settings: RunSettings, say: Say, stop: Stop
) -> None:
    request, source = attempt.request, attempt.source
    attempt.grid = settings.harness.grid
    assert source is not None, "only a run that never began has no model"
    browser, binary = parse_browser(request.browser)
    try:
        attempt.build = locate(browser, binary, settings, request.gpu_features)
    except BrowserMissing as error:
        raise RunFailure(Outcome.UNAVAILABLE, Stage.LAUNCH, str(error), name="BrowserMissing") from None
    attempt.flags = browser.flags(attempt.build, settings)
    begun = monotonic()
    engine = engine_of(request)
    attempt.granted = engine.grant(request, source.program(1, 1))
    recipe = attempt.granted.recipe

    def tell(words: str) -> None:
        stop.check()  # a cancelled caller raises no signal in this thread
        say(words)

    with stop.at_once():
        attempt.bundle = make(
            source,
            recipe,
            batch=request.batch_size,
            sequence=request.sequence_length,
            generate=request.generate,
            progress=tell,
        )
        engine.files(request, attempt.bundle)  # what it makes of the bundle is kept, like the bundle
    attempt.phases_ms["prepare"] = (monotonic() - begun) * 1000
    with turn(settings.harness, tell, stop):
        say("launch")
        attempt.session = Session(
            server, settings, request, attempt.bundle, run_settings, say, stop, attempt.injection
        )
        attempt.session.drive(browser, attempt.build)


def _record(attempt: Attempt, found: Findings) -> RunRecord:
    request, source = attempt.request, attempt.source
    environment = environment_of(attempt, found)
    effective, reasons = _effective(attempt, found, environment)
    outcome = Outcome.FALLBACK if reasons else Outcome.OK
    error = None
    if attempt.failure:
        failure = attempt.failure
        outcome = failure.outcome
        error = ErrorInfo(
            stage=failure.stage,
            category=categorize(failure.name, failure.message),
            name=failure.name,
            message=failure.message,
            operator=failure.operator,
        )
    return RunRecord(
        uuid=str(uuid.uuid4()),
        outcome=outcome,
        fallback_reason="; ".join(reasons) or None,
        requested=request,
        effective=effective,
        environment=environment,
        model=ModelInfo(
            name=request.model,
            family=attempt.bundle.program.family if attempt.bundle else None,
            parameters=attempt.bundle.parameters if attempt.bundle else None,
            weights=source.weights if source else None,
            sha256=source.sha256 if source else None,
        ),
        metrics=metrics_of(attempt.bundle, request, found, outcome, attempt.failure),
        quality=quality_of(attempt.bundle, found),
        error=error,
        started_at=attempt.started_at,
        finished_at=now(),
        phases_ms=attempt.phases_ms,
        evidence=_evidence(attempt, found),
        samples=found.samples(),
    )


def _evidence(attempt: Attempt, found: Findings) -> dict[str, Any]:
    """What a row keeps beside its numbers, by name."""
    source, bundle = attempt.source, attempt.bundle
    later = _later_phases(found)
    return {
        "launches": found.launches,
        "verdicts": found.verdicts,
        "notes": found.effective.get("notes"),
        **{key: found.timing.get(key) for key in _HOW_TIMED},
        **({"verified_tokens": verified_tokens(bundle)} if found.generated and bundle else {}),
        **({"written": found.generated} if found.generated else {}),
        **({"phases": later} if later else {}),
        "canary": found.canary.get("canary"),
        "kept_busy": found.kept_busy(),
        "clocks": found.clocks or None,
        "memory": found.memory or None,
        "bundle": bundle.key if bundle else None,
        "processes_killed": found.killed,
        "fault": attempt.fault,
        **({"roofline": found.ceilings} if found.ceilings else {}),
        **({"tuned": found.tuned} if found.tuned else {}),
        **({"grid": grid.evidence(attempt.grid, found.capabilities)} if attempt.grid else {}),
        "model_note": source.note if source else None,
        "unused_tensors": source.unused_tensors if source else None,
        "made_up_inputs": source.made_up_inputs if source else None,
        "weights_sha256": source.weights_sha256 if source else None,
    }


def _later_phases(found: Findings) -> dict[str, dict[str, Any]]:
    """How the phases after the main one were timed."""
    later = list(found.timings.items())[1:]
    return {name: {key: timing.get(key) for key in _HOW_TIMED} for name, timing in later}


def environment_of(attempt: Attempt, found: Findings) -> Environment:
    """Where a run ran, by what its session and this host say."""
    capabilities, probe = found.capabilities, found.probe
    name = attempt.request.browser_name
    # Of two adapters, the one that was looked at and the one that ran, the latter counts.
    opened = {**probe.get("webgpu", {}), **(found.effective.get("notes") or {}).get("adapter", {})}
    return Environment(
        browser=name,
        browser_version=capabilities.get("browserVersion"),
        browser_binary=str(attempt.build.binary) if attempt.build and attempt.build.binary else None,
        driver_version=driver_version(capabilities),
        user_agent=probe.get("user_agent"),
        flags=attempt.flags,
        adapter=describe_adapter(opened, name),
        webnn=probe.get("webnn"),
        # The Grid's machine is another one, and all that is known of it is what the session says.
        os=capabilities.get("platformName") if attempt.grid else host_os(),
        cpu=None if attempt.grid else host_cpu(),
        host_gpus=None if attempt.grid else shown_gpus(),
        cross_origin_isolated=probe.get("cross_origin_isolated"),
        timer_resolution_us=probe.get("timer_resolution_us"),
        harness_version=harness_version(),
    )


def shown_gpus() -> str | None:
    """The host's GPUs as a row keeps them."""
    gpus = host_gpus()
    return None if gpus is None else "; ".join(gpus)


def _effective(attempt: Attempt, found: Findings, environment: Environment) -> tuple[Effective, list[str]]:
    """What the page says that ran, and every way in which it is not what was asked."""
    said = found.effective
    if not said:
        return Effective(), []
    effective = Effective(**{name: said.get(name) for name in Effective.model_fields})
    if effective.bits_mean is not None:
        effective.bits_mean = round(effective.bits_mean, 6)
    return effective, [
        *departures(attempt.request, attempt.granted, effective, environment),
        *_elsewhere(attempt.request, said.get("notes") or {}),
    ]


def departures(
    request: Request, granted: Granted | None, effective: Effective, environment: Environment
) -> list[str]:
    """Each thing that was asked and did not run, in words; what the page cannot know counts for none."""
    reasons = []
    for name in ("platform", "engine"):
        asked, ran = getattr(request, name), getattr(effective, name)
        if ran is not None and ran != asked:
            reasons.append(f"{name} {asked} was requested, {ran} ran")
    if effective.bits is not None and effective.bits != request.bits:
        said = f"{request.bits} bits were requested, {effective.bits} ran"
        why = granted.why if granted and effective.bits == granted.recipe.default.bits else None
        reasons.append(why or said)
    if effective.bits is not None and effective.bits < 16:
        for name, title in (("group_size", "groups of"), ("scheme", "scheme")):
            asked, ran = getattr(request, name), getattr(effective, name)
            if ran is not None and ran != asked:
                reasons.append(f"{title} {asked} were requested, {ran} ran")
    if more_or_less := _features(request, effective):
        reasons.append(more_or_less)
    if request.device not in ("auto", effective.device):
        adapter = environment.adapter
        on = f" on {adapter['name']}" if request.platform == "webgpu" and adapter else ""
        ran = effective.device or "the browser does not say what"
        reasons.append(f"device {request.device} was requested, {ran} ran it{on}")
    return reasons


def _features(request: Request, effective: Effective) -> str | None:
    """Less than the feature set that was asked for, or matrix units where they were not.

    `shader-f16` in the stock set is nothing but what that browser shows to everybody.
    """
    asked, ran = request.gpu_features or STOCK, effective.features
    if ran is None or request.platform != "webgpu":
        return None
    places = [GPU_FEATURES.index(one) for one in (asked, ran)]
    if places[1] >= places[0] and (ran != "all" or asked == "all"):
        return None
    return f"feature set {asked} was requested, the device had {ran}"


def _elsewhere(request: Request, notes: Mapping[str, Any]) -> list[str]:
    """Operators that an engine ran elsewhere than on the platform, each with its name and count."""
    found: Mapping[str, int] = notes.get("elsewhere") or {}
    if not found:
        return []
    names = ", ".join(f"{count} {name}" if count > 1 else name for name, count in found.items())
    return [f"platform {request.platform} was requested, these operators ran elsewhere: {names}"]
