"""Google Chrome, and Chromium builds of any origin."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.browsers import chromium, install
from bench.browsers.base import Browser, Build, Role
from bench.browsers.process import SessionSpace
from bench.plan.request import STOCK, GpuFeatures
from bench.settings import Settings

if TYPE_CHECKING:
    from selenium import webdriver
    from selenium.webdriver.remote.webdriver import WebDriver

_CHROME_PATHS = (
    "/opt/google/chrome/chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
)


class Chrome(Browser):
    """Order of discovery: the setting, Google Chrome, what was fetched, the distribution's Chromium."""

    name: ClassVar[str] = "chrome"

    @property
    def remedy(self) -> str:
        """What to type where it is missing."""
        return "type `bench browsers install chrome`, or set CHROME_BINARY"

    def role(self, command: Sequence[str]) -> Role | None:
        """What a process of it is."""
        return chromium.role_of(command)

    def builds(self, settings: Settings) -> list[Build]:
        """The builds on this machine, best first."""
        own = settings.chrome
        if own.binary:
            return [self._build(Path(own.binary), "setting", settings)]
        google = chromium.existing(
            shutil.which("google-chrome"), shutil.which("google-chrome-stable"), *_CHROME_PATHS
        )
        found = [self._build(path, "installed", settings) for path in google[:1]]
        fetched = install.fetched_chromium()
        if fetched:
            found.append(self._build(fetched, "fetched", settings))
        distribution = chromium.existing(shutil.which("chromium"), shutil.which("chromium-browser"))
        found += [self._build(path, "distribution", settings) for path in distribution[:1]]
        return found

    def build_at(self, binary: Path, settings: Settings) -> Build:
        """The build with that executable."""
        return self._build(binary, "setting", settings)

    def with_features(self, build: Build, features: GpuFeatures, settings: Settings) -> Build:
        """The build, started so that it shows a feature set."""
        return replace(build, flags=chromium.set_flags(self.name, features, settings))

    def flags(self, build: Build, settings: Settings) -> list[str]:
        """The command line it is started with."""
        return chromium.flags_for(build, settings)

    def start(self, build: Build, space: SessionSpace, settings: Settings) -> WebDriver:
        """Start it headless with a fresh profile."""
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        service = Service(**chromium.service_arguments(build, space))
        return webdriver.Chrome(options=self.options(build, settings), service=service)

    def options(self, build: Build, settings: Settings) -> webdriver.ChromeOptions:
        """What a session is asked for."""
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        chromium.fill_options(options, build, settings)
        return options

    @staticmethod
    def _build(binary: Path, source: str, settings: Settings) -> Build:
        driver = chromium.existing(settings.chrome.driver or shutil.which("chromedriver"))
        libraries = binary.parent / "lib"
        own = settings.chrome.library_path
        fetched = libraries if source == "fetched" and libraries.is_dir() else None
        return Build(
            "chrome",
            binary,
            driver[0] if driver else None,
            source,
            Path(own) if own else fetched,
            chromium.set_flags("chrome", STOCK, settings),
        )
