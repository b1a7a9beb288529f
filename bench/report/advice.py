"""From a run that failed to its likely cause and the command to type next, beside the browser's own words.

What the machine lacked while the run went on comes first: browsers name something else then. Else the first
rule that fits speaks. Rules look at the outcome, the stage, and words that were really seen (`tests/faults`
holds each to the fault that brings it about).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.harness.outcome import Category, Outcome, Stage
from bench.models import operators
from bench.plan.request import STOCK, Request
from bench.record import RunRecord


@dataclass(frozen=True)
class Advice:
    """Why it happened, as far as can be told, and what to do next."""

    cause: str
    next: str


@dataclass(frozen=True)
class _Rule:
    outcome: Outcome
    cause: str
    next: str
    stages: tuple[Stage, ...] = ()
    words: tuple[str, ...] = ()

    def fits(self, record: RunRecord, text: str) -> bool:
        stage = record.error.stage if record.error else None
        return (
            record.outcome is self.outcome
            and (not self.stages or stage in self.stages)
            and (not self.words or any(word in text for word in self.words))
        )


# Kinds of `bench.harness.circumstances` -> what to do.
_LACKS = {
    "room": "make room there, or name another folder (export TMPDIR=DIR, BENCH_CACHE=DIR), then ",
    "unwritable": "allow it, or name another folder (export TMPDIR=DIR, BENCH_CACHE=DIR), then ",
    "descriptors": "ulimit -n 4096, then ",
    "standstill": "",
    "sleep": "",
}
# Words of the browser about the very thing that it was asked, whatever the machine lacks.
_PRECISE = (
    Category.UNSUPPORTED_OPERATION,
    Category.UNSUPPORTED_TYPE,
    Category.SHADER_COMPILATION,
    Category.VALIDATION,
)
_ABOUT_TIMES = ("SamplesOnTimer", "Suspended")
_FAILED_BY_LACK = (Outcome.ERROR, Outcome.CRASHED, Outcome.TIMEOUT, Outcome.DEVICE_LOST)
_AGAIN = "bench run --browser {browser} --platform {platform} --model {model} --bits {bits}"
_RESUME = "bench campaign resume CAMPAIGN"
_DOCTOR = "bench doctor --browser {browser}"
_SOURCE = "pip install --force-reinstall webquant-bench"
_O, _S = Outcome, Stage
_RULES = (
    _Rule(
        _O.UNAVAILABLE,
        "the driver is of another version than the browser",
        "set the driver of that browser's version (CHROMEDRIVER, GECKODRIVER), then " + _DOCTOR,
        words=("only supports",),
    ),
    _Rule(
        _O.UNAVAILABLE,
        "earlier runs of this browser failed again and again, so it was not started any more",
        _DOCTOR,
        words=("breaker",),
    ),
    _Rule(
        _O.UNAVAILABLE,
        "the browser is not on this machine",
        "what the message says, then " + _DOCTOR,
        words=("browsermissing",),
    ),
    _Rule(
        _O.UNAVAILABLE, "the browser or its driver is not on this machine", "bench browsers install {browser}"
    ),
    _Rule(
        _O.UNSUPPORTED,
        "this build has no WebGPU, or hides it",
        _DOCTOR,
        words=("navigator.gpu is undefined",),
    ),
    _Rule(
        _O.UNSUPPORTED,
        "this build has no WebNN, or not without a flag",
        "bench browsers install chrome, then bench run --browser chrome --platform webnn",
        words=("navigator.ml",),
    ),
    _Rule(
        _O.UNSUPPORTED,
        "the adapter is of another kind than the device that was asked for",
        _AGAIN + "  # without --device",
        words=("was asked for, the browser gives",),
    ),
    _Rule(
        _O.UNSUPPORTED,
        "a weight or a state is larger than what this adapter takes at once; fewer bits or tokens may do",
        _DOCTOR,
        words=("exceeds the limit",),
    ),
    _Rule(_O.UNSUPPORTED, "the browser found no graphics driver it would use", _DOCTOR, words=("adapter",)),
    _Rule(_O.UNSUPPORTED, "the browser offers the API but gave no device", _DOCTOR),
    _Rule(
        _O.TIMEOUT,
        "the browser or its driver started and then said nothing",
        "bench doctor --browser {browser} --timeout 300",
        stages=(_S.LAUNCH,),
    ),
    _Rule(
        _O.TIMEOUT,
        "the page waited for the server, which was too slow or stuck",
        _AGAIN + " --timeout 600",
        stages=(_S.PROBE, _S.LOAD),
    ),
    _Rule(
        _O.TIMEOUT,
        "one inference takes longer than the deadline, or the browser hangs",
        _AGAIN + " --sequence-length 16 --timeout 600",
    ),
    _Rule(
        _O.CRASHED,
        "the driver was there, but no session came up: the browser died or spoke no WebDriver",
        _DOCTOR,
        stages=(_S.LAUNCH,),
    ),
    _Rule(_O.CRASHED, "the driver died while the browser ran", _AGAIN, words=("driver process ended",)),
    _Rule(
        _O.CRASHED,
        "the page's process died: out of memory, killed, or a fault of the browser",
        _AGAIN + " --sequence-length 16",
        words=("tab crashed",),
    ),
    _Rule(_O.CRASHED, "the browser died or its session was ended by somebody else", _AGAIN),
    _Rule(
        _O.DEVICE_LOST,
        "the WebNN context went away",
        _AGAIN,
        words=("mlcontext",),
    ),
    _Rule(
        _O.DEVICE_LOST,
        "the GPU device went away: its driver was reset, its process died, or memory ran out",
        _AGAIN + " --sequence-length 16",
    ),
    _Rule(
        _O.INCORRECT,
        "the output is not what NumPy computes from the same weights: a wrong kernel or driver",
        _AGAIN + " --save-outputs outputs",
    ),
    _Rule(
        _O.ERROR,
        "a file or folder of this machine could not be read or written",
        "what the message says, then " + _AGAIN,
        stages=(_S.LAUNCH,),
        words=("oserror", "permissionerror", "fileexistserror", "notadirectoryerror", "filenotfounderror"),
    ),
    _Rule(
        _O.ERROR, "a file of the page did not come whole", _SOURCE, words=("scriptnotloaded", "pagenotloaded")
    ),
    _Rule(
        _O.ERROR,
        "a file of the run did not come whole: the server or the cached bundle is damaged",
        "bench models clear, then " + _AGAIN,
        stages=(_S.LOAD,),
    ),
    _Rule(_O.ERROR, "a dialog stood in the way of the page", _AGAIN, words=("dialog",)),
    _Rule(_O.ERROR, "the page was led elsewhere", _AGAIN, words=("navigatedaway",)),
    _Rule(
        _O.ERROR, "the machine's clock was set while it was measured with", _AGAIN, words=("clock went back",)
    ),
    _Rule(
        _O.ERROR,
        "the browser looks for finished work on a timer, and submitting nothing did not make it look",
        _AGAIN,
        words=("samplesontimer",),
    ),
    _Rule(_O.ERROR, "the machine was put to sleep while it was measured with", _AGAIN, words=("suspended:",)),
    _Rule(
        _O.ERROR,
        "the browser does not know a type that was asked for",
        _AGAIN + "  # without --experimental-precision",
        words=("not a valid enum value",),
    ),
    _Rule(
        _O.ERROR,
        "the browser or its GPU allows no more of this",
        _AGAIN + " --sequence-length 16",
        words=("exceeds the", "limit"),
    ),
    _Rule(
        _O.ERROR, "the browser does not take this shader", _DOCTOR, words=("gpucompilation", "gpupipeline")
    ),
    _Rule(
        _O.ERROR, "the browser lacks an operator or refuses the graph", _DOCTOR, stages=(_S.BUILD, _S.COMPILE)
    ),
    _Rule(_O.ERROR, "the page raised what it should not", _AGAIN),
    _Rule(_O.INTERRUPTED, "the harness was stopped while this run went on", _RESUME),
)


def advise(record: RunRecord) -> Advice | None:
    """Cause and next command of a run that did not end well; None for one that did."""
    text = f"{record.error.name}: {record.error.message}".lower() if record.error else ""
    lacked = _lacked(record)
    rule = next((rule for rule in _RULES if rule.fits(record, text)), None)
    if rule is None:
        return None
    cause, then = rule.cause, rule.next
    if lacked:
        cause = "; ".join(str(one["words"]) for one in lacked)
        then = _LACKS[str(lacked[0]["kind"])] + _AGAIN
    asked = record.requested
    if record.evidence.get("operator"):
        then = _of_operators(then, asked)
    names = {
        "browser": asked.browser_name,
        "platform": asked.platform,
        "model": asked.model,
        "bits": asked.bits,
    }
    return Advice(cause, then.format(**names))


def _of_operators(then: str, asked: Request) -> str:
    """The same for one operator: `bench run` knows none, and its campaigns are not resumed."""
    shape = operators.of(asked.model)
    again = f"bench kernels --browser {{browser}} --{shape.kind} {','.join(map(str, shape.sizes))}"
    again += " --bits {bits}" if shape.packed else ""
    again += f" --gpu-features {asked.gpu_features}" if asked.gpu_features not in (None, STOCK) else ""
    for beginning in (_AGAIN, _RESUME):
        before, found, _ = then.partition(beginning)
        if found:
            return before + again
    return then


def _lacked(record: RunRecord) -> list[Mapping[str, object]]:
    """What the machine lacked, where that can be why."""
    error = record.error
    if record.outcome not in _FAILED_BY_LACK or error is None or error.name in _ABOUT_TIMES:
        return []
    # A browser that died says nothing about what it was asked, whatever its words look like.
    told = record.outcome is Outcome.ERROR and error.category in _PRECISE
    if told and error.stage is not Stage.LAUNCH:
        return []
    found = record.evidence.get("circumstances") or []
    return [one for one in found if isinstance(one, dict) and one.get("kind") in _LACKS]
