"""Somebody who reads a page of the docs and types what stands there, in order, in a folder of their own."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FENCE = re.compile(r"^```([\w-]*)(?: title=\"([^\"]+)\")?[^\n]*\n(.*?)^```$", re.M | re.S)
_EXPECTED = re.compile(r"\s+# exit code (\d+)$")
_REMARK = re.compile(r"\s{2,}# .*$")
PRINTS = "prints"  # the title of a block that shows what the block before it prints


@dataclass(frozen=True)
class Fence:
    """One fenced block of a page."""

    page: Path
    language: str
    title: str | None
    text: str

    @property
    def commands(self) -> list[tuple[str, int]]:
        """Each command of a bash block on one line, without its remark, and the exit code it must have."""
        lines = self.text.replace("\\\n", " ").splitlines()
        found = []
        for line in filter(None, (" ".join(line.split("\t")).strip() for line in lines)):
            code = _EXPECTED.search(line)
            command = _EXPECTED.sub("", line) if code else _REMARK.sub("", line)
            if not command.startswith("#"):
                found.append((re.sub(r" {2,}", " ", command), int(code[1]) if code else 0))
        return found


def fences(page: Path) -> list[Fence]:
    """Every fenced block, in order."""
    text = page.read_text(encoding="utf-8")
    return [Fence(page, *found.groups()) for found in _FENCE.finditer(text)]


@dataclass
class Reader:
    """Types the blocks of a page; environment and folder are those of the process meanwhile.

    Attributes:
        rewrite: what a line or file becomes before it is typed or written.
        not_typed: lines that are passed over.
        may_end: for a line, further exit codes that are right here.
    """

    folder: Path
    rewrite: list[tuple[str, str]]
    not_typed: set[str]
    may_end: dict[str, int] = field(default_factory=dict)
    printed: str = ""

    def read(self, page: Path) -> None:
        """Do everything that stands on the page.

        Raises:
            AssertionError: a command ended otherwise than the page says, or printed something else.
        """
        for fence in fences(page):
            if fence.title == PRINTS:
                self._compare(fence)
            elif fence.title is not None:
                (self.folder / fence.title).write_text(self._shortened(fence.text), encoding="utf-8")
            elif fence.language == "bash":
                self.printed = "".join(
                    self._type(command, code)
                    for command, code in fence.commands
                    if command not in self.not_typed
                )
            elif fence.language == "python":
                said = io.StringIO()
                with contextlib.redirect_stdout(said):
                    exec(compile(self._shortened(fence.text), str(page), "exec"), {"__name__": "page"})
                self.printed = said.getvalue()

    def _type(self, command: str, expected: int) -> str:
        __tracebackhide__ = True  # the message says it all
        command = self._shortened(command)
        words = shlex.split(command)
        if words[0] == "export":
            os.environ.update(word.split("=", 1) for word in words[1:])
            return ""
        # A process a command, as a reader has it: what another module happened to import is not there.
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=600
        )
        code, out, said = done.returncode % 256, done.stdout, done.stderr
        allowed = {expected, *(end for part, end in self.may_end.items() if part in command)}
        assert code in allowed, f"{command}\nended with {code}, not {expected}:\n{out}{said}"
        return out

    def _shortened(self, text: str) -> str:
        published = "results/20" in text or "results/20" in os.environ.get("BENCH_DB", "")
        for pattern, by in [] if published else self.rewrite:
            text = re.sub(pattern, by, text)
        return text

    def _compare(self, fence: Fence) -> None:
        wanted, found = (
            [line.rstrip() for line in text.strip().splitlines()] for text in (fence.text, self.printed)
        )
        if wanted == found:
            return
        if os.environ.get("DOCS_WRITE"):  # how such a block is made, and made anew
            text = fence.page.read_text(encoding="utf-8")
            block = f'```text title="{PRINTS}"\n'
            new = block + "".join(f"{line}\n" for line in found) + "```"
            fence.page.write_text(text.replace(f"{block}{fence.text}```", new, 1), encoding="utf-8")
            return
        raise AssertionError(
            "\n".join(difflib.unified_diff(wanted, found, "the page", "printed", lineterm=""))
        )
