"""The process that drives browsers: `python -m bench.harness.runner`, started and watched by a worker.

It takes cells on stdin and answers on stdout (`bench.harness.wire`), one after the other, so that whatever a
driver does to it (a hang, a crash, a leak) ends here and not in the campaign. When the worker dies it notices
the closed pipe, ends the run in hand and goes.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.browsers.process import LOGS
from bench.errors import InputError
from bench.harness import identity, wire
from bench.harness.asked import RunSettings
from bench.harness.circumstances import Witness, raise_descriptors
from bench.harness.injection import Bring, nothing
from bench.harness.outcome import Outcome
from bench.harness.outputs import save_tensors
from bench.harness.run import Result, execute
from bench.harness.server import PageServer
from bench.harness.stop import Stop
from bench.models.catalog import ModelSource, resolve
from bench.plan.request import Request
from bench.settings import Settings

_ORPHAN_SECONDS = 20.0


class Runner:
    """Serves one worker until it says no more."""

    def __init__(self, answers: wire.Channel, bring: Bring = nothing) -> None:
        self._answers = answers
        self._bring = bring
        self._stop = Stop()
        self._tasks: queue.SimpleQueue[wire.Message | None] = queue.SimpleQueue()
        self._sources: dict[tuple[str, str | None], ModelSource] = {}

    def serve(self) -> int:
        """Take tasks to the end of stdin; the exit code."""
        threading.Thread(target=self._listen, daemon=True, name="tasks").start()
        with self._stop.signals():
            first = self._tasks.get()
            if first is None:
                return 0
            settings = Settings.model_validate(first["settings"])
            try:
                own = settings.harness
                with PageServer(own.port, own.listen, own.address) as server:
                    # The port that was free is in a browser's flags, where the page comes from elsewhere.
                    known = own.model_copy(update={"port": server.port})
                    settings = settings.model_copy(update={"harness": known})
                    self._answers.send({"kind": "ready", "port": server.port})
                    while (task := self._tasks.get()) is not None:
                        self._answers.send(self._run(task, server, settings))
            except InputError as error:  # the port is in use
                self._answers.send({"kind": "refused", "message": str(error)})
        return 0

    def _listen(self) -> None:
        """Read tasks; at the end of them the worker is gone or has had enough."""
        while (message := wire.receive(sys.stdin.buffer)) is not None:
            self._tasks.put(message)
        self._stop.request()
        self._tasks.put(None)
        time.sleep(_ORPHAN_SECONDS)  # the run in hand has ended in order by now, or it never will
        if worker := identity.parse(os.environ.get(identity.MARK, "")):
            identity.sweep(worker, spare=os.getpid())
        os._exit(1)

    def _run(self, task: wire.Message, server: PageServer, settings: Settings) -> wire.Message:
        try:
            request = Request.model_validate(task["request"])
            source = self._source(request, task["note"])
            measure = RunSettings(**task["measure"])
            with self._stop.patient():
                fault = self._bring(measure.fault)
                result = self._witnessed(
                    lambda: execute(request, source, server, settings, measure, self._say, self._stop, fault)
                )
            if task["outputs"]:
                try:
                    save_tensors(Path(task["outputs"]), result.inputs, result.outputs, request)
                except OSError as error:  # the run counts; its tensors are a courtesy
                    self._say(f"outputs not saved: {error}")
        except (Exception, KeyboardInterrupt) as error:
            return {"kind": "broken", "name": type(error).__name__, "message": str(error)}
        return {
            "kind": "result",
            "record": result.record.model_dump(mode="json"),
            "samples": [sample.model_dump() for sample in result.record.samples],
        }

    def _witnessed(self, run: Callable[[], Result]) -> Result:
        """A run; where it failed, what the machine lacked and what the driver said last are kept with it."""
        logs: list[str] = []
        token = LOGS.set(logs)
        try:
            with Witness() as witness:
                result = run()
        finally:
            LOGS.reset(token)
        record = result.record
        if record.outcome.failed or record.outcome is Outcome.UNAVAILABLE:
            record.evidence["driver_log"] = logs or None
            record.evidence["circumstances"] = witness.found(record.outcome) or None
        return result

    def _source(self, request: Request, note: str | None) -> ModelSource:
        """As the worker resolved it: nothing is downloaded here, and no unreachable hub is asked again."""
        key = (request.model, request.weights)
        if key not in self._sources:
            self._sources[key] = replace(resolve(*key), note=note)
        return self._sources[key]

    def _say(self, words: str) -> None:
        self._answers.send({"kind": "say", "words": words})


def main(bring: Bring = nothing) -> int:
    """Serve on stdin and stdout; what anybody prints goes to stderr.

    Args:
        bring: gives the fault that a task names.
    """
    answers = wire.Channel(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    os.environ["BENCH_OFFLINE"] = "1"
    raise_descriptors()
    try:
        return Runner(answers, bring).serve()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the worker died; its run has ended in order
        return 1
    finally:
        name = os.environ.get(identity.MARK, "")
        if (worker := identity.parse(name)) and identity.gone(name):
            identity.sweep(worker)


if __name__ == "__main__":
    sys.exit(main())
