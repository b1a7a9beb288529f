"""What is no plain file is written into, and never replaced by one. Devices and pipes are the test's own."""

import os
import stat
import threading

import pytest

from bench.report.output import write_file


def test_a_pipe_is_written_into(tmp_path):
    pipe, said = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: said.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, b"rows")
    reader.join(10)
    assert said == [b"rows"] and stat.S_ISFIFO(pipe.stat().st_mode)
    assert [one.name for one in tmp_path.iterdir()] == ["pipe"]


def test_a_device_stays_one(tmp_path):
    """As root, who could replace /dev/null for the whole machine; this is a node like it, of our own."""
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.open("wb").close()
    except PermissionError:
        pytest.skip("only root makes devices")
    write_file(device, b"rows")
    assert stat.S_ISCHR(device.stat().st_mode) and device.stat().st_rdev == os.makedev(1, 3)
    link = tmp_path / "link"
    link.symlink_to(device)
    write_file(link, b"rows")
    assert link.is_symlink() and stat.S_ISCHR(device.stat().st_mode)


def test_a_link_to_a_file_stays_and_the_file_is_replaced_whole(tmp_path):
    (tmp_path / "kept").mkdir()
    target, link = tmp_path / "kept" / "report.md", tmp_path / "latest.md"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_file(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert [one.name for one in target.parent.iterdir()] == ["report.md"]
