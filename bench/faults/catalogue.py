"""The faults by name, each with the outcome and stage it must get and how it is brought about."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module

from bench.errors import InputError
from bench.faults import processes
from bench.faults.launching import BrowserScript, DriverScript, FakeDriver, Limited, Missing
from bench.faults.processes import Command, Strike
from bench.faults.serving import (
    Answer,
    FullHeap,
    KilledLoading,
    NoIsolation,
    OtherPlatform,
    Page,
    Shaders,
    Silent,
    Truncated,
    garbage,
    status,
)
from bench.faults.storing import Full, Locked, ReadOnly
from bench.faults.timekeeping import SetBack, Slept
from bench.harness.injection import Injection
from bench.harness.outcome import Outcome, Stage
from bench.plan.request import Platform


class Layer(StrEnum):
    """What breaks."""

    BROWSER = "browser"
    DRIVER = "driver"
    GPU = "gpu"
    WEBNN = "webnn"
    PAGE = "page"
    SERVER = "server"
    HOST = "host"
    STORE = "store"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: as in `--fault`.
        layer: what breaks.
        about: what happens, in a few words.
        outcome: what the run must become.
        stage: where; None where the run is not failed by it.
        words: some of the words that the row must hold.
        make: the injection.
        platform: the API it needs.
        long: whether it strikes while samples are taken, so that there must be time for it.
        hangs: whether only a deadline ends it.
        writes: whether it befalls a language model.
    """

    name: str
    layer: Layer
    about: str
    outcome: Outcome
    stage: Stage | None
    words: str
    make: Callable[[], Injection] = field(hash=False)
    platform: Platform = "webgpu"
    long: bool = False
    hangs: bool = False
    writes: bool = False


_B, _D, _G, _N, _P, _S = Layer.BROWSER, Layer.DRIVER, Layer.GPU, Layer.WEBNN, Layer.PAGE, Layer.SERVER
_H, _T = Layer.HOST, Layer.STORE
_UNAVAILABLE, _UNSUPPORTED = Outcome.UNAVAILABLE, Outcome.UNSUPPORTED
_CRASHED, _TIMEOUT, _ERROR, _LOST = Outcome.CRASHED, Outcome.TIMEOUT, Outcome.ERROR, Outcome.DEVICE_LOST
_LAUNCH, _PROBE, _LOAD, _BUILD = Stage.LAUNCH, Stage.PROBE, Stage.LOAD, Stage.BUILD
_COMPILE, _VERIFY, _WARMUP, _MEASURE = Stage.COMPILE, Stage.VERIFY, Stage.WARMUP, Stage.MEASURE
_LATE = "passed its deadline"
_OLD_DRIVER = (
    'self.answer(b\'{"value": {"error": "session not created", "stacktrace": "", "message": '
    '"session not created: This version of ChromeDriver only supports Chrome version 99\\\\n'
    "Current browser version is 153.0.0.0\"}}', 500)"
)


def _page(
    name: str, layer: Layer, about: str, outcome: Outcome, stage: Stage | None, words: str, **more: object
) -> Fault:
    return Fault(name, layer, about, outcome, stage, words, lambda: Page(name), **more)  # type: ignore[arg-type]


_ALL = (
    Fault(
        "browser_missing", _B, "its executable is gone", _UNAVAILABLE, _LAUNCH, "no-such-browser",
        lambda: Missing("browser"),
    ),
    Fault(
        "browser_exits", _B, "it exits at once", _CRASHED, _LAUNCH, "session not created",
        lambda: BrowserScript("exit 1"),
    ),
    Fault(
        "browser_segfaults", _B, "it dies of SIGSEGV at once", _CRASHED, _LAUNCH, "session not created",
        lambda: BrowserScript("kill -SEGV $$"),
    ),
    Fault(
        "browser_hangs", _B, "it starts and never speaks", _TIMEOUT, _LAUNCH, _LATE,
        lambda: BrowserScript("exec sleep 600"), hangs=True,
    ),
    Fault(
        "browser_killed_loading", _B, "SIGKILL while it loads", _CRASHED, _LOAD, "",
        KilledLoading,
    ),
    Fault(
        "browser_killed_measuring", _B, "SIGKILL while it measures", _CRASHED, _MEASURE, "",
        lambda: Strike(processes.browser, signal.SIGKILL, _MEASURE), long=True,
    ),
    Fault(
        "browser_stopped", _B, "SIGSTOP: it lies still", _TIMEOUT, _MEASURE, _LATE,
        lambda: Strike(processes.browser, signal.SIGSTOP, _MEASURE), long=True, hangs=True,
    ),
    Fault(
        "renderer_killed", _B, "the page's process is killed", _CRASHED, _MEASURE, "",
        lambda: Strike(processes.renderer, signal.SIGKILL, _MEASURE), long=True,
    ),
    Fault(
        "renderer_segfaults", _B, "the page's process dies of SIGSEGV", _CRASHED, _MEASURE, "",
        lambda: Strike(processes.renderer, signal.SIGSEGV, _MEASURE), long=True,
    ),
    Fault(
        "renderer_stopped", _B, "the page's process lies still", _TIMEOUT, _MEASURE, _LATE,
        lambda: Strike(processes.renderer, signal.SIGSTOP, _MEASURE), long=True, hangs=True,
    ),
    Fault(
        "window_closed", _B, "its window is closed", _CRASHED, _MEASURE, "",
        lambda: Command(lambda driver: driver.close(), _MEASURE), long=True,
    ),
    Fault(
        "driver_missing", _D, "its executable is gone", _UNAVAILABLE, _LAUNCH, "",
        lambda: Missing("driver"),
    ),
    Fault(
        "driver_exits", _D, "it exits at once", _CRASHED, _LAUNCH, "unexpectedly exited",
        lambda: DriverScript("exit 7"),
    ),
    Fault(
        "driver_hangs", _D, "it never listens", _TIMEOUT, _LAUNCH, _LATE,
        lambda: DriverScript("exec sleep 600"), hangs=True,
    ),
    Fault(
        "driver_of_another_version", _D, "it does not drive this browser", _UNAVAILABLE, _LAUNCH,
        "only supports Chrome version 99", lambda: FakeDriver(_OLD_DRIVER),
    ),
    Fault(
        "driver_garbage", _D, "it answers no JSON", _CRASHED, _LAUNCH, "",
        lambda: FakeDriver("self.answer(b'<html>no</html>')"),
    ),
    Fault(
        "driver_hangs_up", _D, "it closes the connection unanswered", _CRASHED, _LAUNCH, "",
        lambda: FakeDriver("self.connection.close()"),
    ),
    Fault(
        "driver_killed", _D, "SIGKILL while the page measures", _CRASHED, _MEASURE, "driver process ended",
        lambda: Strike(processes.driver, signal.SIGKILL, _MEASURE), long=True,
    ),
    Fault(
        "driver_stopped", _D, "it lies still; the page does not need it", Outcome.OK, None, "",
        lambda: Strike(processes.driver, signal.SIGSTOP, _MEASURE),
    ),
    Fault(
        "session_deleted", _D, "somebody else ends the session", _CRASHED, _MEASURE, "",
        lambda: Command(lambda driver: driver.execute("quit"), _MEASURE), long=True,
    ),
    Fault(
        "gpu_process_killed", _G, "the GPU process dies", _LOST, _MEASURE, "lost",
        lambda: Strike(processes.gpu, signal.SIGKILL, _MEASURE), long=True,
    ),
    Fault(
        "shader_of_garbage", _G, "a shader is no WGSL", _ERROR, _COMPILE, "",
        lambda: Shaders({"matmul_tile.wgsl": [("let tx = thread % TX;", "let tx = thread %% TX;")]}),
    ),
    Fault(
        "workgroup_too_large", _G, "a kernel asks for more threads than allowed", _ERROR, _COMPILE, "",
        lambda: Shaders({"layer_norm.wgsl": [("const THREADS = ${THREADS}u;", "const THREADS = 4096u;")]}),
    ),
    _page("no_webgpu", _G, "navigator.gpu is undefined", _UNSUPPORTED, _PROBE, "navigator.gpu is undefined"),
    _page("no_adapter", _G, "there is no adapter", _UNSUPPORTED, _PROBE, "resolved to null"),
    _page("device_refused", _G, "the adapter gives no device", _UNSUPPORTED, _PROBE, "fault: no device"),
    _page("samples_on_timer", _G, "work is seen done every 100 ms", _ERROR, _MEASURE, "browser's timer"),
    _page("waits_plainly", _G, "the page submits nothing while it waits", Outcome.OK, None, ""),
    _page(
        "small_bindings", _G, "the adapter binds a thousand bytes at most", _UNSUPPORTED, _BUILD,
        "exceeds the limit maxStorageBufferBindingSize",
    ),
    _page("no_f16", _G, "the device comes without shader-f16", Outcome.OK, None, ""),
    _page("device_lost_building", _G, "the device is lost while it builds", _LOST, _BUILD, "lost"),
    _page("device_lost_measuring", _G, "the device is lost while it measures", _LOST, _WARMUP, "lost"),
    _page("device_lost_writing", _G, "the device is lost at token 17", _LOST, _WARMUP, "lost", writes=True),
    _page("gpu_clock_fails", _G, "its clock fails within a prompt", Outcome.OK, None, "", writes=True),
    _page("writes_on", _P, "the loop runs beyond its cache", _ERROR, _MEASURE, "CacheOverflow", writes=True),
    _page(
        "wrong_token", _P, "another token is written than was chosen", Outcome.INCORRECT, _MEASURE,
        "WrongToken", writes=True,
    ),
    _page("validation_error", _G, "an error outside every scope", _ERROR, _WARMUP, "GPUValidationError"),
    _page("buffer_too_large", _G, "a buffer beyond the limit", _ERROR, _BUILD, ""),
    _page("stops_computing", _G, "nothing is computed once verified", Outcome.INCORRECT, _MEASURE, "last"),
    _page("no_webnn", _N, "there is no navigator.ml", _UNSUPPORTED, _PROBE, "is undefined", platform="webnn"),
    _page("context_refused", _N, "there is no context", _UNSUPPORTED, _PROBE, "no context", platform="webnn"),
    _page("operator_missing", _N, "gemm is missing", _ERROR, _BUILD, "not a function", platform="webnn"),
    _page("graph_refused", _N, "the graph is refused", _ERROR, _COMPILE, "fault: refused", platform="webnn"),
    _page("context_lost", _N, "the context is lost", _LOST, _WARMUP, "lost", platform="webnn"),
    _page("dialog", _P, "a dialog opens", _ERROR, _WARMUP, "fault: a dialog"),
    _page("navigates_away", _P, "the page leaves", _ERROR, _WARMUP, "about:blank"),
    _page("never_done", _P, "the page waits for ever", _TIMEOUT, _WARMUP, _LATE, hangs=True),
    _page("infinite_loop", _P, "the page spins", _TIMEOUT, _WARMUP, _LATE, hangs=True),
    _page("done_twice", _P, "the page says done twice", Outcome.OK, None, ""),
    _page("unhandled_rejection", _P, "a promise is rejected unheard", _ERROR, _WARMUP, "fault: unheard"),
    _page("stray_exception", _P, "a timer throws", _ERROR, _WARMUP, "fault: stray"),
    _page("clock_back", _P, "the page's clock goes back an hour", _ERROR, _WARMUP, "clock"),
    _page("event_of_garbage", _P, "the page reports no JSON", _ERROR, _WARMUP, "400"),
    Fault(
        "out_of_memory", _P, "the page's heap is full", _CRASHED, _WARMUP, "",
        FullHeap,
    ),
    Fault(
        "page_missing", _S, "the page is not there", _ERROR, _PROBE, "404",
        lambda: Answer("pages/index.html", status(404)),
    ),
    Fault(
        "script_missing", _S, "the page's script is not there", _ERROR, _PROBE, "main.js",
        lambda: Answer("pages/main.js", status(404)),
    ),
    Fault(
        "weights_missing", _S, "the weights are not there", _ERROR, _LOAD, "answered 404",
        lambda: Answer("bundle/weights.safetensors", status(404)),
    ),
    Fault("weights_torn", _S, "the weights end early", _ERROR, _LOAD, "", Truncated),
    Fault(
        "program_of_garbage", _S, "the program is not JSON", _ERROR, _LOAD, "JSON",
        lambda: Answer("bundle/program.json", garbage),
    ),
    Fault(
        "shader_missing", _S, "a shader is not there", _ERROR, _LOAD, "answered 404",
        lambda: Answer("shaders/layer_norm.wgsl", status(404)),
    ),
    Fault(
        "server_silent", _S, "the weights never come", _TIMEOUT, _LOAD, _LATE,
        lambda: Silent("bundle/weights.safetensors"), hangs=True,
    ),
    Fault(
        "report_refused", _S, "a report is answered with an error once", _ERROR, _LOAD, "answered 503",
        lambda: Answer("event", status(503), once=True),
    ),
    Fault("no_isolation", _S, "the isolation headers are missing", Outcome.OK, None, "", NoIsolation),
    Fault(
        "few_descriptors", _H, "the browser may open twenty files", _CRASHED, _LAUNCH, "session not created",
        lambda: Limited("-n 20"),
    ),
    Fault(
        "little_memory", _H, "the browser may have a gigabyte of addresses", _CRASHED, _LAUNCH,
        "session not created", lambda: Limited("-v 1000000"),
    ),
    Fault(
        "no_room_for_files", _H, "no file of the browser may grow", _CRASHED, _LAUNCH, "session not created",
        lambda: Limited("-f 0"),
    ),
    Fault(
        "other_platform", _P, "the page runs WebGPU where WebNN was asked for", Outcome.FALLBACK, None, "",
        OtherPlatform, platform="webnn",
    ),
    Fault(
        "machine_sleeps", _H, "the machine sleeps while samples are taken", _ERROR, _MEASURE, "slept",
        lambda: Slept(seconds=600.0),
    ),
    Fault("clock_set_back", _H, "the wall clock is set back", Outcome.OK, None, "", SetBack),
    Fault("store_locked", _T, "another program holds the database", Outcome.OK, None, "locked", Locked),
    Fault("store_full", _T, "the database's disk is full", Outcome.OK, None, "full", Full),
    Fault("store_read_only", _T, "the database may only be read", Outcome.OK, None, "readonly", ReadOnly),
)  # fmt: skip
CATALOGUE = {fault.name: fault for fault in _ALL}


def injection(name: str | None) -> Injection:
    """The fault of that name, ready for one run; no fault for None.

    Args:
        name: of the catalogue; or `MODULE:NAME` for a module of one's own that has such a function too.

    Raises:
        InputError: there is none of that name.
    """
    if name is None:
        return Injection()
    module, colon, own = name.partition(":")
    if colon:
        try:
            found: Injection = import_module(module).injection(own)
            return found
        except (ImportError, AttributeError, LookupError, ValueError) as error:
            raise InputError(f"unknown fault {name!r}: {error}") from None
    if name not in CATALOGUE:
        raise InputError(f"unknown fault {name!r}; `bench faults list` names them all")
    return CATALOGUE[name].make()
