"""The worker's side of the runner process: started, given cells, watched, and ended when it does not answer.

Three deadlines nest. The page reports every second while it measures, and its stage has a deadline in the
runner (`bench.harness.watch`), which ends the browser. If the runner itself hangs, in a driver or anywhere,
its silence is noticed here a few seconds later, and everything it has started is ended.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from bench.errors import InputError, RunFailure
from bench.harness import identity, wire
from bench.harness.asked import RunSettings, interruption, now
from bench.harness.circumstances import standstill
from bench.harness.outcome import Outcome, Stage
from bench.harness.stop import Stop
from bench.models.catalog import ModelSource
from bench.plan.request import Request
from bench.record import RunRecord, Sample
from bench.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
GRACE_SECONDS = 8.0  # that a runner has to end a browser after its own deadline
_START_SECONDS = 60.0
_PREPARE_SECONDS = 3600.0  # bundles are made in Python, with few signs of life
_STOP_SECONDS = 12.0
_POLL_SECONDS = 0.2
_MOST_RUNS = 100  # a runner is replaced after this many: what a browser's driver leaks ends with it
_LAST_LINES = 20
_STANDSTILL_SECONDS = 2.0  # between two looks that are a fifth of a second apart


RUNNER = "bench.harness.runner"


class Supervisor:
    """One runner process at a time. A context manager: on exit nothing that it started is left."""

    def __init__(
        self, settings: Settings, worker: identity.Worker | None = None, runner: str = RUNNER
    ) -> None:
        """`runner` is the module that runs in the other process: another one brings faults."""
        self._runner = runner
        self.worker = worker or identity.this_worker()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: wire.Channel | None = None
        self._messages: queue.SimpleQueue[wire.Message | None] = queue.SimpleQueue()
        self._runs = 0
        self._ready = False

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        identity.retire(self.worker)

    def start(self) -> None:
        """Have a runner that is ready.

        Raises:
            InputError: it cannot start, or its page server's port is in use, or its files have no room.
        """
        self.begin()
        if not self._ready:
            self._greet()
            self._ready = True

    def begin(self) -> None:
        """Start the runner unless it runs, and do not wait: it has a second's worth of modules to load."""
        if self._process is not None:
            return
        folder = identity.settle_in(self.worker)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        own = {identity.MARK: self.worker.name, "TMPDIR": str(folder), "PYTHONPATH": path}
        with (folder / "runner.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._runner],  # -P: no module from the working folder
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **own},
                start_new_session=True,  # Ctrl-C in the terminal is for the worker
            )
        self._process, self._runs, self._ready = process, 0, False
        assert process.stdin is not None and process.stdout is not None
        self._channel = wire.Channel(process.stdin)
        self._messages = queue.SimpleQueue()
        threading.Thread(
            target=_listen, args=(process.stdout, self._messages), daemon=True, name="runner"
        ).start()

    def _greet(self) -> None:
        words, refused = "it does not answer", False
        try:
            self._send({"settings": self._settings.model_dump(mode="json")})
            message = self._messages.get(timeout=_START_SECONDS)
            if message and message["kind"] == "ready":
                return
            words = str(message["message"]) if message else self._epitaph()
            refused = message is not None
        except (queue.Empty, OSError):
            pass
        except BaseException:  # a stop
            self.kill()
            raise
        self.kill()
        raise InputError(words if refused else f"the runner process cannot start: {words}")

    def run(
        self,
        request: Request,
        source: ModelSource,
        measure: RunSettings,
        *,
        say: Callable[[str], None],
        tick: Callable[[Stage | None], None],
        stop: Stop,
        limit: float | None = None,
        outputs: Path | None = None,
    ) -> RunRecord:
        """Run one cell, whatever comes of it.

        Args:
            request: what is asked for.
            source: the model.
            measure: how it is measured.
            say: told in a few words what goes on.
            tick: called several times a second with the stage the run is in.
            stop: ends the run as `interrupted`.
            limit: seconds for the whole run; None for none.
            outputs: folder for the run's tensors.

        Raises:
            InputError: no runner can be started.
        """
        if self._runs >= _MOST_RUNS:
            self.close()
        self.start()
        self._runs += 1
        watched = _Watched(measure.timeout, limit)
        begun = now()
        try:
            record = self._follow(request, source, measure, outputs, watched, say, tick, stop)
        except RunFailure as failure:
            from bench.harness.run import unfinished  # with all that a runner needs

            log = self._last_lines()
            self.kill()
            record = unfinished(request, source, failure, begun)
            record.evidence["runner"] = log
        if watched.stood_still and record.outcome.failed:
            found = standstill(watched.stood_still, "the harness")
            record.evidence["circumstances"] = [
                *(record.evidence.get("circumstances") or []),
                {"kind": found.kind, "words": found.words},
            ]
        if record.outcome in (Outcome.TIMEOUT, Outcome.CRASHED, Outcome.INTERRUPTED):
            self.close()  # threads that hang in a driver go with it
        return record

    def _follow(
        self,
        request: Request,
        source: ModelSource,
        measure: RunSettings,
        outputs: Path | None,
        watched: _Watched,
        say: Callable[[str], None],
        tick: Callable[[Stage | None], None],
        stop: Stop,
    ) -> RunRecord:
        task = {
            "request": request.model_dump(mode="json"),
            "note": source.note,
            "measure": measure.model_dump(),
            "outputs": str(outputs) if outputs else None,
        }
        with contextlib.suppress(OSError):  # it died since the last run: the closed pipe says so below
            self._send(task)
        while True:
            tick(watched.stage)
            message: wire.Message | None = {}
            with contextlib.suppress(queue.Empty):
                message = self._messages.get(timeout=_POLL_SECONDS)
            if message is None:
                raise self._died(watched)
            if message.get("kind") == "say":
                watched.hear(message["words"])
                say(message["words"])
            elif message.get("kind") == "broken":
                raise RunFailure(
                    Outcome.ERROR, Stage.LAUNCH, str(message["message"]), name=str(message["name"])
                )
            elif message.get("kind") == "result":
                record = RunRecord.model_validate(message["record"])
                record.samples = [Sample(**sample) for sample in message["samples"]]
                return record
            if stop.requested and not watched.stopping:
                watched.stopping = time.monotonic()
                self._interrupt()
            watched.check()

    def _died(self, watched: _Watched) -> RunFailure:
        words = self._epitaph()
        if watched.stopping:
            return interruption(watched.stage or Stage.LAUNCH)
        return RunFailure(
            Outcome.CRASHED, watched.stage or Stage.LAUNCH, f"the runner {words}", name="RunnerDied"
        )

    def _epitaph(self) -> str:
        """How the runner ended, and its last words."""
        process = self._process
        code: int | None = None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=2)
        how = (
            f"process was ended by signal {-code}" if code and code < 0 else f"process ended with code {code}"
        )
        lines = self._last_lines()
        return f"{how}: {lines[-1]}" if lines else how

    def _last_lines(self) -> list[str]:
        try:
            with (self.worker.folder / "runner.log").open(encoding="utf-8", errors="replace") as log:
                return [line.rstrip() for line in deque(log, _LAST_LINES) if line.strip()]
        except OSError:
            return []

    def _send(self, message: wire.Message) -> None:
        if self._channel is not None:
            self._channel.send(message)

    def _interrupt(self) -> None:
        """Ask the runner to end its run in order."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Let the runner go; at once where nothing runs, else after its run has ended in order."""
        if not self._ready:  # it has started nothing yet: whoever refused a command need not see it load
            self.kill()
            return
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the runner and everything that it has started."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError, ValueError):
                    if pipe is not None:
                        pipe.close()
        self._channel = None
        identity.sweep(self.worker)


class _Watched:
    """The deadlines of one run, as far as they can be seen from outside of the runner."""

    def __init__(self, timeout: float, limit: float | None) -> None:
        self.stage: Stage | None = None
        self.stopping: float | None = None
        self._timeout = timeout
        self._limit = limit
        self.stood_still = 0.0
        self._begun = self._heard = self._looked = time.monotonic()

    def hear(self, words: str) -> None:
        """A sign of life; the first word may name the stage."""
        self._heard = time.monotonic()
        with contextlib.suppress(ValueError, IndexError):
            self.stage = Stage(words.split()[0])

    def check(self) -> None:
        """Raise RunFailure where a deadline has passed."""
        at = time.monotonic()
        stage = self.stage or Stage.LAUNCH
        self._credit(at)
        if self.stopping is not None and at - self.stopping > _STOP_SECONDS:
            raise interruption(stage)
        silence = _PREPARE_SECONDS if self.stage is None else self._timeout + GRACE_SECONDS
        if at - self._heard > silence:
            raise RunFailure(
                Outcome.TIMEOUT,
                stage,
                f"the runner was silent in stage {stage.value} for {silence:g} s; "
                "it was ended with its browser",
                name="RunnerHung",
            )
        if self._limit is not None and at - self._begun > self._limit:
            raise RunFailure(
                Outcome.TIMEOUT,
                stage,
                f"the run took longer than max_cell_seconds = {self._limit:g}; it was ended",
                name="CellBudget",
            )

    def _credit(self, at: float) -> None:
        """Time in which this process itself stood still is no silence of the runner's."""
        gap, self._looked = at - self._looked, at
        if gap > _STANDSTILL_SECONDS:
            self.stood_still += gap
            self._heard += gap
            self._begun += gap
            if self.stopping is not None:
                self.stopping += gap


def _listen(stream: IO[bytes], messages: queue.SimpleQueue[wire.Message | None]) -> None:
    with contextlib.suppress(OSError, ValueError):  # closed while it was read
        while (message := wire.receive(stream)) is not None:
            messages.put(message)
    messages.put(None)
