"""Runs the cells of a campaign one after the other and stores each before the next begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.bundle import prune
from bench.errors import InputError
from bench.harness.outcome import Outcome
from bench.harness.run import execute
from bench.harness.server import PageServer
from bench.harness.session import RunSettings
from bench.harness.stop import Stop
from bench.models.catalog import ModelSource, resolve
from bench.plan.request import Request
from bench.record import RunRecord
from bench.settings import Settings
from bench.store import Campaign, CampaignState, Store

Sources = Mapping[tuple[str, str | None], ModelSource]


@dataclass
class Report:
    """What a campaign came to: its records in order, and whether it was stopped."""

    campaign: Campaign
    records: list[RunRecord] = field(default_factory=list)
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 all well, 1 a run failed, 3 nothing could run, 130 interrupted.

        An error in experimental mode is the result that was asked for, not a failure.
        """
        if self.interrupted:
            return 130
        failed = [
            record
            for record in self.records
            if record.outcome.failed
            and not (record.outcome is Outcome.ERROR and record.requested.experimental)
        ]
        if failed:
            return 1
        nothing = (Outcome.UNAVAILABLE, Outcome.UNSUPPORTED)
        return 3 if self.records and all(record.outcome in nothing for record in self.records) else 0


def resolve_models(requests: Sequence[Request], say: Callable[[str], None]) -> Sources:
    """Find the weights of every model and check every shape, before anything is written.

    Raises:
        InputError: an unknown model, unusable weights, or a shape the model does not allow.
    """
    sources: dict[tuple[str, str | None], ModelSource] = {}
    shapes: set[tuple[str, str | None, int, int]] = set()
    for request in requests:
        key = (request.model, request.weights)
        if key not in sources:
            sources[key] = resolve(request.model, request.weights, progress=say)
        shape = (*key, request.batch_size, request.sequence_length)
        if shape not in shapes:
            sources[key].graph(request.batch_size, request.sequence_length)
            shapes.add(shape)
    return sources


def run_campaign(
    store: Store,
    campaign: Campaign,
    sources: Sources,
    server: PageServer,
    settings: Settings,
    run_settings: RunSettings,
    *,
    say: Callable[[Request, int, str], None],
    done: Callable[[RunRecord, int], None],
    save_outputs: Path | None = None,
    stop: Stop | None = None,
) -> Report:
    """Run every cell; a failing one never stops the next, a wish to stop does.

    Args:
        store: where each run goes as soon as it ends.
        campaign: as it was planned.
        sources: from `resolve_models`.
        server: running, so that a port in use was found before the plan was written.
        settings: binaries and flags.
        run_settings: how each run is measured.
        say: told what goes on: request, position, a few words.
        done: told of each finished run and its position.
        save_outputs: folder for inputs and outputs as `RUN/<tensor>.npy`.
        stop: ends the run in hand as `interrupted`, and the campaign with it.
    """
    stop = stop or Stop()
    report = Report(campaign)
    store.set_state(campaign.id, CampaignState.RUNNING)
    with stop.patient():
        for cell in campaign.cells:
            if stop.requested:  # it came while the last run was being put away
                report.interrupted = True
                break
            request = cell.request
            source = sources[request.model, request.weights]
            position = cell.position

            def tell(words: str, request: Request = request, position: int = position) -> None:
                say(request, position, words)

            result = execute(request, source, server, settings, run_settings, tell, stop)
            record = result.record
            record.id = store.record(cell.id, record)
            if save_outputs:
                try:
                    save_tensors(save_outputs / str(record.id), result.inputs, result.outputs, request)
                except OSError as error:  # the run is stored; its tensors are a courtesy
                    tell(f"outputs not saved: {error}")
            report.records.append(record)
            done(record, position)
            if result.interrupted:
                report.interrupted = True
                break
    if not report.interrupted:
        store.set_state(campaign.id, CampaignState.DONE)
    prune()
    return report


def save_tensors(
    folder: Path, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], request: Request
) -> None:
    """Write inputs and outputs of the first input set as .npy, sequences as [batch, tokens, features]."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in {**inputs, **outputs}.items():
        shaped = values
        if name == "last_hidden_state":
            shaped = values.reshape(request.batch_size, request.sequence_length, -1)
        np.save(folder / f"{name}.npy", shaped)


def check_output_folder(folder: Path) -> None:
    """Make sure that outputs can be written there, and make nothing yet: what follows may still be refused.

    Raises:
        InputError: they cannot.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"--save-outputs {folder}: {nearest} is a file; name a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"--save-outputs {folder}: {nearest} cannot be written; name another folder")
