"""Works on a campaign: leases cell after cell, has the runner run each, and stores it before the next."""

from __future__ import annotations

import contextlib
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.bundle import prune
from bench.engines import check_installed, engine_of
from bench.errors import RunFailure, StoreError, StoreGone
from bench.harness import circumstances, identity, spool
from bench.harness.asked import RunSettings
from bench.harness.breaker import Breaker
from bench.harness.injection import Bring, nothing
from bench.harness.outcome import Outcome, Stage
from bench.harness.stop import Stop
from bench.harness.supervisor import Supervisor
from bench.harness.tuned import found_in, with_constants
from bench.metrics import DECODE, LATENCY
from bench.models.catalog import ModelSource, resolve
from bench.models.program import Program
from bench.plan.cells import Plan
from bench.plan.request import GENERATE, Request
from bench.record import RunRecord
from bench.store import Campaign, CampaignState, Lease, Store

Sources = Mapping[tuple[str, str | None], ModelSource]

LEASE_SECONDS = 90.0
BEAT_SECONDS = 15.0


@dataclass(frozen=True)
class Policy:
    """What a worker does beside running cells.

    Attributes:
        attempts: runs of one cell at most, interrupted ones not counted.
        retry_on: outcomes that are tried again.
        breaker: failures in a row after which a browser is left alone; 0 for never.
        max_cell_seconds: for a whole run; None for no limit.
        max_minutes: no cell begins later than so long after the start; None for no limit.
        precision: half-width of every ratio at which further blocks need not run; None to run them all.
        blocks: run in any case.
    """

    attempts: int = 1
    retry_on: tuple[Outcome, ...] = ()
    breaker: int = 5
    max_cell_seconds: float | None = None
    max_minutes: float | None = None
    precision: float | None = None
    blocks: int = 1


@dataclass
class Report:
    """What a campaign came to, as far as this worker saw it.

    Attributes:
        campaign: as it was planned.
        records: the runs of this worker in order, without their samples; empty where none are kept.
        interrupted: whether it was stopped.
        note: why it ended before its last cell, in a few words.
        finals: the last run of every cell of the campaign: what was asked, and its outcome.
    """

    campaign: Campaign
    records: list[RunRecord] = field(default_factory=list)
    interrupted: bool = False
    note: str | None = None
    finals: list[tuple[Request, Outcome]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 all well, 1 a cell's last run failed, 3 nothing could run, 130 interrupted.

        An error in experimental mode is the result that was asked for, not a failure.
        """
        if self.interrupted:
            return 130
        for request, outcome in self.finals:
            if outcome.failed and not (outcome is Outcome.ERROR and request.experimental):
                return 1
        nothing = (Outcome.UNAVAILABLE, Outcome.UNSUPPORTED)
        return 3 if self.finals and all(outcome in nothing for _, outcome in self.finals) else 0


@dataclass
class Watching:
    """Who is told what goes on.

    Attributes:
        say: request, position, a few words.
        done: a finished run, its position.
        note: a line that stays.
    """

    say: Callable[[Request, int, str], None]
    done: Callable[[RunRecord, int], None]
    note: Callable[[str], None]


def resolve_models(requests: Sequence[Request], say: Callable[[str], None]) -> Sources:
    """Find the weights of every model and check every shape, before anything is written.

    Raises:
        InputError: an engine that is not installed, an unknown model, unusable weights, a shape the model or
            the engine does not allow, or tokens asked of a model that writes none.
    """
    check_installed(requests)
    sources: dict[tuple[str, str | None], ModelSource] = {}
    programs: dict[tuple[str, str | None, int, int, int | None], Program] = {}
    for request in requests:
        key = (request.model, request.weights)
        if key not in sources:
            sources[key] = resolve(request.model, request.weights, progress=say)
        source, generate = sources[key], settled(request, sources).generate
        shape = (*key, request.batch_size, request.sequence_length, generate)
        if shape not in programs:
            programs[shape] = source.program(request.batch_size, request.sequence_length, generate)
        engine_of(request).check(request, programs[shape])
    return sources


def settled(request: Request, sources: Sources) -> Request:
    """The request with the number of tokens that runs, so that a flag and its default are the same arm."""
    if request.generate is None and sources[request.model, request.weights].writes:
        return request.model_copy(update={"generate": GENERATE})
    return request


def settled_plan(plan: Plan, sources: Sources) -> Plan:
    """A plan whose requests are `settled`.

    Raises:
        InputError: two of its arms are one then.
    """
    return plan.settled(lambda request: settled(request, sources))


def run_campaign(
    store: Store,
    campaign: Campaign,
    sources: Sources,
    supervisor: Supervisor,
    measure: RunSettings,
    policy: Policy,
    watching: Watching,
    *,
    save_outputs: Path | None = None,
    stop: Stop | None = None,
    keep: bool = True,
    bring: Bring = nothing,
) -> Report:
    """Run every open cell; a failing one never stops the next, a wish to stop does.

    Other workers may do the same at the same time. What ended with a worker that is gone becomes an
    `interrupted` run, and its cell runs again.

    Args:
        store: where each run goes as soon as it ends.
        campaign: as it was planned.
        sources: from `resolve_models`.
        supervisor: has the runner, started, so that a port in use was found before the plan was written.
        measure: how each run is measured.
        policy: retries, budgets, breaker.
        watching: who is told.
        save_outputs: folder for inputs and outputs as `RUN/<tensor>.npy`.
        stop: the first Ctrl-C finishes the run in hand, the second ends it as `interrupted`.
        keep: whether the report keeps the records; a campaign of days would fill the memory with them.
        bring: gives the fault that `measure` names, for the recording.

    Raises:
        StoreError: the database stayed locked, or refuses a write; what was stored stays.
        StoreGone: its file is no longer at its path; a copy of what it holds is kept.
    """
    stop = stop or Stop()
    work = _Work(
        store, campaign, sources, supervisor, measure, policy, watching, stop, save_outputs, keep, bring
    )
    try:
        return _run_all(store, campaign, work, watching, stop)
    except StoreGone as error:
        raise spool.rescue(store, campaign, error) from None


def _run_all(store: Store, campaign: Campaign, work: _Work, watching: Watching, stop: Stop) -> Report:
    store.set_state(campaign.id, CampaignState.RUNNING)
    for found in circumstances.look():
        watching.note(f"warning: {found.words}")

    def hint() -> None:
        watching.note("stopping after the run in hand; Ctrl-C again ends it at once")

    with stop.finishing(hint):
        work.all()
    report = work.report
    if report.interrupted or report.note:
        store.leave(campaign.id, report.note or "stopped by the user")
    else:
        store.settle(campaign.id)
    report.finals = store.finals(campaign.id)
    prune()
    return report


def _unfinished(
    request: Request, source: ModelSource | None, failure: RunFailure, started_at: str | None = None
) -> RunRecord:
    from bench.harness.run import unfinished  # with all that a runner needs: Selenium, the page server

    return unfinished(request, source, failure, started_at)


def write_off(lease: Lease) -> RunRecord:
    """The `interrupted` run of a worker that is gone."""
    worker = identity.parse(lease.owner)
    stage = Stage(lease.stage) if lease.stage in tuple(Stage) else Stage.LAUNCH
    failure = RunFailure(
        Outcome.INTERRUPTED,
        stage,
        f"the worker {worker.short if worker else lease.owner} is gone; last heard of at "
        f"{lease.heartbeat_at} in stage {stage.value}",
        name="WorkerGone",
    )
    return _unfinished(lease.cell.request, None, failure, lease.leased_at)


def release(store: Store, campaign: Campaign) -> list[Lease]:
    """Take in what workers that are gone have left: kept runs, leases, processes of theirs on this host."""
    spool.bring_back(store, campaign)
    taken = store.reap(campaign.id, identity.gone, write_off)
    for owner in {lease.owner for lease in taken}:
        worker = identity.parse(owner)
        if worker is not None and identity.gone(owner):
            identity.sweep(worker)
    return taken


@dataclass
class _Work:
    """One worker's way through a campaign."""

    store: Store
    campaign: Campaign
    sources: Sources
    supervisor: Supervisor
    measure: RunSettings
    policy: Policy
    watching: Watching
    stop: Stop
    save_outputs: Path | None
    keep: bool
    bring: Bring

    def __post_init__(self) -> None:
        self.report = Report(self.campaign)
        self.breaker = Breaker(self.policy.breaker)
        self._begun = time.monotonic()
        self._beaten = 0.0
        self._asked: set[int] = set()

    def all(self) -> None:
        """Cell after cell until none is open, the budget is spent, or a stop is asked for."""
        while not self.report.interrupted:
            if self.stop.soon:
                self.report.interrupted = True
                return
            if self._spent():
                return
            for lost in release(self.store, self.campaign):
                self.watching.note(f"runs again, its worker is gone: {lost.cell.request.label}")
            lease = self.store.claim(self.campaign.id, self.supervisor.worker.name, LEASE_SECONDS)
            if lease is None:
                if self._others_left():
                    continue
                return
            self._cell(lease)

    def _spent(self) -> bool:
        limit = self.policy.max_minutes
        if limit is None or time.monotonic() - self._begun < limit * 60:
            return False
        self.report.note = f"the budget of {limit:g} minutes is spent"
        return True

    def _others_left(self) -> bool:
        """Whether another worker, in going, has stopped the campaign while cells are open for us."""
        status = self.store.status(self.campaign.id)
        if status.state is CampaignState.CANCELLED:
            self.report.note = "cancelled"
        if status.state is not CampaignState.INTERRUPTED or not status.cells.get("planned"):
            return False
        self.store.set_state(self.campaign.id, CampaignState.RUNNING)
        return True

    def _cell(self, lease: Lease) -> None:
        request, position = lease.cell.request, lease.cell.position
        source = self.sources[request.model, request.weights]
        words = self.breaker.open(request.browser)
        folder = self.save_outputs / f".{self.supervisor.worker.nonce}" if self.save_outputs else None
        if words is None:
            record = self._run(lease, source, folder)
        else:
            failure = RunFailure(Outcome.UNAVAILABLE, Stage.LAUNCH, words, name="BreakerOpen")
            record = _unfinished(request, source, failure)
        self.breaker.note(record)
        again = record.outcome in self.policy.retry_on and lease.failures + 1 < self.policy.attempts
        owner = self.supervisor.worker.name
        try:
            with self.bring(self.measure.fault).recording(self.store.engine):
                record.id = self.store.record(lease.cell.id, record, owner=owner, again=again)
        except StoreError as error:
            path = spool.keep(self.campaign, lease.cell.id, owner, record)
            kept = f"the last run waits in {path}" if path else "the last run is lost, its cell runs again"
            if isinstance(error, StoreGone):
                raise StoreGone(error.path, f" ({kept})") from None
            resume = f"bench campaign resume {shlex.quote(self.campaign.name)}"
            raise type(error)(f"{error}: {resume} ({kept})") from None
        if found := found_in(record):
            self.store.keep_tuned(found, replace=False)
        self._keep_outputs(folder, record)
        record.samples = []  # they are in the database
        if self.keep:
            self.report.records.append(record)
        self.watching.done(record, position)
        if record.outcome is Outcome.INTERRUPTED:
            self.report.interrupted = True
        elif self.policy.precision is not None and not again:
            self._look_at_precision(lease.cell.block, self.policy.precision)

    def _look_at_precision(self, block: int, target: float) -> None:
        """After a pair of blocks: skip the others where every ratio is known well enough."""
        from bench.plan.stopping import Session, may_stop, precision  # SciPy, which most campaigns do without

        if block + 1 < self.policy.blocks or not may_stop(block) or block in self._asked:
            return
        if self.store.status(self.campaign.id).blocks[1] != block + 1:
            return  # the block is not over yet
        self._asked.add(block)
        cells = {cell.id: cell for cell in self.campaign.cells}
        sessions = [
            Session(cell.request, cell.role, cell.block, cell.position, median)
            for row in self.store.rows("outcome = ok", campaign=self.campaign.id)
            for cell in [cells[row["cell_id"]]]
            # Of a language model a token is what is compared.
            if (median := row[LATENCY if cell.request.generate is None else DECODE]) is not None
        ]
        found = precision(sessions, target)
        widest = f"the widest of {found.ratios} intervals is \u00b1{100 * (found.widest or math.inf):.2g} %"
        if found.enough:
            words = f"precise enough after {block + 1} blocks: {widest}"
            self.store.skip(self.campaign.id, words, from_block=block + 1)
            self.watching.note(words)
        elif found.ratios:
            self.watching.note(f"after {block + 1} blocks {widest}, wanted \u00b1{100 * target:g} %")

    def _run(self, lease: Lease, source: ModelSource, folder: Path | None) -> RunRecord:
        request, position = lease.cell.request, lease.cell.position
        self._beaten = time.monotonic()
        return self.supervisor.run(
            request,
            source,
            with_constants(self.measure, self.store, request),
            say=lambda words: self.watching.say(request, position, words),
            tick=lambda stage: self._tick(lease, stage),
            stop=self.stop,
            limit=self.policy.max_cell_seconds,
            outputs=folder,
        )

    def _tick(self, lease: Lease, stage: Stage | None) -> None:
        """Renew the lease now and then."""
        if time.monotonic() - self._beaten > BEAT_SECONDS:
            self._beaten = time.monotonic()
            name = stage.value if stage else None
            self.store.beat(lease.cell.id, self.supervisor.worker.name, name, LEASE_SECONDS)

    def _keep_outputs(self, folder: Path | None, record: RunRecord) -> None:
        """Give the folder of the run's tensors its number."""
        if folder is not None and folder.is_dir():
            try:
                folder.rename(folder.with_name(str(record.id)))
            except OSError as error:
                with contextlib.suppress(OSError):
                    self.watching.note(f"outputs of run {record.id} stay in {folder}: {error}")
