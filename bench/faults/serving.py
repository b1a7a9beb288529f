"""Faults of the page server: what it answers instead."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from selenium.webdriver.remote.webdriver import WebDriver

from bench.browsers import Build, SessionSpace
from bench.faults.processes import Strike, browser
from bench.harness.injection import Injection
from bench.harness.outcome import Stage
from bench.harness.server import PACKAGE, page_modules, shader_files

_HANG_SECONDS = 3600.0


class Page(Injection):
    """The page does it to itself: `bench/pages/faults.js` knows how."""

    def __init__(self, name: str) -> None:
        self._name = name

    def task(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        """Name the fault in the task."""
        return {**task, "fault": self._name}


class OtherPlatform(Injection):
    """The page is given another platform than the run asked for, and knows nothing of it."""

    def task(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        """WebGPU, with what it needs."""
        return {
            **task,
            "platform": "webgpu",
            "shaders": shader_files(),
            "modules": page_modules(["webgpu/*.js"]),
        }


class FullHeap(Page):
    """A page that keeps all it allocates, in a browser whose heap is small."""

    def __init__(self) -> None:
        super().__init__("out_of_memory")

    def build(self, build: Build, folder: Path) -> Build:
        """Make the heap small."""
        return dataclasses.replace(build, flags=(*build.flags, "--js-flags=--max-old-space-size=96"))


class Answer(Injection):
    """One path is answered with something else, each time or only the first."""

    def __init__(self, path: str, instead: Callable[[], web.StreamResponse], *, once: bool = False) -> None:
        self._path, self._instead, self._once = path, instead, once
        self._done = False

    async def answer(self, path: str, response: web.StreamResponse) -> web.StreamResponse:
        """The other answer."""
        if path != self._path or (self._once and self._done):
            return response
        self._done = True
        return self._instead()


class Truncated(Injection):
    """The weights end early, as after a torn copy."""

    async def answer(self, path: str, response: web.StreamResponse) -> web.StreamResponse:
        """Half of the file."""
        if not path.endswith("weights.safetensors") or not isinstance(response, web.FileResponse):
            return response
        data = response._path.read_bytes()
        return web.Response(body=data[: len(data) // 2], content_type="application/octet-stream")


class Silent(Injection):
    """One path is never answered."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def answer(self, path: str, response: web.StreamResponse) -> web.StreamResponse:
        """Nothing, for longer than anybody waits."""
        if path == self._path:
            await asyncio.sleep(_HANG_SECONDS)
        return response


class KilledLoading(Silent):
    """The browser is killed while it waits for the weights, so that it cannot be further by then."""

    def __init__(self) -> None:
        super().__init__("bundle/weights.safetensors")
        self._strike = Strike(browser, signal.SIGKILL, Stage.LOAD)

    def stage(self, stage: Stage, driver: WebDriver, space: SessionSpace) -> None:
        """Strike."""
        self._strike.stage(stage, driver, space)


class NoIsolation(Injection):
    """The headers that make the page cross-origin isolated are missing."""

    async def answer(self, path: str, response: web.StreamResponse) -> web.StreamResponse:
        """Without them."""
        for name in ("Cross-Origin-Opener-Policy", "Cross-Origin-Embedder-Policy"):
            response.headers.pop(name, None)
        return response


class Shaders(Injection):
    """Shader texts with something replaced: file -> [(old, new)]; ValueError where there is no such text."""

    def __init__(self, edits: Mapping[str, list[tuple[str, str]]]) -> None:
        self._texts: dict[str, str] = {}
        for name, pairs in edits.items():
            text = (PACKAGE / "shaders" / name).read_text(encoding="utf-8")
            for old, new in pairs:
                if old not in text:
                    raise ValueError(f"{name} has no {old!r} any more: mend the fault that replaces it")
                text = text.replace(old, new)
            self._texts[f"shaders/{name}"] = text

    async def answer(self, path: str, response: web.StreamResponse) -> web.StreamResponse:
        """The changed text."""
        text = self._texts.get(path)
        return response if text is None else web.Response(text=text, content_type="text/plain")


def status(code: int) -> Callable[[], web.StreamResponse]:
    """An answer of that status."""
    return lambda: web.Response(status=code, text=f"fault: status {code}")


def garbage() -> web.StreamResponse:
    """Something that is neither JSON nor WGSL nor safetensors."""
    return web.Response(text="\x00{]fault", content_type="application/octet-stream")
