"""One browser session: start it, let the page work through its stages, hold each answer to the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.browsers import Browser, Build, SessionSpace, grid
from bench.bundle import Bundle
from bench.engines import engine_of
from bench.errors import RunFailure
from bench.harness import drive
from bench.harness.asked import RunSettings, interruption
from bench.harness.injection import Injection
from bench.harness.memory import MemoryWatch
from bench.harness.outcome import Outcome, Stage
from bench.harness.server import Job, PageServer, page_modules, shader_files
from bench.harness.stop import Stop
from bench.harness.truth import believe, marked
from bench.harness.watch import Watch
from bench.harness.written import read_written
from bench.plan.request import AUTO, STOCK, Request
from bench.record import TOLERANCE, Sample
from bench.reference import compare
from bench.settings import Settings


@dataclass
class Findings:
    """What a session has found so far; complete or not, it becomes the record."""

    capabilities: dict[str, Any] = field(default_factory=dict)
    probe: dict[str, Any] = field(default_factory=dict)
    canary: dict[str, Any] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    cold: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, dict[str, Any]] = field(default_factory=dict)
    ceilings: dict[str, Any] = field(default_factory=dict)
    tuned: dict[str, Any] = field(default_factory=dict)
    verdicts: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, NDArray[np.float32]]] = field(default_factory=dict)
    generated: dict[str, Any] = field(default_factory=dict)
    launches: list[str] = field(default_factory=list)
    clocks: dict[str, float] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    marked: list[Sample] | None = None
    killed: int = 0

    def samples(self) -> list[Sample]:
        """Everything that was timed, in order."""
        if self.marked is not None:
            return self.marked
        return [sample for name in self.timings for sample in self.taken(name)]

    def taken(self, phase: str) -> list[Sample]:
        """What was timed of one phase, as the page says it."""
        return [Sample(phase=phase, **sample) for sample in self.timings[phase].get("samples", [])]

    @property
    def timing(self) -> dict[str, Any]:
        """Of the main phase: it is timed first."""
        return next(iter(self.timings.values()), {})

    def kept_busy(self) -> dict[str, Any] | None:
        """Whether the device had work all the time: one that waits between samples clocks down."""
        share = self.timing.get("busy")
        how = "one batch is submitted as soon as the one before is known to be done"
        return None if share is None else {"share": round(float(share), 4), "how": how}


def verified_as(name: str) -> str:
    """The label of the call whose answer a verdict's should be: `last` repeats set 0 after the timing."""
    return name.replace("last", "0", 1)


class Session:
    """Runs one request in one browser; `findings` and `watch` are there whatever happens."""

    def __init__(
        self,
        server: PageServer,
        settings: Settings,
        request: Request,
        bundle: Bundle,
        run_settings: RunSettings,
        say: Callable[[str], None],
        stop: Stop | None = None,
        injection: Injection | None = None,
    ) -> None:
        self._injection = injection or Injection()
        self._server = server
        self._settings = settings
        self._request = request
        self._bundle = bundle
        self._run = run_settings
        self._say = say
        self.watch = Watch(run_settings.timeout, stop, self._injection.clocks())
        self.findings = Findings()
        self._references = bundle.reference()

    def drive(self, browser: Browser, build: Build) -> None:
        """Start the browser, follow the page to its end, end every process.

        Raises:
            RunFailure: the run ended early; its outcome and the browser's words.
        """
        job = self._job()
        url = self._server.add(job)
        try:
            with SessionSpace() as space:
                try:
                    self._visit(browser, build, space, job, url)
                except KeyboardInterrupt:
                    raise interruption(self.watch.stage) from None
        finally:
            self._server.remove(job)

    def _visit(self, browser: Browser, build: Build, space: SessionSpace, job: Job, url: str) -> None:
        build = self._injection.build(build, space.folder)
        driver = drive.launch(browser, build, space, self._settings, self.watch, self.findings.launches)
        self.findings.capabilities = dict(driver.capabilities)
        version = driver.capabilities.get("browserVersion")
        # The page knows its adapter, and not its build.
        mine = [one.model_dump() for one in self._run.tuned if one.browser_version == version]
        job.task = {**job.task, "tuned": mine}
        reached: set[Stage] = set()
        well = False
        memory = MemoryWatch(space.processes, browser.role)
        try:
            memory.start()
            self._check_browser(build)
            self._injection.launched(driver, space)
            drive.open_page(driver, url, self.watch)
            space.remember()  # should the browser go before its children
            for event in self.watch.events(job.events, driver, url):
                memory.enter(self.watch.stage)
                if self._take(str(event.get("kind")), event.get("data") or {}):
                    self._believe()
                    well = True
                    return
                if self.watch.stage not in reached:
                    reached.add(self.watch.stage)
                    self._injection.stage(self.watch.stage, driver, space)
        except KeyboardInterrupt:
            # Here, where the stage is still the one that it came in.
            raise interruption(self.watch.stage) from None
        finally:
            memory.finish()
            self.findings.memory = memory.found()
            self.watch.enter(Stage.TEARDOWN)
            self.findings.killed += drive.close(driver, space, patient=well or build.source == grid.SOURCE)

    def _believe(self) -> None:
        """Hold the times to what the session knows of its clocks."""
        found, clocks = self.findings, self.watch.clocks
        clocks.look()
        found.clocks = clocks.evidence()
        completion_ms = found.effective.get("completion_ms")
        told = {
            name: marked(found.taken(name), timing.get("ends", []), clocks)
            for name, timing in found.timings.items()
        }
        found.marked = [sample for samples in told.values() for sample in samples]
        for name, samples in told.items():
            believe(samples, found.timings[name], completion_ms)

    def _check_browser(self, build: Build) -> None:
        """A Grid may give another browser than its slot says."""
        real = grid.browser_of(self.findings.capabilities)
        if build.source == grid.SOURCE and real != build.browser:
            version = self.findings.capabilities.get("browserVersion")
            words = f"the Grid gave {real} {version} where {build.browser} was asked for"
            raise RunFailure(Outcome.UNAVAILABLE, Stage.LAUNCH, words, name="OtherBrowser")

    def _job(self) -> Job:
        request, bundle, run = self._request, self._bundle, self._run
        engine = engine_of(request)
        made = engine.files(request, bundle)
        task = {
            "platform": request.platform,
            "engine": request.engine,
            "label": f"{request.model}: {request.label}",
            "bits": request.bits,
            "device": request.device,
            "features": request.gpu_features or STOCK,
            "experimental": request.experimental_precision,
            "webnn_plan": request.webnn_plan or AUTO,
            "program": "bundle/program.json",
            "models": {name: f"bundle/{name}" for name in made},
            "inputs": "bundle/inputs.safetensors",
            "calls": [asdict(call) for call in bundle.calls],
            "shaders": shader_files() if engine.shaders(request.platform) else [],
            "modules": page_modules(engine.modules(request.platform)),
            "iterations": run.iterations,
            "max_seconds": run.max_seconds,
            "precision": run.precision,
            "tuning": dict(run.tuning),
            "tune": run.how.model_dump() if run.how else None,
            "least_limits": run.least_limits,
            "roofline": run.roofline,
        }
        files = {
            "program.json": bundle.program_path,
            "inputs.safetensors": bundle.inputs_path,
            **made,
        }
        job = Job(
            task=self._injection.task(task),
            files=files,
            verdict=lambda name, outputs: self._verdict(job, name, outputs),
            rooms=engine.rooms(),
            policy=engine.policy,
            injection=self._injection,
        )
        return job

    def _take(self, kind: str, data: dict[str, Any]) -> bool:
        """Take one report; True when it was the last."""
        found = self.findings
        if kind == "stage":
            stage = Stage(data["stage"])
            # Progress within a stage says that it lives: its deadline is counted from the last report.
            self.watch.enter(stage)
            self._say(f"{stage.value}" + (f" ({data['samples']} samples)" if data.get("samples") else ""))
        elif kind == "verdict":
            found.verdicts[data["set"]] = data
            if not data["ok"]:
                raise RunFailure(Outcome.INCORRECT, self.watch.stage, data["reason"], name="WrongResult")
        elif kind == "error":
            raise RunFailure(
                Outcome(data["outcome"]),
                Stage(data["stage"]) if data.get("stage") else self.watch.stage,
                str(data["message"]),
                name=str(data["name"]),
                operator=data.get("operator"),
            )
        elif kind == "done":
            return True
        elif kind == "timing":
            found.timings[data.pop("phase")] = data
        elif kind == "generated":
            found.generated = read_written(self._bundle, data, self._tolerance())
        elif kind in ("probe", "canary", "effective", "cold", "ceilings", "tuned"):
            setattr(found, kind, data)
        return False

    def _tolerance(self) -> float:
        return TOLERANCE[self.findings.effective.get("activations", "f32")]

    def _verdict(self, job: Job, name: str, outputs: Mapping[str, bytes]) -> dict[str, Any]:
        """Hold one call's outputs to the reference; runs in the server's thread."""
        reference = self._references[verified_as(name)]
        got: dict[str, NDArray[np.float32]] = {}
        for tensor, data in outputs.items():
            values = np.frombuffer(data, dtype="<f4")
            if tensor in reference and values.size == reference[tensor].size:
                got[tensor] = values.reshape(reference[tensor].shape)
        self.findings.outputs[name] = got
        activations = job.effective.get("activations", "f32")
        tolerance = TOLERANCE[activations]
        distance = compare.kernel_rel_l2([got], [reference])
        ok = distance <= tolerance
        reason = (
            f"input set {name}: relative L2 distance to the NumPy reference is {distance:.3g}, "
            f"allowed {tolerance:g} with {activations} activations"
        )
        # JSON has no infinity: a missing or non-finite output is told in words.
        return {
            "ok": ok,
            "rel_l2": distance if np.isfinite(distance) else None,
            "reason": "" if ok else reason,
        }
