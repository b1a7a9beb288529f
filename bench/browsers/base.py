"""What a browser is to the harness: a name, its builds on this machine, and how one is started."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from bench.browsers.process import SessionSpace
from bench.errors import BenchError
from bench.plan.request import GpuFeatures
from bench.settings import Settings

if TYPE_CHECKING:
    from selenium.webdriver.common.options import ArgOptions
    from selenium.webdriver.remote.webdriver import WebDriver

# What a process of a browser is: it may be the page's, it talks to the GPU, or it is the browser itself.
Role = Literal["page", "gpu", "main"]
ROLES: tuple[Role, ...] = get_args(Role)


class BrowserMissing(BenchError):
    """That browser or its driver is not on this machine; `remedy` says what to type next."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True)
class Build:
    """One installed build of a browser.

    Attributes:
        browser: its name in the harness.
        binary: the executable, or None where the driver knows it (Safari).
        driver: the WebDriver executable; None lets Selenium Manager find one.
        source: how it was found: "setting", "installed", "fetched", "distribution".
        library_path: a folder of shared libraries the binary brings along.
        flags: command-line flags beside those that every start has: of the feature set, from the settings.
    """

    browser: str
    binary: Path | None
    driver: Path | None
    source: str
    library_path: Path | None = None
    flags: tuple[str, ...] = field(default=())


class Browser(ABC):
    """One browser. Subclasses live one a file."""

    name: ClassVar[str]

    @abstractmethod
    def builds(self, settings: Settings) -> list[Build]:
        """The builds on this machine, best first; empty where there is none."""

    @abstractmethod
    def build_at(self, binary: Path, settings: Settings) -> Build:
        """The build with that executable, named by the user."""

    @abstractmethod
    def start(self, build: Build, space: SessionSpace, settings: Settings) -> WebDriver:
        """Start it with a fresh profile in `space`; a WebDriverException where it will not start."""

    def with_features(self, build: Build, features: GpuFeatures, settings: Settings) -> Build:
        """The build, started so that it shows a feature set; one without flags for that shows what it has."""
        return build

    def options(self, build: Build, settings: Settings) -> ArgOptions | None:
        """What a session elsewhere is asked for (`bench.browsers.grid`); None where none can be had."""
        return None

    def role(self, command: Sequence[str]) -> Role | None:
        """What a process of this browser is, by its command line; None where it is another or unknown."""
        return None

    @property
    @abstractmethod
    def remedy(self) -> str:
        """What to type where it is missing."""

    def flags(self, build: Build, settings: Settings) -> list[str]:
        """The flags or preferences that `start` gives it, for the record."""
        return list(build.flags)

    def find(self, binary: str | None, settings: Settings) -> Build:
        """The build to use: the named one, else the best on this machine.

        Raises:
            BrowserMissing: there is none, or the named executable does not exist.
        """
        if binary:
            path = Path(binary).expanduser()
            if not path.is_file() or not os.access(path, os.X_OK):
                raise BrowserMissing(f"{self.name}: {path} is not an executable file", "check the path")
            return self.build_at(path, settings)
        found = self.builds(settings)
        if not found:
            raise BrowserMissing(f"{self.name} is not on this machine", self.remedy)
        return found[0]


def version_of(binary: Path, library_path: Path | None = None) -> str | None:
    """What `binary --version` prints as its last dotted number, or None where it prints none."""
    environment = dict(os.environ)
    if library_path:
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(
            filter(None, [environment.get("LD_LIBRARY_PATH"), str(library_path)])
        )
    try:
        done = subprocess.run(
            [str(binary), "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    for word in done.stdout.split():
        if word[:1].isdigit() and "." in word:
            return word
    return None
