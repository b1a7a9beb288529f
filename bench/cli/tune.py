"""`bench tune`: the constants of our kernels for the adapter at hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from bench.browsers import BrowserMissing, locate, parse_browser
from bench.cli.asked import Asked, with_flags
from bench.cli.db import Database
from bench.cli.flags import AsJson, positive
from bench.cli.progress import Progress
from bench.cli.tables import Layout, console, print_table, say
from bench.errors import InputError
from bench.harness.asked import RunSettings
from bench.harness.campaign import Sources, resolve_models, settled
from bench.harness.code import code_hash
from bench.harness.stop import Stop
from bench.harness.supervisor import Supervisor
from bench.harness.tuned import found_in
from bench.harness.tuning_file import as_text, read_tuning_file
from bench.plan.request import STOCK, Request
from bench.plan.tuned import MOST_FORMS, SECONDS, Tune, TunedKernel
from bench.record import RunRecord
from bench.report import tuned_table as table
from bench.report.output import write_file
from bench.settings import Settings, check_cache, load_settings
from bench.store import Store, open_store

_MOST_SECONDS = 3600.0
_FLAGS = (
    *("browser", "model", "bits", "batch_size", "sequence_length", "generate", "device", "gpu_features"),
    *("group_size", "scheme", "mixed_precision", "weights", "timeout"),
)


@dataclass
class _Tuned:
    """What came of it: constants, kernels for which there was no time, sessions that failed."""

    found: list[TunedKernel] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)
    known: int = 0
    records: list[RunRecord] = field(default_factory=list)

    @property
    def failed(self) -> list[RunRecord]:
        return [one for one in self.records if one.error is not None]

    @property
    def exit_code(self) -> int:
        """0 all well, 1 a session failed, 3 nothing could run, 130 stopped."""
        outcomes = {one.outcome.value for one in self.records}
        if "interrupted" in outcomes:
            return 130
        if outcomes and outcomes <= {"unavailable", "unsupported"}:
            return 3
        return 1 if self.failed else 0


@with_flags(only=_FLAGS)
def tune_command(
    asked: Asked,
    seconds: Annotated[float, typer.Option(help="For all kernels of a model.")] = SECONDS,
    forms: Annotated[int, typer.Option(help="Of one kernel at most, the usual one among them.")] = MOST_FORMS,
    again: Annotated[bool, typer.Option("--again", help="Kernels that were tuned before too.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show what is known, and tune nothing.")] = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write what is known into a file.", show_default=False),
    ] = None,
    taken: Annotated[
        Path | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Take in such a file, if it is of the adapter that --browser has here.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    db: Database = None,
) -> int:
    """Find the constants of our kernels that are fastest on this adapter, for the shapes of a model.

    Each form is held to the usual one's answer, and the whole model to the reference afterwards. What is
    found is kept by adapter, browser build, feature set and the code of our kernels; later runs there take
    it up, and say so (`--tune off` does not).
    """
    if sum((listed, export is not None, taken is not None)) > 1:
        raise InputError("--list, --export and --import: one at a time")
    settings = load_settings()
    if listed or export is not None:
        with open_store(db, create=False) as store:
            return _known(store, export, as_json)
    arms = asked.but(platform="webgpu").arms(settings)
    if taken is not None:
        return _take(taken, arms[0], settings, db)
    positive("--seconds", seconds, _MOST_SECONDS)
    if not 2 <= forms <= MOST_FORMS:
        raise InputError(f"--forms {forms}: must be from 2 to {MOST_FORMS}")
    how = Tune(on="any", seconds=seconds, forms=forms, only=True)
    measuring = RunSettings(**asked.settings(), how=how)
    tuned = _tune(arms, measuring, settings, db, again=again)
    _show(tuned, as_json, seconds)
    return tuned.exit_code


def _tune(
    arms: Sequence[Request], measuring: RunSettings, settings: Settings, db: str | None, *, again: bool
) -> _Tuned:
    """A session for each arm; what it found is kept before the next one begins."""
    stop, tuned = Stop(), _Tuned()
    check_cache()
    with stop.signals(), Progress() as progress, Supervisor(settings) as supervisor:
        supervisor.begin()
        sources = resolve_models(arms, progress.note)
        if any(arm.gpu_features not in (None, STOCK) for arm in arms):
            from bench.harness.feature_sets import check_feature_sets  # starts browsers, here

            check_feature_sets(arms, settings, stop, progress.note)
        supervisor.start()
        with open_store(db, create=True) as store:
            for arm in arms:
                known = [] if again else [one for one in store.tuned(arm.browser_name) if not one.untried]
                told = measuring.model_copy(update={"tuned": tuple(known)})
                record = _session(settled(arm, sources), sources, told, supervisor, progress, stop)
                tuned.records.append(record)
                found = found_in(record)
                store.keep_tuned(found)
                tuned.found += [one for one in found if not one.untried]
                tuned.known += (record.evidence.get("tuned") or {}).get("known", 0)
                if left := [one.key for one in found if one.untried]:
                    tuned.left[f"{arm.model} {arm.label}"] = left
                if stop.requested or stop.soon:
                    break
    return tuned


def _session(
    arm: Request, sources: Sources, told: RunSettings, supervisor: Supervisor, progress: Progress, stop: Stop
) -> RunRecord:
    progress.note(f"tuning {arm.model}: {arm.label}")
    return supervisor.run(
        arm,
        sources[arm.model, arm.weights],
        told,
        say=lambda _words: None,
        tick=lambda _stage: None,
        stop=stop,
    )


def _known(store: Store, export: Path | None, as_json: bool) -> int:
    known = store.tuned()
    if export is not None:
        if not known:
            raise InputError(f"nothing is known of any kernel in {store.url}: tune first, with bench tune")
        write_file(export, as_text(known).encode(), flag="--export")
        print(f"{len(known)} kernels in {export}")
    elif as_json:
        print(json.dumps({"tuned": [one.model_dump() for one in known], "code": code_hash()}))
    else:
        _print(known)
        old = sum(one.kernels != code_hash() for one in known)
        if old:
            say(console(), f"{old} of them are of other kernels than these, and not used", style="yellow")
    return 0


def _take(path: Path, arm: Request, settings: Settings, db: str | None) -> int:
    """Take in a file, if it is of the adapter here; nothing of another one."""
    found = read_tuning_file(path)
    here, version = _adapter(arm, settings)
    for one in found:
        if (one.browser, one.adapter) != (arm.browser_name, here):
            raise InputError(
                f"{path}: it was tuned on {one.adapter!r} in {one.browser}, and {arm.browser} has {here!r} "
                "here: tune on this adapter, with bench tune"
            )
    with open_store(db, create=True) as store:
        new = store.keep_tuned(found)
    print(f"{new} of {len(found)} kernels are new here")
    strange = {
        f"another build than {arm.browser_name} {version}": sum(o.browser_version != version for o in found),
        "other kernels than these": sum(one.kernels != code_hash() for one in found),
    }
    for what, count in strange.items():
        if count:
            say(console(), f"{count} of them are of {what}, and not used here", style="yellow")
    return 0


def _adapter(arm: Request, settings: Settings) -> tuple[str, str | None]:
    """The name of the adapter that a browser has here, and its version.

    Raises:
        InputError: it is not on this machine, or has none.
    """
    from bench.harness.doctor import examine  # starts the browser
    from bench.harness.server import PageServer

    browser, binary = parse_browser(arm.browser)
    try:
        build = locate(browser, binary, settings, arm.gpu_features)
    except BrowserMissing as error:
        raise InputError(str(error)) from None
    own, stop = settings.harness, Stop()
    with stop.signals(), PageServer(own.port, own.listen, own.address) as server:
        seen = examine(build, server, settings, timeout=45.0, stop=stop)
    if not seen.adapter:
        raise InputError(f"--browser {arm.browser}: it has no WebGPU adapter here; see bench doctor")
    parts = [seen.adapter.get(name) for name in ("vendor", "architecture", "device", "description")]
    return " ".join(str(part) for part in parts if part) or "without a name", seen.version


def _show(tuned: _Tuned, as_json: bool, seconds: float) -> None:
    if as_json:
        print(
            json.dumps(
                {
                    "tuned": [one.model_dump() for one in tuned.found],
                    "left": tuned.left,
                    "known": tuned.known,
                    "failed": [one.model_dump(mode="json") for one in tuned.failed],
                }
            )
        )
        return
    out = console()
    if tuned.found:
        _print(tuned.found)
    if tuned.known:
        say(out, f"{tuned.known} kernels were known already; --again tunes them anew")
    for label, left in tuned.left.items():
        words = f"{label}: no time for {len(left)} of its kernels in {seconds:g} s; go on with --seconds N"
        say(out, words, style="yellow")
    for record in tuned.failed:
        if record.error is not None:
            what = f"{record.requested.model} {record.requested.label}"
            how = f"{record.outcome.value} in {record.error.stage.value}"
            say(out, f"{what}: {how}: {record.error.message}", style="red")


def _print(found: Sequence[TunedKernel]) -> None:
    print_table(console(), table.HEADINGS, table.rows(found), Layout(spare=table.SPARE, right=table.RIGHT))
