"""What a run says of the program that measured it."""

import subprocess

import bench
from bench.harness.environment import commit_of, harness_version


def git(root, *words):
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(root), *words],
        check=True,
        capture_output=True,
    )


def test_a_run_names_the_commit_that_measured_it(tmp_path):
    assert commit_of(tmp_path) == ""
    git(tmp_path, "init")
    assert commit_of(tmp_path) == ""  # nothing is committed, so nothing can be named
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "kernel.wgsl").write_text("fn main() {}")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    clean = commit_of(tmp_path)
    head = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], capture_output=True, text=True)
    assert clean == f"+g{head.stdout[:10]}"
    (tmp_path / "notes.txt").write_text("does not run")
    assert commit_of(tmp_path) == clean
    (tmp_path / "bench" / "other.wgsl").write_text("runs, though nobody committed it")
    assert commit_of(tmp_path) == f"{clean}.dirty"
    assert commit_of(tmp_path / "bench") == ""  # installed inside a checkout that is not ours


def test_it_begins_with_the_version():
    assert harness_version().startswith(bench.__version__)
