"""Mozilla Firefox: WebGPU through wgpu, no WebNN."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.browsers import install
from bench.browsers.base import Browser, Build, Role
from bench.browsers.chromium import existing
from bench.browsers.process import SessionSpace
from bench.settings import Settings

if TYPE_CHECKING:
    from selenium import webdriver
    from selenium.webdriver.remote.webdriver import WebDriver

_PATHS = (
    "/Applications/Firefox.app/Contents/MacOS/firefox",
    r"C:\Program Files\Mozilla Firefox\firefox.exe",
)
_SCRIPT_BYTES = 4096
# WebGPU on, also where the blocklist knows only software adapters; everything that phones home off.
PREFERENCES: dict[str, bool | int | str] = {
    "dom.webgpu.enabled": True,
    "gfx.webgpu.ignore-blocklist": True,
    "app.update.enabled": False,
    "browser.aboutHomeSnippets.updateUrl": "",
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.prefetch-next": False,
    "network.proxy.type": 0,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.unified": False,
    # An unfocused window's timers and a slow page's script must not be throttled or stopped.
    "dom.min_background_timeout_value": 4,
    "dom.max_script_run_time": 0,
}


def _wrapped(path: Path, others: list[Path]) -> bool:
    """Whether another of the executables is a script that starts this one, as Debian's `firefox` is."""
    scripts = [other for other in others if other != path and other.stat().st_size < _SCRIPT_BYTES]
    return any(path.name.encode() in script.read_bytes() for script in scripts)


class Firefox(Browser):
    """Release, ESR or Nightly; geckodriver from the path or the one `bench browsers install` fetched."""

    name: ClassVar[str] = "firefox"

    @property
    def remedy(self) -> str:
        """What to type where it is missing."""
        return "type `bench browsers install firefox`, or set FIREFOX_BINARY"

    def role(self, command: Sequence[str]) -> Role | None:
        """What a process of it is: the last word of a child's command line says it."""
        if "-contentproc" in command:
            last: dict[str, Role] = {"tab": "page", "gpu": "gpu"}
            return last.get(command[-1])
        named = Path(command[0]).name if command else ""
        return "main" if named.startswith("firefox") else None

    def builds(self, settings: Settings) -> list[Build]:
        """The builds on this machine, best first."""
        if settings.firefox.binary:
            return [self._build(Path(settings.firefox.binary), "setting", settings)]
        found = existing(shutil.which("firefox"), shutil.which("firefox-esr"), *_PATHS)
        return [self._build(path, "installed", settings) for path in found if not _wrapped(path, found)]

    def build_at(self, binary: Path, settings: Settings) -> Build:
        """The build with that executable."""
        return self._build(binary, "setting", settings)

    def flags(self, build: Build, settings: Settings) -> list[str]:
        """The preferences that differ from Firefox's own and touch what is measured."""
        shown = [f"{name}={str(value).lower()}" for name, value in PREFERENCES.items() if "webgpu" in name]
        return [*(["-headless"] if settings.harness.headless else []), *shown]

    def start(self, build: Build, space: SessionSpace, settings: Settings) -> WebDriver:
        """Start it headless; geckodriver makes the fresh profile inside the session's folder."""
        from selenium import webdriver
        from selenium.webdriver.firefox.service import Service

        profiles = space.folder / "profiles"
        profiles.mkdir(exist_ok=True)
        service = Service(
            executable_path=str(build.driver) if build.driver else None,
            service_args=["--profile-root", str(profiles)],
            # Its own HOME keeps profiles.ini and crash reports out of the user's.
            env=space.environment(
                HOME=str(profiles), MOZ_CRASHREPORTER_DISABLE="1", MOZ_REMOTE_SETTINGS_DEVTOOLS="1"
            ),
            log_output=str(space.log),
            popen_kw={"start_new_session": True},
        )
        return webdriver.Firefox(options=self.options(build, settings), service=service)

    def options(self, build: Build, settings: Settings) -> webdriver.FirefoxOptions:
        """What a session is asked for."""
        from selenium import webdriver

        options = webdriver.FirefoxOptions()
        if build.binary:
            options.binary_location = str(build.binary)
        if settings.harness.headless:
            options.add_argument("-headless")
        for name, value in PREFERENCES.items():
            options.set_preference(name, value)
        if settings.harness.elsewhere:
            # Without it the page is no secure context there: no WebGPU, and the coarse clock.
            options.set_preference("dom.securecontext.allowlist", settings.harness.page_host)
        options.set_capability("unhandledPromptBehavior", "dismiss and notify")
        return options

    @staticmethod
    def _build(binary: Path, source: str, settings: Settings) -> Build:
        driver = existing(settings.firefox.driver, shutil.which("geckodriver"), install.fetched_geckodriver())
        return Build("firefox", binary, driver[0] if driver else None, source)
