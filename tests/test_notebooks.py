"""Each notebook runs in a fresh kernel, and says what it was committed with."""

from __future__ import annotations

import copy
import re

import nbformat
import pytest

import execute

NAMES = ("first_look", "precision_against_accuracy", "regression_hunt")
BY_NAME = {path.stem: path for path in execute.NOTEBOOKS}


def said(notebook):
    """Everything that its cells gave; of a picture only that it is one, since fonts differ."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type in ("stream", "execute_result", "display_data"), output
            if output.output_type == "stream":
                assert output.name == "stdout", output.text
                found.append(output.text)
            elif "image/png" in output.data:
                found.append("picture")
            else:
                data = output.data
                found.append(data.get("text/markdown") or data.get("text/html") or data["text/plain"])
    return found


def test_there_are_three():
    assert sorted(BY_NAME) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_says_what_it_was_committed_with(name):
    committed = execute.read(BY_NAME[name])
    made = execute.execute(copy.deepcopy(committed))
    assert said(made) == said(committed), "type `make notebooks`, and read what it says now"
    assert "picture" in said(made)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_saved_without_what_changes_by_itself(name):
    text = BY_NAME[name].read_text(encoding="utf-8")
    notebook = execute.read(BY_NAME[name])
    assert nbformat.writes(execute.tidy(copy.deepcopy(notebook))) + "\n" == text, "type `make notebooks`"
    nbformat.validate(notebook)
    assert len(text) < 1_500_000
    conclusion = next(i for i, one in enumerate(notebook.cells) if "## Conclusion" in one.source)
    assert said(nbformat.from_dict({"cells": notebook.cells[conclusion:]}))


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_takes_its_numbers_from_a_published_set(name):
    sources = "\n".join(cell.source for cell in execute.read(BY_NAME[name]).cells)
    assert "bench.load_runs(DB" in sources
    named = set(re.findall(r"sqlite:///(\S+?)\"", sources))
    assert named and all((execute.FOLDER / path).is_file() for path in named)
    assert all(re.fullmatch(r"\.\./results/[\w-]+/runs\.sqlite", path) for path in named)
