"""The host's own GPUs, by what its system says: no browser is asked, for some name no adapter.

Emulated display adapters of virtual machines are none.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

# PCI vendors of display adapters that hypervisors make up: QEMU (three), VMware, VirtualBox, Hyper-V, Cirrus.
_EMULATED = frozenset(("0x1234", "0x1af4", "0x1b36", "0x15ad", "0x80ee", "0x1414", "0x1013"))
_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_NOT_HARDWARE = (
    "basic display",
    "basic render",
    "remote display",
    "virtual",
    "hyper-v",
    "vmware",
    "parallels",
)
_DISPLAY = "0x03"  # PCI class of display controllers
_SECONDS = 20


@cache
def host_gpus() -> tuple[str, ...] | None:
    """The names of this host's hardware GPUs; None where the system does not say."""
    system = platform.system()
    if system == "Linux":
        return tuple(linux_gpus(Path("/")))
    command = _COMMANDS.get(system)
    if command is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
        return tuple(_named(system, done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None


_COMMANDS: dict[str, Sequence[str]] = {
    "Darwin": ("system_profiler", "SPDisplaysDataType", "-json"),
    "Windows": (
        "powershell",
        "-NoProfile",
        "-Command",
        "@(Get-CimInstance Win32_VideoController | Select-Object Name) | ConvertTo-Json -Compress",
    ),
}


def _named(system: str, text: str) -> Iterator[str]:
    """Names out of what `system_profiler` or PowerShell printed.

    Raises:
        ValueError, KeyError, TypeError: it is not what they print.
    """
    data = json.loads(text)
    if system == "Darwin":
        names = [str(one.get("sppci_model") or one["_name"]) for one in data["SPDisplaysDataType"]]
    else:
        names = [str(one["Name"]) for one in (data if isinstance(data, list) else [data])]
    yield from (name for name in names if not any(word in name.lower() for word in _NOT_HARDWARE))


def linux_gpus(root: Path) -> list[str]:
    """GPUs under a Linux system's root: NVIDIA's by its driver, others by the kernel's display drivers.

    A GPU of NVIDIA without a device file is another container's and cannot be used here.
    """
    found: dict[str, str] = {}  # PCI address -> name
    hidden = set()
    for path in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        facts = _facts(path)
        address = facts.get("Bus Location", path.parent.name)
        device = root / "dev" / f"nvidia{facts.get('Device Minor', '')}"
        if device.exists():
            found[address] = facts.get("Model", "NVIDIA GPU")
        else:
            hidden.add(address)
    for path in sorted(root.glob("sys/class/drm/card*")):
        if not path.name.removeprefix("card").isdecimal():  # card0-HDMI-A-1 is a connector
            continue
        device = path / "device"
        kind, vendor, model = (_line(device / name) for name in ("class", "vendor", "device"))
        facts = _facts(device / "uevent", "=")
        address = facts.get("PCI_SLOT_NAME", path.name)
        emulated = vendor in _EMULATED or (kind and not kind.startswith(_DISPLAY))
        if address in found or address in hidden or emulated or not (vendor or facts.get("DRIVER")):
            continue
        driver = facts.get("DRIVER", "")
        if driver in ("vgem", "vkms", "simple-framebuffer", "virtio_gpu"):
            continue
        found[address] = f"{_VENDORS.get(vendor, vendor or driver)} {model or 'GPU'}".strip()
    return list(found.values())


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _facts(path: Path, sign: str = ":") -> dict[str, str]:
    """`name: value` lines."""
    pairs = (line.partition(sign) for line in _line(path).splitlines())
    return {name.strip(): value.strip() for name, found, value in pairs if found}
