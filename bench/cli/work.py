"""What every command that measures does: check everything, start a runner, run a campaign's open cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cli.faults import bring, runner
from bench.cli.progress import Progress
from bench.errors import InputError
from bench.harness.asked import RunSettings
from bench.harness.campaign import Policy, Report, Sources, Watching, resolve_models, run_campaign
from bench.harness.checks import look
from bench.harness.stop import Stop
from bench.harness.supervisor import Supervisor
from bench.plan.campaign import Checks
from bench.plan.estimate import Forecast
from bench.plan.measuring import kept
from bench.plan.request import STOCK, Request
from bench.report.row import rows_of
from bench.settings import Settings, check_cache
from bench.store import Campaign, CellState, Status, Store, open_store
from bench.store.address import parse_url, sqlite_path


@dataclass(frozen=True)
class Work:
    """What is to run, and how.

    Attributes:
        arms: what is still to run; their models are found before anything is written.
        campaign: gives the campaign from the open store and the models, writing its plan where it is new.
        settings: of this machine.
        db: the database; its default where it is None.
        create: whether the database may be made.
        policy: retries, budgets and breaker.
        checks: what is looked at before the first run.
        fault: what is broken on purpose.
        probe: whether a browser without the feature set that is asked of it is bad input.
        save_outputs: a folder for inputs and outputs.
        keep: whether the records are given back too.
    """

    arms: Sequence[Request]
    campaign: Callable[[Store, Sources], Campaign]
    settings: Settings
    db: str | None
    create: bool
    policy: Policy
    checks: Checks | None = None
    fault: str | None = None
    probe: bool = True
    save_outputs: Path | None = None
    keep: bool = False


def work(what: Work, stop: Stop | None = None) -> tuple[Report, Status]:
    """Check everything, then run every open cell; progress goes to stderr.

    Returns:
        the report, and where the campaign is then.

    Raises:
        InputError: anything that is wrong before the first run; then nothing was written.
        KeyboardInterrupt: stopped before the first run.
    """
    stop = stop or Stop()
    check_cache()
    # The database comes last: whatever is refused before it, a port in use too, leaves none behind.
    with (
        stop.signals(),
        Progress() as progress,
        Supervisor(what.settings, runner=runner(what.fault)) as supervisor,
    ):
        supervisor.begin()
        sources = resolve_models(what.arms, progress.note)
        for source in sources.values():
            if source.note:
                progress.note(source.note)
        stop.check()
        for text in look(what.checks, sqlite_path(parse_url(what.db))) if what.checks else []:
            progress.note(text)
        if what.probe and any(arm.gpu_features not in (None, STOCK) for arm in what.arms):
            from bench.harness.feature_sets import check_feature_sets  # starts browsers, here

            check_feature_sets(what.arms, what.settings, stop, progress.note)
        supervisor.start()
        with open_store(what.db, create=what.create) as store:
            campaign = what.campaign(store, sources)
            _check_models(store, campaign, sources)
            report = _run(what, store, campaign, sources, supervisor, progress, stop)
            return report, store.status(campaign.id)


def _run(
    what: Work,
    store: Store,
    campaign: Campaign,
    sources: Sources,
    supervisor: Supervisor,
    progress: Progress,
    stop: Stop,
) -> Report:
    opened = open_cells(store, campaign)
    forecast = Forecast(store.durations())
    for request, seconds in store.durations(campaign.id):
        forecast.note(request, seconds)
    cells = [cell for cell in campaign.cells if cell.position in opened]
    progress.begin(campaign.name, store.url, len(campaign.cells), cells, forecast)
    return run_campaign(
        store,
        campaign,
        sources,
        supervisor,
        RunSettings(**kept(campaign.settings), fault=what.fault),
        what.policy,
        Watching(progress.say, progress.done, progress.note),
        save_outputs=what.save_outputs,
        stop=stop,
        keep=what.keep,
        bring=bring(what.fault),
    )


def open_cells(store: Store, campaign: Campaign) -> set[int]:
    """Positions of the cells that have not ended."""
    return {
        row["position"]
        for row in store.cells(campaign=campaign.id)
        if row["state"] in (CellState.PLANNED.value, CellState.LEASED.value)
    }


def _check_models(store: Store, campaign: Campaign, sources: Sources) -> None:
    """The models of a campaign stay what they were when it began: cells of one arm are of one model.

    Raises:
        InputError: a folder has other weights, config or tokenizer by now.
    """
    columns = ("requested_model", "requested_weights", "model_sha256")
    for row in rows_of(store.side(None, columns, campaign=campaign.id)):
        source = sources.get((row["requested_model"], row["requested_weights"]))
        known = row["model_sha256"]
        # Rows of before 2026-11-25 have the hash of the weights alone.
        if source is not None and known not in (None, source.sha256, source.weights_sha256):
            raise InputError(
                f"{row['requested_weights'] or row['requested_model']} is another model than the campaign "
                f"{campaign.name!r} began with (sha256 {(known or '')[:12]}, now {source.sha256[:12]}): put "
                "back what it was, or run it under another --name"
            )
