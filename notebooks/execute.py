"""Executes the notebooks in a fresh kernel and saves what they say, without what changes from run to run.

`make notebooks` runs it; tests/test_notebooks.py executes them the same way and compares.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def read(path: Path) -> Any:
    """A notebook as it is committed."""
    return nbformat.read(path, as_version=4)


def execute(notebook: Any) -> Any:
    """A copy of it, executed from its first cell; an error in a cell is raised with the cell."""
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")  # Jupyter warns of its old folders without it
    made = nbformat.from_dict(notebook)
    client = NotebookClient(
        made,
        timeout=120,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--log-level=40"],  # it warns that it listens, which it does on 127.0.0.1 only
    )
    client.execute(cwd=str(FOLDER))
    return tidy(made)


def tidy(notebook: Any) -> Any:
    """Without times, ids by chance and versions: the same outputs give the same file."""
    notebook.metadata = nbformat.from_dict({"kernelspec": _KERNEL, "language_info": {"name": "python"}})
    count = 0
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = list(_joined(cell.outputs))
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = count
    return notebook


def _joined(outputs: list[Any]) -> Iterator[Any]:
    """What was printed comes in as many pieces as the kernel happened to send."""
    for (kind, name), pieces in groupby(outputs, key=lambda one: (one.output_type, one.get("name"))):
        if kind == "stream":
            text = "".join(piece.text for piece in pieces)
            yield nbformat.from_dict({"output_type": kind, "name": name, "text": text})
        else:
            yield from pieces


def main(names: list[str]) -> None:
    """Execute and save those named, or all."""
    for path in [FOLDER / name for name in names] or NOTEBOOKS:
        path.write_text(nbformat.writes(execute(read(path))) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
