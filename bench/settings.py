"""Where binaries, drivers, flags and caches are: environment first, then `bench.toml`, then discovery.

    [chrome]                                # CHROME_BINARY, CHROMEDRIVER, CHROME_GPU_FLAGS
    binary = "/opt/chrome/chrome"
    driver = "/opt/chrome/chromedriver"
    gpu_flags = "--use-angle=vulkan --enable-features=Vulkan"
    flags_f16 = "--enable-dawn-features=..." # CHROME_FLAGS_STOCK, CHROME_FLAGS_F16, CHROME_FLAGS_ALL
    library_path = "/opt/chrome/lib"
    [firefox]                               # FIREFOX_BINARY, GECKODRIVER
    [edge]                                  # EDGE_BINARY, EDGEDRIVER, EDGE_GPU_FLAGS, EDGE_FLAGS_...
    [webkitgtk]                             # WEBKITGTK_BINARY, WEBKITWEBDRIVER
    [harness]
    headless = true                         # BENCH_HEADLESS=0 shows the windows
    port = 0                                # BENCH_PORT, 0 takes a free one
    listen = "127.0.0.1"                    # BENCH_LISTEN, where the page server listens
    address = "127.0.0.1"                   # BENCH_ADDRESS, where browsers find it; else as `listen`
    grid = "http://127.0.0.1:4444"          # BENCH_GRID, a Selenium Grid for browsers elsewhere

`BENCH_SETTINGS` names another file; without it `bench.toml` in the working folder is read if it is there.
"""

from __future__ import annotations

import os
import shlex
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import InputError
from bench.plan.fields import RecordField
from bench.plan.request import GPU_FEATURES, GpuFeatures

# Environment names are those that hosts prepared for browsers already use.
_ENVIRONMENT: dict[str, dict[str, str]] = {
    "chrome": {
        "binary": "CHROME_BINARY",
        "driver": "CHROMEDRIVER",
        "gpu_flags": "CHROME_GPU_FLAGS",
        **{f"flags_{one}": f"CHROME_FLAGS_{one.upper()}" for one in GPU_FEATURES},
    },
    "edge": {
        "binary": "EDGE_BINARY",
        "driver": "EDGEDRIVER",
        "gpu_flags": "EDGE_GPU_FLAGS",
        **{f"flags_{one}": f"EDGE_FLAGS_{one.upper()}" for one in GPU_FEATURES},
    },
    "firefox": {"binary": "FIREFOX_BINARY", "driver": "GECKODRIVER"},
    "webkitgtk": {"binary": "WEBKITGTK_BINARY", "driver": "WEBKITWEBDRIVER"},
    "harness": {
        "headless": "BENCH_HEADLESS",
        "port": "BENCH_PORT",
        "listen": "BENCH_LISTEN",
        "address": "BENCH_ADDRESS",
        "grid": "BENCH_GRID",
        "alone": "BENCH_ALONE",
    },
}
# Browser -> setting -> the environment variable that sets it.
BROWSER_VARIABLES = {name: variables for name, variables in _ENVIRONMENT.items() if name != "harness"}

# Each variable that anything of ours reads, and what it is; docs/settings.md is made of this.
VARIABLES: dict[str, str] = {
    "CHROME_BINARY": "Chrome or Chromium",
    "CHROMEDRIVER": "its driver",
    "CHROME_GPU_FLAGS": "further flags, for each feature set without flags of its own; split as a shell does",
    "CHROME_FLAGS_STOCK": "all flags of the feature set `stock`, instead of our own and `CHROME_GPU_FLAGS`",
    "CHROME_FLAGS_F16": "the same for `f16`",
    "CHROME_FLAGS_ALL": "the same for `all`",
    "EDGE_BINARY": "Microsoft Edge",
    "EDGEDRIVER": "its driver",
    "EDGE_GPU_FLAGS": "further flags, for each feature set without flags of its own; split as a shell does",
    "EDGE_FLAGS_STOCK": "all flags of the feature set `stock`, instead of our own and `EDGE_GPU_FLAGS`",
    "EDGE_FLAGS_F16": "the same for `f16`",
    "EDGE_FLAGS_ALL": "the same for `all`",
    "FIREFOX_BINARY": "Firefox",
    "GECKODRIVER": "its driver",
    "WEBKITGTK_BINARY": "WebKitGTK's MiniBrowser",
    "WEBKITWEBDRIVER": "its driver",
    "BENCH_HEADLESS": "`0` shows the windows",
    "BENCH_PORT": "port of the page server; `0` takes a free one",
    "BENCH_LISTEN": "where the page server listens: `127.0.0.1`, or `0.0.0.0` for browsers elsewhere",
    "BENCH_ADDRESS": "the host by which browsers find the page server; else as `BENCH_LISTEN`",
    "BENCH_GRID": "a Selenium Grid whose browsers are used, as `--grid`",
    "BENCH_ALONE": "`0` lets sessions measure side by side on this machine; else each waits for its turn",
    "BENCH_DB": "database URL, as `--db`; else `sqlite:///results/bench.sqlite`",
    "BENCH_CACHE": "folder of browsers, weights and bundles; else the user's cache folder",
    "BENCH_OFFLINE": "`1` forbids downloads of weights",
    "BENCH_SETTINGS": "another settings file than `bench.toml`",
    "BENCH_SEQUENCE_LENGTH": "tokens where `--sequence-length` is not given; else 128",
    "BENCH_ITERATIONS": "samples where `--iterations` is not given; else as many as needed",
    "BENCH_TUNE": "where the constants of our kernels come from if `--tune` is not given; else auto",
    "BENCH_MAX_SECONDS": "seconds of sampling where `--max-seconds` is not given; else 5",
    "WEBNN_EXPERIMENTAL_PRECISION": "`1` is `--experimental-precision`",
}


class BrowserSettings(BaseModel):
    """One browser's own settings; None means: discover it."""

    model_config = ConfigDict(extra="forbid")

    binary: str | None = None
    driver: str | None = None
    gpu_flags: str | None = None
    flags_stock: str | None = None
    flags_f16: str | None = None
    flags_all: str | None = None
    library_path: str | None = None

    @field_validator("gpu_flags", "flags_stock", "flags_f16", "flags_all")
    @classmethod
    def _splits(cls, value: str | None) -> str | None:
        """Flags must split as a shell splits them; better said now than in every run."""
        shlex.split(value or "")
        return value

    def flags_of(self, features: GpuFeatures) -> str | None:
        """All flags of a feature set, where they are set."""
        flags: dict[GpuFeatures, str | None] = {
            "stock": self.flags_stock,
            "f16": self.flags_f16,
            "all": self.flags_all,
        }
        return flags[features]


class HarnessSettings(BaseModel):
    """Settings of the harness itself."""

    model_config = ConfigDict(extra="forbid")

    headless: bool = True
    port: int = Field(default=0, ge=0, le=65535)
    listen: str = Field(default="127.0.0.1", pattern=r"^[\w.-]+$")
    address: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    grid: str | None = None
    alone: bool = True

    @property
    def page_host(self) -> str:
        """The host that browsers load pages from."""
        return self.address or self.listen

    @property
    def elsewhere(self) -> bool:
        """Whether that is no loopback address, which browsers trust without encryption."""
        return self.page_host not in ("127.0.0.1", "localhost")


class Settings(BaseModel):
    """All settings, merged from the file and the environment."""

    model_config = ConfigDict(extra="forbid")

    chrome: BrowserSettings = BrowserSettings()
    edge: BrowserSettings = BrowserSettings()
    firefox: BrowserSettings = BrowserSettings()
    webkitgtk: BrowserSettings = BrowserSettings()
    safari: BrowserSettings = BrowserSettings()
    harness: HarnessSettings = HarnessSettings()

    def browser(self, name: str) -> BrowserSettings:
        """The settings of one browser; empty ones for a name without a section."""
        found = getattr(self, name, None)
        return found if isinstance(found, BrowserSettings) else BrowserSettings()


def cache_root() -> Path:
    """Where browsers, weights and bundles are kept: `BENCH_CACHE`, else the user's cache folder."""
    override = os.environ.get("BENCH_CACHE")
    return Path(override).expanduser() if override else Path(platformdirs.user_cache_dir("webquant-bench"))


def check_cache() -> None:
    """Write into the cache and take it away again, before anything else is begun.

    Raises:
        InputError: it cannot be written.
    """
    root = cache_root()
    try:
        made = [one for one in (root, *root.parents) if not one.exists()]
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=root, prefix=".try-") as file:
            file.write(b"x")
        for one in made:  # whatever is refused after this leaves nothing behind
            one.rmdir()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot write into the cache {root}: {reason}; make room or allow it, or name another folder: "
            "export BENCH_CACHE=DIR"
        ) from None


def load_settings() -> Settings:
    """Read the settings file, if there is one, and lay the environment over it.

    Raises:
        InputError: the file is missing, is not TOML, or has an unknown key or a bad value.
    """
    named = os.environ.get("BENCH_SETTINGS")
    path = Path(named or "bench.toml")
    data: dict[str, dict[str, object]] = {}
    if path.is_file():
        try:
            # Some editors begin a file with a byte order mark.
            data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"settings file {path} is not valid TOML: {error}") from error
        except OSError as error:
            raise InputError(f"settings file {path} cannot be read: {error.strerror}") from error
    elif named:
        raise InputError(f"settings file {path} (from BENCH_SETTINGS) does not exist")
    for section, names in _ENVIRONMENT.items():
        for key, variable in names.items():
            if value := os.environ.get(variable):
                data.setdefault(section, {})[key] = value
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"setting {place} = {first['input']!r}: {first['msg']} (from {path} or the environment)"
        ) from None


def unless_given(field: RecordField) -> Any:
    """What a flag that was not given stands for: the field's environment variable first, then its default.

    Raises:
        InputError: the variable says something that the field cannot be.
    """
    text = os.environ.get(field.flag.variable, "").strip() if field.flag.variable else ""
    if not text:
        return field.default
    if field.kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise InputError(f"{field.flag.variable}={text}: not allowed; allowed: 1 or 0")
    return _number(field.flag.variable, text, whole=field.kind is int)


def _number(variable: str, text: str, *, whole: bool) -> float:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        kind = "a whole number" if whole else "a number"
        raise InputError(f"{variable}={text}: not allowed; allowed: {kind} greater than 0")
    return value
