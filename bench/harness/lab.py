"""Single kernels in a real browser: what the tests stand on."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from bench.browsers import SessionSpace, locate, parse_browser
from bench.browsers.process import spare_loopback
from bench.errors import BenchError
from bench.harness.server import Job, PageServer, shader_files
from bench.quantize.methods import Quantized
from bench.quantize.packing import pack, to_f16
from bench.settings import Settings


class LabError(BenchError):
    """The page could not run what it was given; the browser's words."""


def encode(array: NDArray[Any]) -> str:
    """The bytes of an array in base64, as the page reads them."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def value(array: NDArray[Any]) -> dict[str, str]:
    """An activation (float) or an input (int32) for the page."""
    if np.issubdtype(array.dtype, np.integer):
        return {"dtype": "i32", "data": encode(array.astype("<i4"))}
    return {"dtype": "f32", "data": encode(array.astype("<f4"))}


def packed(name: str, quantized: Quantized) -> tuple[dict[str, str], dict[str, Any]]:
    """A quantized matrix as the page's weights and its `Quantization`."""
    parts = {
        f"{name}.codes": encode(pack(quantized.codes, quantized.bits)),
        f"{name}.scales": encode(quantized.scales),
    }
    if quantized.zeros is not None:
        parts[f"{name}.zeros"] = encode(pack(quantized.zeros, quantized.bits))
    return parts, {
        "bits": quantized.bits,
        "group_size": quantized.group_size,
        "scheme": quantized.scheme,
        "k": quantized.k,
        "kp": quantized.codes.shape[1],
        "exponent": quantized.exponent,
    }


def vector(values: NDArray[Any]) -> str:
    """A bias, gamma or beta: f16."""
    return encode(to_f16(values))


class Lab:
    """A browser with the kernel lab open. Use as a context manager.

    Attributes:
        files: name -> file that the page may fetch as `bundle/NAME`; to be added to.
    """

    def __init__(self, browser: str, settings: Settings, timeout: float = 240.0) -> None:
        self._browser, self._binary = parse_browser(browser)
        self._settings = settings
        self._timeout = timeout
        self._server = PageServer()
        self._space = SessionSpace()

    def __enter__(self) -> Lab:
        self._server.__enter__()
        try:
            spare_loopback()
            build = locate(self._browser, self._binary, self._settings, "all")
            self._driver = self._browser.start(build, self._space, self._settings)
            self.files = {"case.json": self._space.folder / "case.json"}
            job = Job(task={"shaders": shader_files()}, files=self.files, verdict=lambda *_: {})
            url = self._server.add(job).replace("index.html", "lab.html")
            self._driver.set_script_timeout(self._timeout)
            self._driver.get(url)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if hasattr(self, "_driver"):
                self._driver.quit()
        finally:
            self._space.close()
            self._server.__exit__(kind, error, trace)

    def renderer(self) -> psutil.Process:
        """The process of the page, in a Chromium; LookupError elsewhere."""
        for one in self._space.processes():
            line = one.cmdline()
            if "--type=renderer" in line and "--extension-process" not in line:
                return one
        raise LookupError("this browser shows no renderer")

    def adapter_features(self) -> frozenset[str]:
        """What the browser's adapter can do beside the least; empty where it has no adapter."""
        found: list[str] = self._driver.execute_async_script(
            "const done = arguments[0]; navigator.gpu.requestAdapter()"
            ".then(a => done(a ? [...a.features] : []), () => done([]));"
        )
        return frozenset(found)

    def call(self, command: str, argument: Mapping[str, Any]) -> dict[str, Any]:
        """Send a command to the page and wait for its answer.

        Raises:
            LabError: the page answered with an error.
        """
        (self._space.folder / "case.json").write_text(json.dumps(argument), encoding="utf-8")
        answer = json.loads(
            self._driver.execute_async_script(
                "const [command, done] = arguments; (async () => {"
                "while (!window.lab) await new Promise(r => setTimeout(r, 20));"
                "return window.lab(command); })().then(done, e => done(JSON.stringify({error: String(e)})));",
                command,
            )
        )
        if "error" in answer:
            raise LabError(f"{command}: {answer['error']}")
        result: dict[str, Any] = answer["ok"]
        return result

    def run(self, case: Mapping[str, Any]) -> NDArray[np.float32]:
        """Run a kernel once; its output as a flat float32 array."""
        answer = self.call("run", case)
        return np.frombuffer(base64.b64decode(answer["output"]), dtype="<f4")
