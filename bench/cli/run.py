"""`bench run`: cells from flags."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.db import Database
from bench.cli.flags import Grid, browsers_of, choose, measuring_of, platforms_of, shape_of, with_grid
from bench.cli.progress import Progress
from bench.cli.query import give_runs
from bench.errors import InputError
from bench.faults import injection
from bench.harness.campaign import Policy, Report, Watching, resolve_models, run_campaign
from bench.harness.outputs import check_output_folder
from bench.harness.session import RunSettings
from bench.harness.stop import Stop
from bench.harness.supervisor import Supervisor
from bench.plan import request as words
from bench.plan.cells import make_plan
from bench.plan.matrix import expand
from bench.plan.request import Request
from bench.settings import Settings, check_cache, experimental_by_environment, load_settings
from bench.store import check_name, open_store

_MODEL = "all-MiniLM-L6-v2"
_MOST_SEED = 2**63 - 1  # what the database keeps


def run_command(
    platform: Annotated[list[str], typer.Option(help="webgpu, webnn, both; wasm; repeatable.")] = ["webgpu"],  # noqa: B006
    browser: Annotated[
        list[str], typer.Option(help="chrome, firefox, webkitgtk, edge, safari, or NAME:/path; repeatable.")
    ] = ["chrome"],  # noqa: B006
    model: Annotated[
        list[str],
        typer.Option(
            help=f"A catalog name (`bench models list`); repeatable; else {_MODEL}, with --weights the "
            "folder's name.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    bits: Annotated[list[str], typer.Option(help="16, 8, 4 or 2; repeatable.")] = ["16", "8", "4", "2"],  # noqa: B006
    mixed_precision: Annotated[
        bool,
        typer.Option("--mixed-precision", help="8 bits for attention and embeddings, BITS for the rest."),
    ] = False,
    experimental_precision: Annotated[
        bool,
        typer.Option(
            "--experimental-precision",
            help="Ask WebNN for the true 4- or 2-bit type and keep what it answers "
            "(also WEBNN_EXPERIMENTAL_PRECISION=1).",
        ),
    ] = False,
    engine: Annotated[
        list[str],
        typer.Option(help="native: our own kernels and graphs; ort-web: onnxruntime-web; repeatable."),
    ] = ["native"],  # noqa: B006
    device: Annotated[
        str, typer.Option(help="auto, cpu (a software adapter in WebGPU), gpu, or npu (WebNN only).")
    ] = "auto",
    weights: Annotated[
        Path | None, typer.Option(help="A Hugging Face folder to take the weights from.", show_default=False)
    ] = None,
    group_size: Annotated[str, typer.Option(help="Weights a scale, along K: 16, 32, 64 or 128.")] = "32",
    scheme: Annotated[str, typer.Option(help="symmetric or asymmetric.")] = "symmetric",
    batch_size: Annotated[int, typer.Option(help="Sequences an inference.")] = 1,
    sequence_length: Annotated[
        int | None,
        typer.Option(
            help="Tokens (Whisper: 20 ms of audio) a sequence; else BENCH_SEQUENCE_LENGTH, else 128.",
            show_default=False,
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            help="Exactly so many samples, whatever the time; else BENCH_ITERATIONS, else as many as needed.",
            show_default=False,
        ),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(help="Time for sampling each cell; else BENCH_MAX_SECONDS, else 5.", show_default=False),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds a stage may take without a sign of life.")] = 180.0,
    seed: Annotated[int, typer.Option(help="Of the order the cells run in.")] = 0,
    name: Annotated[
        str | None, typer.Option(help="The campaign's name; else made of the time.", show_default=False)
    ] = None,
    grid: Grid = None,
    save_outputs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep inputs and outputs as DIR/RUN/<tensor>.npy.", show_default=False
        ),
    ] = None,
    roofline: Annotated[
        bool,
        typer.Option("--roofline", help="Measure the adapter's ceilings too: `bench plot roofline`."),
    ] = False,
    fault: Annotated[str | None, typer.Option(hidden=True, help="A fault of `bench faults list`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON on stdout.")] = False,
    db: Database = None,
) -> int:
    """Run models in real browsers and keep every run, the refused and the fallen-back ones too.

    Exit code 5: the disk of the database is full; what was finished is kept, and `bench campaign resume`
    takes it in.
    """
    settings = with_grid(load_settings(), grid)
    for one in model:
        if not one.strip() or not one.isprintable():
            raise InputError(f"--model {one!a}: no name of a model; see bench models list")
    if abs(seed) > _MOST_SEED:
        raise InputError(f"--seed {seed}: must be from -{_MOST_SEED} to {_MOST_SEED}")
    axes = {
        "model": list(dict.fromkeys(model)) or [_model_of(weights)],
        "browser": browsers_of(browser, settings),
        "platform": platforms_of(platform),
        "bits": [choose("--bits", value, words.BITS) for value in bits],
        "engine": [choose("--engine", value, words.ENGINES) for value in engine],
    }
    fixed = {
        **shape_of(batch_size, sequence_length),
        "mixed_precision": mixed_precision,
        "experimental_precision": experimental_precision or experimental_by_environment(),
        "device": choose("--device", device, words.DEVICES),
        "group_size": choose("--group-size", group_size, words.GROUP_SIZES),
        "scheme": choose("--scheme", scheme, words.SCHEMES),
        "weights": str(weights) if weights else None,
    }
    injection(fault)  # refuses an unknown one before anything is written
    measuring = replace(measuring_of(iterations, max_seconds, timeout), fault=fault, roofline=roofline)
    arms = expand(axes, fixed)
    report = run_requests(arms, settings, measuring, seed=seed, name=name, db=db, save_outputs=save_outputs)
    if as_json:
        print(json.dumps(as_contract(report)))
    else:
        print_runs(report, db)
    return report.exit_code


def _model_of(weights: Path | None) -> str:
    """What a run without --model measures, by its name."""
    if weights is None:
        return _MODEL
    name = weights.expanduser().resolve().name
    if not name or not name.isprintable():
        raise InputError(
            f"--weights {str(weights)!a}: the folder has no name to go by; give --model NAME too"
        )
    return name


def run_requests(
    arms: list[Request],
    settings: Settings,
    measuring: RunSettings,
    *,
    seed: int = 0,
    name: str | None = None,
    db: str | None = None,
    save_outputs: Path | None = None,
    stop: Stop | None = None,
) -> Report:
    """Check everything, write the plan, run it; progress goes to stderr.

    Raises:
        InputError: anything that is wrong before the first run; then nothing was written.
        KeyboardInterrupt: stopped before the first run.
    """
    stop = stop or Stop()
    check_cache()
    plan = make_plan(arms, seed)
    if name is not None:
        check_name(name)
    if save_outputs:
        check_output_folder(save_outputs)
    # The database comes last: whatever is refused before it, a port in use too, leaves none behind.
    with (
        stop.signals(),
        Progress() as progress,
        Supervisor(settings) as supervisor,
    ):
        supervisor.begin()
        sources = resolve_models([cell.request for cell in plan.cells], progress.note)
        for source in sources.values():
            if source.note:
                progress.note(source.note)
        stop.check()
        supervisor.start()
        with open_store(db) as store:
            campaign = store.plan_campaign(name, plan, settings=measured_with(measuring))
            progress.begin(campaign.name, store.url, len(campaign.cells), campaign.cells)
            return run_campaign(
                store,
                campaign,
                sources,
                supervisor,
                measuring,
                Policy(),
                Watching(progress.say, progress.done, progress.note),
                save_outputs=save_outputs,
                stop=stop,
            )


def measured_with(measuring: RunSettings) -> dict[str, Any]:
    """The settings of a campaign as the database keeps them."""
    return {
        "iterations": measuring.iterations,
        "max_seconds": measuring.max_seconds,
        "timeout": measuring.timeout,
        "precision": measuring.precision,
        "roofline": measuring.roofline,
    }


def as_contract(report: Report) -> dict[str, Any]:
    """The JSON of `bench run --json`."""
    return {
        "campaign": report.campaign.id,
        "runs": [record.model_dump(mode="json") for record in report.records],
    }


def print_runs(report: Report, db: str | None) -> None:
    """A table of what ran, and where to look next."""
    name = report.campaign.name
    with open_store(db, create=False) as store:
        rows = store.rows(
            campaign=report.campaign.id, sort="requested_model,browser,requested_platform,-bits"
        )
    give_runs(rows)
    typed = shlex.quote(name)
    print(f"campaign {name}; more: bench query --campaign {typed}, bench report --campaign {typed}")
