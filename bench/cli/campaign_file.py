"""A campaign file as the command line takes it: read, checked against this machine, planned."""

from __future__ import annotations

from pathlib import Path

from bench.browsers import check_browser
from bench.cli.flags import with_grid
from bench.errors import InputError
from bench.plan.campaign import CampaignFile
from bench.plan.cells import Plan, make_plan
from bench.plan.reading import read_campaign
from bench.plan.request import Request
from bench.settings import load_settings


def load(
    path: Path, name: str | None = None, grid: str | None = None
) -> tuple[CampaignFile, list[Request], Plan]:
    """A campaign file, its arms and its plan.

    Raises:
        InputError: it cannot be read, or cannot be; one line with the place.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except (OSError, ValueError) as error:  # no UTF-8, a name with a NUL
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"campaign file {path} cannot be read: {reason}") from None
    file, arms = read_campaign(text, str(path))
    if name is not None:
        file = file.model_copy(update={"name": name})
    if grid is not None:
        file = file.model_copy(update={"run": file.run.model_copy(update={"grid": grid})})
    settings = with_grid(load_settings(), file.run.grid)
    for browser in dict.fromkeys(arm.browser for arm in arms):
        check_browser(browser, settings)
    definition = file.model_dump(mode="json")
    plan = make_plan(arms, file.run.seed, blocks=file.blocks, twin=file.a_a, definition=definition)
    return file, arms, plan
