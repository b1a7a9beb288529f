"""One browser that runs operators on every engine in turn: started, given case after case, ended."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bench.browsers import Build, SessionSpace, locate, parse_browser
from bench.engines import ENGINES
from bench.errors import RunFailure
from bench.harness import drive
from bench.harness.kernel_cases import Case, Prepared, prepare
from bench.harness.outcome import Outcome, Stage
from bench.harness.server import Job, PageServer, page_modules, shader_files
from bench.harness.stop import Stop
from bench.harness.watch import Watch
from bench.plan.request import Engine, GpuFeatures
from bench.record import TOLERANCE
from bench.settings import Settings

PAGE = "kernels.html"
ROUNDED = (
    1e-2  # distance of an answer that may be rounded more (`--accuracy-level 4`), which somebody asked for
)
SPREAD_MIB = 256.0  # what is read in turn on a GPU: beyond the last-level cache of any
_ROUNDING_LEVEL = 4


@dataclass(frozen=True)
class Variant:
    """An engine that is compared: with constants forced on our kernels, or at a level of onnxruntime."""

    engine: Engine
    tuning: Mapping[str, int] = field(default_factory=dict)
    level: int = 0

    @property
    def label(self) -> str:
        """`native`, `native {"ROWS": 4}`, `ort-web level 4`."""
        if self.engine != "native":
            return f"{self.engine} level {self.level}" if self.level else self.engine
        return f"{self.engine} {json.dumps(dict(self.tuning))}" if self.tuning else self.engine


@dataclass(frozen=True)
class KernelWork:
    """What a session measures.

    Attributes:
        browser: as it is asked for.
        features: the feature set that it is started for.
        device: `auto`, `cpu` or `gpu`.
        cases: operators in order.
        variants: of each; a case leaves out those that it does not tell apart.
        rounds: in which each variant is timed once.
        spread: MiB that the copies of an operator take together; None for 256 on a GPU and 0 elsewhere.
        timeout: seconds without a sign of life.
        halves: whether activations are float16.
    """

    browser: str
    features: GpuFeatures
    device: str
    cases: Sequence[Case]
    variants: Sequence[Variant]
    rounds: int
    spread: float | None
    timeout: float
    halves: bool = False

    def leveled(self, case: Case) -> bool:
        """Whether an accuracy level changes how the peer computes it."""
        return case.operator.kind == "matmul" and (case.bits < 16 or self.halves)

    def variants_of(self, case: Case) -> list[int]:
        """Places of the variants that differ for a case."""
        leveled = self.leveled(case)
        levels = [one.level for one in self.variants if one.engine != "native"]
        return [
            place
            for place, one in enumerate(self.variants)
            if one.engine == "native" or leveled or one.level == levels[0]
        ]


@dataclass
class Answer:
    """What is known of one variant of one case."""

    made: dict[str, Any] | None = None
    timed: dict[str, Any] | None = None
    failure: RunFailure | None = None
    distance: float | None = None
    copies: int = 0


@dataclass
class KernelFindings:
    """What a session has found so far."""

    capabilities: dict[str, Any] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    probe: dict[str, Any] = field(default_factory=dict)
    opened: dict[str, Any] = field(default_factory=dict)
    ceilings: dict[str, Any] = field(default_factory=dict)
    launches: list[str] = field(default_factory=list)
    answers: dict[tuple[int, int], Answer] = field(default_factory=dict)
    prepared: dict[int, Prepared] = field(default_factory=dict)

    def answer(self, case: int, variant: int) -> Answer:
        """Of one variant of one case."""
        return self.answers.setdefault((case, variant), Answer())


class Keeper(Protocol):
    """Who keeps what a session measures."""

    def take(self, number: int) -> list[int]:
        """A case's variants that are to be measured, asked for before it is; none where others have it."""

    def alive(self, stage: Stage) -> None:
        """The page was heard."""

    def finished(self, number: int) -> None:
        """A case has ended."""


class KernelSession:
    """One start of a browser; `findings` are there whatever happens."""

    def __init__(
        self,
        work: KernelWork,
        settings: Settings,
        say: Callable[[str], None],
        keeper: Keeper,
        stop: Stop | None = None,
    ) -> None:
        self.work = work
        self.findings = KernelFindings()
        self.watch = Watch(work.timeout, stop)
        self.begun = 0  # cases so far
        self.build: Build | None = None
        self._settings = settings
        self._say = say
        self._keeper = keeper
        self._files: dict[str, Path] = {}

    def run(self) -> None:
        """Measure every case; the keeper is asked before each, and told of its end.

        Raises:
            RunFailure: the session ended early; its outcome and the browser's words.
            BrowserMissing: it is not on this machine.
            KeyboardInterrupt: a stop was asked for.
        """
        browser, binary = parse_browser(self.work.browser)
        build = self.build = locate(browser, binary, self._settings, self.work.features)
        self.findings.flags = browser.flags(build, self._settings)
        job = self._job()
        own = self._settings.harness
        with (
            PageServer(own.port, own.listen, own.address) as server,
            tempfile.TemporaryDirectory(prefix="webquant-kernels-") as folder,
            SessionSpace() as space,
        ):
            url = server.add(job, PAGE)
            driver = drive.launch(browser, build, space, self._settings, self.watch, self.findings.launches)
            self.findings.capabilities = dict(driver.capabilities)
            try:
                drive.open_page(driver, url, self.watch)
                space.remember()
                for event in self.watch.events(job.events, driver, url):
                    data = event.get("data") or {}
                    self._keeper.alive(self.watch.stage)
                    if event.get("kind") == "done":
                        break
                    if event.get("kind") == "wanted":
                        self._prepare(int(data["case"]), Path(folder))
                    elif event.get("kind") == "finished":
                        self._keeper.finished(int(data["case"]))
                    else:
                        self._take(str(event.get("kind")), data)
            finally:
                drive.close(driver, space, patient=False)

    def forget(self, number: int) -> None:
        """Leave no time of a case that was stopped: its ratios are of one session, or there are none."""
        for place in range(len(self.work.variants)):
            self.findings.answer(number, place).timed = None

    def _job(self) -> Job:
        work, peer = self.work, ENGINES["ort-web"]
        asked = any(one.engine == "ort-web" for one in work.variants)
        task = {
            "cases": len(work.cases),
            "variants": [asdict(one) for one in work.variants],
            "device": work.device,
            "features": work.features,
            "rounds": work.rounds,
            "least_ms": 20,
            "shaders": shader_files(),
            "modules": {
                one: page_modules(ENGINES[one].modules("webgpu")) for one in {v.engine for v in work.variants}
            },
        }
        job = Job(task, self._files, self._verdict)
        if asked:
            job.rooms, job.policy = peer.rooms(), peer.policy
        return job

    def _prepare(self, number: int, folder: Path) -> None:
        """Make the files of a case; what is left of the one before goes."""
        places = self._keeper.take(number)
        self.begun = number + 1
        for path in self._files.values():
            path.unlink(missing_ok=True)
        self._files.clear()
        if places:
            self._files.update(self._made(number, places, folder))
        else:
            self._files.update(_task(number, {"variants": []}, folder))
        self.watch.enter(Stage.LOAD)

    def _made(self, number: int, places: Sequence[int], folder: Path) -> dict[str, Path]:
        case, found = self.work.cases[number], self.findings
        self._say(f"{case.label} ({number + 1} of {len(self.work.cases)})")
        spread = self.work.spread
        if spread is None:
            spread = 0.0 if found.opened.get("software") else SPREAD_MIB
        copies = case.copies(spread)
        variants = [self.work.variants[place] for place in places]
        levels = sorted({one.level for one in variants if one.engine != "native"})
        prepared = prepare(case, copies, found.opened["activations"], levels, folder)
        found.prepared = {number: prepared}
        able = []
        for place in places:
            answer, variant = found.answer(number, place), self.work.variants[place]
            answer.copies = copies
            why = prepared.refused.get(variant.level) if variant.engine != "native" else None
            if why:
                answer.failure = RunFailure(Outcome.UNSUPPORTED, Stage.BUILD, why, name="NotInOnnx")
            else:
                able.append(place)
        return {**prepared.files, **_task(number, {**prepared.task, "variants": able}, folder)}

    def _take(self, kind: str, data: dict[str, Any]) -> None:
        found = self.findings
        if kind == "stage":
            self.watch.enter(Stage(data["stage"]))
        elif kind in ("probe", "opened", "ceilings"):
            setattr(found, kind, data)
        elif kind in ("made", "timed"):
            setattr(found.answer(data.pop("case"), data.pop("variant")), kind, data)
        elif kind == "failed":
            found.answer(data["case"], data["variant"]).failure = _failure(data, self.watch.stage)
        elif kind == "verdict" and not data["ok"]:
            case, variant, _ = data["set"].split("-")
            found.answer(int(case), int(variant)).failure = RunFailure(
                Outcome.INCORRECT, self.watch.stage, data["reason"], name="WrongResult"
            )
        elif kind == "error":
            raise _failure(data, self.watch.stage)

    def _verdict(self, name: str, outputs: Mapping[str, bytes]) -> dict[str, Any]:
        """Hold the first and the last copy's output to float64; runs in the server's thread."""
        number, place, _ = name.split("-")
        case, variant = self.work.cases[int(number)], self.work.variants[int(place)]
        expected = self.findings.prepared[int(number)].expected
        activations = self.findings.opened["activations"]
        rounded = variant.level >= _ROUNDING_LEVEL and self.work.leveled(case)
        allowed = ROUNDED if rounded else TOLERANCE[activations]
        worst = 0.0 if outputs else float("inf")
        for data in outputs.values():
            got = np.frombuffer(data, dtype="<f4").astype(np.float64)
            if got.size != expected.size or not np.isfinite(got).all():
                worst = float("inf")
                break
            wrong = float(np.linalg.norm(got - expected.ravel()))
            worst = max(worst, wrong / max(float(np.linalg.norm(expected)), 1e-30))
        answer = self.findings.answer(int(number), int(place))
        if np.isfinite(worst):
            answer.distance = max(worst, answer.distance or 0.0)
        ok = worst <= allowed
        reason = f"{case.label}: relative L2 distance to float64 is {worst:.3g}, allowed {allowed:g}"
        return {"ok": ok, "reason": "" if ok else reason}


def _task(number: int, said: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """The file that a page waits for: a case's others are there by then."""
    path = folder / f"case-{number}.json"
    path.write_text(json.dumps(said), encoding="utf-8")
    return {path.name: path}


def _failure(data: Mapping[str, Any], stage: Stage) -> RunFailure:
    return RunFailure(
        Outcome(data.get("outcome", "error")),
        Stage(data["stage"]) if data.get("stage") else stage,
        str(data.get("message")),
        name=str(data.get("name")),
        operator=data.get("operator"),
    )
