"""onnxruntime-web, as npm has it: the peer that runs the same weights in the same harness.

Its page loads the bundle's weights as an ONNX file (`bench.export.onnx_graph`), made once and kept beside the
bundle. For WebGPU there are two: which one is loaded, float16 or float32, is the adapter's doing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.bundle import Bundle, beside
from bench.engines.base import Granted, Say
from bench.errors import InputError
from bench.models.fetch import is_offline
from bench.models.program import Program
from bench.plan.request import Request
from bench.quantize.recipe import recipe_of
from bench.settings import cache_root

if TYPE_CHECKING:
    from bench.export.onnx_nodes import Form
    from bench.export.onnx_weights import Activations

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
FORMAT = 3  # part of the files' names: another exporter is another format
# One for WebGPU and WebNN, one for the processor; what else the package has is of other builds.
_FILES = (
    "package.json",
    "dist/ort.webgpu.min.mjs",
    "dist/ort-wasm-simd-threaded.asyncify.mjs",
    "dist/ort-wasm-simd-threaded.asyncify.wasm",
    "dist/ort.wasm.min.mjs",
    "dist/ort-wasm-simd-threaded.mjs",
    "dist/ort-wasm-simd-threaded.wasm",
)
_SECONDS = 600.0


class OrtWeb:
    """WebGPU, WebNN and the processor through WebAssembly, at all bits."""

    title = "onnxruntime-web, of npm"
    version: str | None = VERSION
    # It compiles WebAssembly, and its loader makes functions of text.
    policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' 'unsafe-eval'"

    def grant(self, request: Request, program: Program) -> Granted:
        """As requested: what a browser's WebNN refuses is the run's result."""
        return Granted(recipe_of(request, program.weights))

    def check(self, request: Request, program: Program) -> None:
        """Raise NotInOnnx for an operator or a size that ONNX cannot say."""
        from bench.export.onnx_graph import check  # onnx, which only this engine needs

        check(program, request.bits)

    def files(self, request: Request, bundle: Bundle) -> Mapping[str, Path]:
        """`model.f32.onnx`, and for WebGPU `model.f16.onnx` unless a value leaves float16."""
        from bench.export.onnx_nodes import Form
        from bench.export.onnx_weights import NotInOnnx

        webnn = request.platform == "webnn"
        found: dict[str, Path] = {}
        wanted: tuple[Activations, ...] = ("f32", "f16") if request.platform == "webgpu" else ("f32",)
        for activations in wanted:
            write = partial(_write, bundle, Form(activations=activations, webnn=webnn))
            kind = f"onnx{FORMAT}-{'webnn' if webnn else activations}"
            try:
                folder = beside(bundle, kind, write)
            except NotInOnnx:
                if activations == "f32":
                    raise
                continue
            found[f"model.{activations}.onnx"] = folder / "model.onnx"
        return found

    def rooms(self) -> Mapping[str, Path]:
        """The package's `dist`."""
        return {"engine": (_home() / "dist").resolve()}

    def modules(self, platform: str) -> tuple[str, ...]:
        """Its own folder, and how we wait and open contexts."""
        return ("ort/*.js", "webgpu/waiting.js", "webgpu/device.js", "webnn/context.js")

    def shaders(self, platform: str) -> bool:
        """It brings its own."""
        return False

    def installed(self) -> Path | None:
        """The folder in the cache, whole."""
        return _home() if all((_home() / name).is_file() for name in _FILES) else None

    def install(self, say: Say) -> None:
        """Fetch the package through npm, which checks its integrity, and keep what the page loads.

        Raises:
            InputError: offline, no npm, or npm's own words.
        """
        if self.installed():
            return
        if is_offline():
            raise InputError(f"offline (BENCH_OFFLINE=1): {PACKAGE} cannot be fetched from npm")
        if not shutil.which("npm"):
            raise InputError(f"no npm here to fetch {PACKAGE} with; install Node.js with npm")
        say(f"npm pack {PACKAGE} (33 MB)")
        _home().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ort-web-", dir=_home().parent) as name:
            whole = _unpack(_pack(Path(name)), Path(name) / "whole")
            try:
                whole.rename(_home())
            except OSError as error:  # an incomplete folder, or another process was faster
                if self.installed():
                    return
                shutil.rmtree(_home(), ignore_errors=True)
                try:
                    whole.rename(_home())
                except OSError:
                    raise InputError(f"cannot write {_home()}: {error.strerror}") from None


def _home() -> Path:
    return cache_root() / "engines" / f"ort-web-{VERSION}"


def _write(bundle: Bundle, form: Form, folder: Path) -> None:
    from safetensors.numpy import load_file

    from bench.export.onnx_graph import to_onnx

    table = json.loads(bundle.program_path.read_text(encoding="utf-8"))["quantization"]
    (folder / "model.onnx").write_bytes(to_onnx(bundle.program, table, load_file(bundle.weights_path), form))


def _pack(folder: Path) -> Path:
    """The package's archive, which npm held to the registry's checksum."""
    command = ["npm", "pack", PACKAGE, "--json", "--ignore-scripts", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS, cwd=folder
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"npm pack {PACKAGE} took more than {_SECONDS:.0f} s; try again later") from None
    if done.returncode:
        lines = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if line.strip()]
        words = next((line for line in lines if " " in line and not line.startswith("code ")), "no message")
        raise InputError(f"npm pack {PACKAGE} failed: {words[:200]}")
    archives = list(folder.glob("*.tgz"))
    if len(archives) != 1:
        raise InputError(f"npm pack {PACKAGE} left no archive")
    return archives[0]


def _unpack(archive: Path, folder: Path) -> Path:
    """What the page loads, out of the package's archive."""
    with tarfile.open(archive) as package:
        for name in _FILES:
            try:
                member = package.extractfile(f"package/{name}")
            except KeyError:
                member = None
            if member is None:
                raise InputError(f"{archive.name} holds no {name}: not {PACKAGE}")
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as target:
                shutil.copyfileobj(member, target)
    return folder
