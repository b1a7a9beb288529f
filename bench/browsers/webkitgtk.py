"""WebKitGTK's MiniBrowser: a third engine, here for what it lacks and says so."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.browsers.base import Browser, BrowserMissing, Build, Role
from bench.browsers.chromium import existing
from bench.browsers.process import SessionSpace
from bench.settings import Settings

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver


class WebKitGtk(Browser):
    """It has no headless mode: without a display it is given one by Xvfb."""

    name: ClassVar[str] = "webkitgtk"

    @property
    def remedy(self) -> str:
        """What to type where it is missing."""
        return "type `bench browsers install webkitgtk` (Debian: webkit2gtk-driver xvfb)"

    def role(self, command: Sequence[str]) -> Role | None:
        """What a process of it is, by the name of its executable."""
        known: dict[str, Role] = {
            "WebKitWebProcess": "page",
            "WebKitGPUProcess": "gpu",
            "MiniBrowser": "main",
        }
        return known.get(Path(command[0]).name) if command else None

    def builds(self, settings: Settings) -> list[Build]:
        """The builds on this machine, newest API first; none without the driver."""
        driver = existing(settings.webkitgtk.driver, shutil.which("WebKitWebDriver"))
        if not driver:
            return []
        if settings.webkitgtk.binary:
            return [Build(self.name, Path(settings.webkitgtk.binary), driver[0], "setting")]
        libraries = sorted(Path("/usr/lib").glob("*/webkit2gtk-*/MiniBrowser"), reverse=True)
        libraries += sorted(Path("/usr/libexec").glob("webkit2gtk-*/MiniBrowser"), reverse=True)
        return [Build(self.name, path, driver[0], "distribution") for path in existing(*libraries)]

    def build_at(self, binary: Path, settings: Settings) -> Build:
        """The build with that executable."""
        driver = existing(settings.webkitgtk.driver, shutil.which("WebKitWebDriver"))
        if not driver:
            raise BrowserMissing("webkitgtk: WebKitWebDriver is not on this machine", self.remedy)
        return Build(self.name, binary, driver[0], "setting")

    def flags(self, build: Build, settings: Settings) -> list[str]:
        """The arguments it is started with."""
        return ["--automation"]

    def start(self, build: Build, space: SessionSpace, settings: Settings) -> WebDriver:
        """Start it with a display of its own where there is none."""
        from selenium import webdriver
        from selenium.webdriver.webkitgtk.options import Options
        from selenium.webdriver.webkitgtk.service import Service

        home = space.folder / "home"
        home.mkdir(exist_ok=True)
        environment = space.environment(HOME=str(home), XDG_CACHE_HOME=str(home), XDG_DATA_HOME=str(home))
        if os.geteuid() == 0:
            environment["WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS"] = "1"  # its sandbox refuses root
        if settings.harness.headless or not os.environ.get("DISPLAY"):
            environment["DISPLAY"] = self._display(space, environment)
        options = Options()
        options.binary_location = str(build.binary)
        options.add_argument("--automation")
        service = Service(
            executable_path=str(build.driver),
            env=environment,
            log_output=str(space.log),
            popen_kw={"start_new_session": True},
        )
        return webdriver.WebKitGTK(options=options, service=service)

    def _display(self, space: SessionSpace, environment: dict[str, str]) -> str:
        """Start Xvfb on a free display; it carries the session's mark and ends with it."""
        if not shutil.which("Xvfb"):
            raise BrowserMissing("webkitgtk: there is no display and no Xvfb", self.remedy)
        reader, writer = os.pipe()
        try:
            display = subprocess.Popen(
                ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"],
                pass_fds=[writer],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            space.adopt(display)
        finally:
            os.close(writer)
        with os.fdopen(reader) as answer:
            number = answer.readline().strip()
        if not number:
            raise BrowserMissing("webkitgtk: Xvfb ended without a display", "run Xvfb by hand to see why")
        return f":{number}"
