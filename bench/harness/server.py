"""The loopback server: serves the pages, a run's bundle and nothing else; takes what the page reports.

Every path begins with the run's token, so a page of another origin, or of an earlier run, gets nothing. All
answers carry the headers that make the page cross-origin isolated, which buys it the finer clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import queue
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from bench.errors import InputError
from bench.harness.injection import Injection

PACKAGE = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
_ROOMS = {"pages": PACKAGE / "pages", "shaders": PACKAGE / "shaders"}
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
    ".wgsl": "text/plain",
    ".json": "application/json",
    ".safetensors": "application/octet-stream",
}
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_MAX_BODY = 512 * 1024 * 1024
_MOST_WORDS = 200

Verdict = Callable[[str, Mapping[str, bytes]], Mapping[str, Any]]


def shader_files() -> list[str]:
    """The names of all shader files, as the pages ask for them."""
    return sorted(path.name for path in _ROOMS["shaders"].glob("*.wgsl"))


def page_modules(patterns: Iterable[str]) -> list[str]:
    """The page's modules that a run consists of: the runtime and those of the patterns; sorted."""
    pages = _ROOMS["pages"]
    found = [pages / "main.js", *(path for one in ("runtime/*.js", *patterns) for path in pages.glob(one))]
    return sorted(path.relative_to(pages).as_posix() for path in found)


def shader_text(name: str) -> str:
    """What a page gets as that shader."""
    return (_ROOMS["shaders"] / name).read_text(encoding="utf-8")


def page_text(name: str) -> str:
    """What a page gets as that module of its own."""
    return (_ROOMS["pages"] / name).read_text(encoding="utf-8")


@dataclass
class Job:
    """What one run serves and takes.

    Attributes:
        task: the run's description, served as `task.json`.
        files: names under the run's path -> files on disk.
        verdict: called with a set's name and its outputs' bytes, in a worker thread.
        events: everything the page reports, in order.
        effective: what the page said of itself, here at once: a verdict needs it before the events are read.
        rooms: folders served beside the page's own, by their first word.
        policy: what the page may load and run.
        injection: may answer otherwise.
    """

    task: Mapping[str, Any]
    files: Mapping[str, Path]
    verdict: Verdict
    events: queue.SimpleQueue[dict[str, Any]] = field(default_factory=queue.SimpleQueue)
    outputs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    rooms: Mapping[str, Path] = field(default_factory=dict)
    policy: str = _HEADERS["Content-Security-Policy"]
    injection: Injection = field(default_factory=Injection)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class PageServer:
    """An aiohttp server in a thread of its own. Use as a context manager."""

    def __init__(self, port: int = 0, listen: str = HOST, address: str | None = None) -> None:
        """Args: port, 0 for a free one; the address to listen on; the one that browsers use, if another."""
        self._wanted = port
        self._listen = listen
        self._address = address or listen
        self.port = 0
        self._jobs: dict[str, Job] = {}
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> PageServer:
        started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="page-server", daemon=True)
        self._thread.start()
        problem = started.get()
        if problem is not None:
            self._thread.join()
            if isinstance(problem, OSError) and problem.errno == errno.EADDRINUSE:
                raise InputError(
                    f"port {self._wanted} on {self._listen} is in use; "
                    "set BENCH_PORT to another, or to 0 for a free one"
                )
            raise InputError(f"the page server cannot listen on {self._listen}:{self._wanted}: {problem}")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread:
            self._thread.join()

    def add(self, job: Job, page: str = "index.html") -> str:
        """Open a run's path; the URL of its page, one of `bench/pages/`."""
        self._jobs[job.token] = job
        return f"http://{self._address}:{self.port}/r/{job.token}/pages/{page}"

    def remove(self, job: Job) -> None:
        """Close a run's path: from now on its token is refused."""
        self._jobs.pop(job.token, None)

    def _serve(self, started: queue.SimpleQueue[BaseException | None]) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._open())
        except BaseException as error:
            self._end()
            started.put(error)
            return
        started.put(None)
        self._loop.run_forever()
        self._end()

    def _end(self) -> None:
        if self._runner:
            self._loop.run_until_complete(self._runner.cleanup())
        for task in asyncio.all_tasks(self._loop):  # an answer that is still being waited for
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(task)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _open(self) -> None:
        app = web.Application(middlewares=[self._gate], client_max_size=_MAX_BODY)
        app.router.add_get("/r/{token}/task.json", self._task)
        app.router.add_get("/r/{token}/bundle/{name}", self._bundle)
        app.router.add_get("/r/{token}/{room}/{path:.+}", self._static)
        app.router.add_post("/r/{token}/event", self._event)
        app.router.add_post("/r/{token}/output/{set}/{name}", self._output)
        app.router.add_post("/r/{token}/verdict/{set}", self._verdict)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._listen, self._wanted)
        await site.start()
        self.port = self._runner.addresses[0][1]

    @web.middleware
    async def _gate(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        """Refuse a foreign Host (DNS rebinding) and an unknown token; put the headers on every answer."""
        if request.host not in [f"{name}:{self.port}" for name in (HOST, "localhost", self._address)]:
            words = f"this server answers to {self._address} only"
            return web.Response(status=403, text=words, headers=_HEADERS)
        job = self._jobs.get(request.match_info.get("token", ""))
        if job is None:
            return web.Response(status=403, text="unknown or closed run", headers=_HEADERS)
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=error.reason)
        except (ValueError, LookupError, OSError, RecursionError) as error:
            # Names that no file can have, bytes that are no text: what was asked for cannot be.
            words = " ".join(str(error).split())[:_MOST_WORDS]
            response = web.Response(status=400, text=f"cannot answer that: {words or type(error).__name__}")
        response.headers.update({**_HEADERS, "Content-Security-Policy": job.policy})
        path = request.path.partition(f"/r/{request.match_info['token']}/")[2]
        return await job.injection.answer(path, response)

    def _job(self, request: web.Request) -> Job:
        return self._jobs[request.match_info["token"]]

    async def _task(self, request: web.Request) -> web.Response:
        return web.json_response(self._job(request).task)

    async def _bundle(self, request: web.Request) -> web.StreamResponse:
        path = self._job(request).files.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Content-Type": _TYPES[path.suffix]})

    async def _static(self, request: web.Request) -> web.StreamResponse:
        rooms = {**self._job(request).rooms, **_ROOMS}
        root = rooms.get(request.match_info["room"])
        if root is None:
            raise web.HTTPNotFound
        path = (root / request.match_info["path"]).resolve()
        if not path.is_relative_to(root) or path.suffix not in _TYPES or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Content-Type": _TYPES[path.suffix]})

    async def _event(self, request: web.Request) -> web.Response:
        try:
            event = await request.json()
        except (ValueError, LookupError, RecursionError):
            raise web.HTTPBadRequest(reason="an event is JSON") from None
        if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
            raise web.HTTPBadRequest(reason="an event is an object with a kind")
        if not isinstance(event.get("data", {}), dict | None):
            raise web.HTTPBadRequest(reason="an event's data are an object")
        job = self._job(request)
        if event["kind"] == "effective":
            job.effective = event.get("data") or {}
        job.events.put(event)
        return web.json_response({})

    async def _output(self, request: web.Request) -> web.Response:
        sets = self._job(request).outputs
        body = await request.read()
        if len(body) % 4:
            raise web.HTTPBadRequest(reason="an output is 32-bit floats")
        sets.setdefault(request.match_info["set"], {})[request.match_info["name"]] = body
        return web.json_response({})

    async def _verdict(self, request: web.Request) -> web.Response:
        job = self._job(request)
        name = request.match_info["set"]
        outputs = job.outputs.get(name, {})
        verdict = await asyncio.get_running_loop().run_in_executor(None, job.verdict, name, outputs)
        job.events.put({"kind": "verdict", "data": {"set": name, **verdict}})
        return web.json_response(dict(verdict))
