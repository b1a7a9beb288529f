"""The host's GPUs by its own system, on made-up trees of /proc, /sys and /dev."""

from __future__ import annotations

import pytest

from bench.harness.hardware import _named, host_gpus, linux_gpus


def nvidia(root, address, model, minor, *, here=True):
    path = root / "proc/driver/nvidia/gpus" / address / "information"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"Model: \t\t {model}\nIRQ:   \t\t 42\nBus Location: \t {address}\nDevice Minor: \t {minor}\n"
    )
    (root / "dev").mkdir(exist_ok=True)
    if here:
        (root / "dev" / f"nvidia{minor}").touch()


def card(root, name, vendor, model, slot, driver, kind="0x030000"):
    folder = root / "sys/class/drm" / name / "device"
    folder.mkdir(parents=True)
    for file, text in {"vendor": vendor, "device": model, "class": kind}.items():
        (folder / file).write_text(text + "\n")
    (folder / "uevent").write_text(f"DRIVER={driver}\nPCI_SLOT_NAME={slot}\n")


def test_one_gpu_seen_by_its_driver_and_the_kernel_is_one(tmp_path):
    nvidia(tmp_path, "0000:04:00.0", "NVIDIA H100 80GB HBM3", 0)
    card(tmp_path, "card0", "0x10de", "0x2330", "0000:04:00.0", "nvidia")
    (tmp_path / "sys/class/drm/card0-HDMI-A-1").mkdir()
    (tmp_path / "sys/class/drm/renderD128").mkdir()
    assert linux_gpus(tmp_path) == ["NVIDIA H100 80GB HBM3"]


def test_two_gpus_are_two(tmp_path):
    nvidia(tmp_path, "0000:04:00.0", "NVIDIA H100 80GB HBM3", 0)
    nvidia(tmp_path, "0000:05:00.0", "NVIDIA H100 80GB HBM3", 1)
    assert linux_gpus(tmp_path) == ["NVIDIA H100 80GB HBM3"] * 2


def test_a_gpu_of_another_container_is_not_ours(tmp_path):
    nvidia(tmp_path, "0000:04:00.0", "NVIDIA H100 80GB HBM3", 0)
    nvidia(tmp_path, "0000:05:00.0", "NVIDIA H100 80GB HBM3", 1, here=False)
    card(tmp_path, "card1", "0x10de", "0x2330", "0000:05:00.0", "nvidia")
    assert linux_gpus(tmp_path) == ["NVIDIA H100 80GB HBM3"]


def test_a_laptop_has_two(tmp_path):
    card(tmp_path, "card0", "0x8086", "0x46a6", "0000:00:02.0", "i915")
    card(tmp_path, "card1", "0x1002", "0x73df", "0000:03:00.0", "amdgpu")
    assert linux_gpus(tmp_path) == ["Intel 0x46a6", "AMD 0x73df"]


@pytest.mark.parametrize("vendor", ["0x1234", "0x1af4", "0x15ad", "0x80ee", "0x1414"])
def test_an_emulated_adapter_is_none(tmp_path, vendor):
    card(tmp_path, "card0", vendor, "0x1111", "0000:00:02.0", "bochs-drm")
    assert linux_gpus(tmp_path) == []


def test_an_empty_system_has_none(tmp_path):
    assert linux_gpus(tmp_path) == []


def test_what_macos_and_windows_print():
    mac = '{"SPDisplaysDataType": [{"_name": "kHW_AppleM2Item", "sppci_model": "Apple M2"}]}'
    assert list(_named("Darwin", mac)) == ["Apple M2"]
    two = '[{"Name": "NVIDIA GeForce RTX 4090"}, {"Name": "Microsoft Basic Display Adapter"}]'
    assert list(_named("Windows", two)) == ["NVIDIA GeForce RTX 4090"]
    assert list(_named("Windows", '{"Name": "Intel(R) Arc"}')) == ["Intel(R) Arc"]


def test_this_host_answers():
    assert host_gpus() is None or all(name.strip() for name in host_gpus())
