"""Microsoft Edge, where it is installed: the Chromium path under another name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.browsers import chromium
from bench.browsers.base import Browser, Build, Role
from bench.browsers.process import SessionSpace
from bench.plan.request import STOCK, GpuFeatures
from bench.settings import Settings

if TYPE_CHECKING:
    from selenium import webdriver
    from selenium.webdriver.remote.webdriver import WebDriver

_PATHS = (
    "/opt/microsoft/msedge/msedge",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    r"C:\Program Files\Microsoft\Edge\Application\msedge.exe",
)


class Edge(Browser):
    """Edge's driver must be Edge's own; Selenium Manager fetches it where there is a network."""

    name: ClassVar[str] = "edge"

    @property
    def remedy(self) -> str:
        """What to type where it is missing."""
        return "install Microsoft Edge from Microsoft, or set EDGE_BINARY and EDGEDRIVER"

    def role(self, command: Sequence[str]) -> Role | None:
        """What a process of it is."""
        return chromium.role_of(command)

    def builds(self, settings: Settings) -> list[Build]:
        """The builds on this machine, best first."""
        if settings.edge.binary:
            return [self._build(Path(settings.edge.binary), "setting", settings)]
        names = ("microsoft-edge", "microsoft-edge-stable", "microsoft-edge-dev")
        found = chromium.existing(*(shutil.which(name) for name in names), *_PATHS)
        return [self._build(path, "installed", settings) for path in found]

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
        from selenium.webdriver.edge.service import Service

        service = Service(**chromium.service_arguments(build, space))
        return webdriver.Edge(options=self.options(build, settings), service=service)

    def options(self, build: Build, settings: Settings) -> webdriver.EdgeOptions:
        """What a session is asked for."""
        from selenium import webdriver

        options = webdriver.EdgeOptions()
        chromium.fill_options(options, build, settings)
        return options

    @staticmethod
    def _build(binary: Path, source: str, settings: Settings) -> Build:
        driver = chromium.existing(settings.edge.driver or shutil.which("msedgedriver"))
        flags = chromium.set_flags("edge", STOCK, settings)
        return Build("edge", binary, driver[0] if driver else None, source, None, flags)
