"""Safari: macOS only, through its own driver."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.browsers.base import Browser, Build
from bench.browsers.chromium import existing
from bench.browsers.process import SessionSpace
from bench.settings import Settings

if TYPE_CHECKING:
    from selenium import webdriver
    from selenium.webdriver.remote.webdriver import WebDriver

_BINARY = "/Applications/Safari.app/Contents/MacOS/Safari"
_DRIVER = "/usr/bin/safaridriver"


class Safari(Browser):
    """Safari has no headless mode and no profile of ours; its driver isolates automation windows."""

    name: ClassVar[str] = "safari"

    @property
    def remedy(self) -> str:
        """What to type where it is missing."""
        return "Safari runs on macOS only: type `safaridriver --enable` there"

    def builds(self, settings: Settings) -> list[Build]:
        """Safari itself on macOS, nothing elsewhere."""
        if sys.platform != "darwin":
            return []
        return [Build(self.name, path, Path(_DRIVER), "installed") for path in existing(_BINARY)]

    def build_at(self, binary: Path, settings: Settings) -> Build:
        """Safari Technology Preview and the like."""
        return Build(self.name, binary, Path(_DRIVER), "setting")

    def start(self, build: Build, space: SessionSpace, settings: Settings) -> WebDriver:
        """Start it through safaridriver."""
        from selenium import webdriver
        from selenium.webdriver.safari.service import Service

        service = Service(str(build.driver), env=space.environment())
        return webdriver.Safari(options=self.options(build, settings), service=service)

    def options(self, build: Build, settings: Settings) -> webdriver.SafariOptions:
        """What a session is asked for."""
        from selenium import webdriver

        options = webdriver.SafariOptions()
        options.use_technology_preview = build.binary is not None and "Technology Preview" in str(
            build.binary
        )
        return options
