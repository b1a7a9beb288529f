"""`bench run`: cells from flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.browsers import parse_browser
from bench.cli.db import Database
from bench.cli.progress import Progress
from bench.cli.query import print_short
from bench.errors import InputError
from bench.harness.campaign import Report, check_output_folder, resolve_models, run_campaign
from bench.harness.session import RunSettings
from bench.plan import request as words
from bench.plan.matrix import expand, in_order
from bench.plan.request import Request
from bench.settings import experimental_by_environment, load_settings
from bench.store import open_store

_MODEL = "all-MiniLM-L6-v2"


def choose(flag: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """`value` as one of `allowed`; InputError naming the flag, the value and what is allowed."""
    for one in allowed:
        if str(one) == str(value).strip():
            return one
    raise InputError(f"{flag} {value}: not allowed; allowed: {', '.join(map(str, allowed))}")


def positive(flag: str, value: float | None, *, most: float | None = None) -> None:
    """Raise InputError unless the value is absent or in range."""
    if value is not None and not 0 < value <= (most or float("inf")):
        limit = f"from 1 to {most:g}" if most else "greater than 0"
        raise InputError(f"{flag} {value:g}: must be {limit}")


def platforms_of(values: list[str]) -> list[str]:
    """Platforms from flags; `both` stands for the two."""
    found: list[str] = []
    for value in values:
        chosen = choose("--platform", value, (*words.PLATFORMS, "both"))
        for one in words.PLATFORMS if chosen == "both" else (chosen,):
            if one not in found:
                found.append(one)
    return found


def run_command(
    platform: Annotated[list[str], typer.Option(help="webgpu, webnn or both; repeatable.")] = ["webgpu"],  # noqa: B006
    browser: Annotated[
        list[str], typer.Option(help="chrome, firefox, webkitgtk, edge, safari, or NAME:/path; repeatable.")
    ] = ["chrome"],  # noqa: B006
    model: Annotated[list[str], typer.Option(help="A catalog name (`bench models list`); repeatable.")] = [  # noqa: B006
        _MODEL
    ],
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
    engine: Annotated[str, typer.Option(help="native: our own kernels and graphs.")] = "native",
    device: Annotated[str, typer.Option(help="auto, cpu, gpu or npu.")] = "auto",
    weights: Annotated[
        Path | None, typer.Option(help="A Hugging Face folder to take the weights from.", show_default=False)
    ] = None,
    group_size: Annotated[str, typer.Option(help="Weights a scale, along K: 16, 32, 64 or 128.")] = "32",
    scheme: Annotated[str, typer.Option(help="symmetric or asymmetric.")] = "symmetric",
    batch_size: Annotated[int, typer.Option(help="Sequences an inference.")] = 1,
    sequence_length: Annotated[int, typer.Option(help="Tokens a sequence.")] = 128,
    iterations: Annotated[
        int | None, typer.Option(help="Exactly so many samples, whatever the time.", show_default=False)
    ] = None,
    max_seconds: Annotated[float, typer.Option(help="Time for sampling each cell.")] = 5.0,
    timeout: Annotated[float, typer.Option(help="Seconds a stage may take without a sign of life.")] = 180.0,
    seed: Annotated[int, typer.Option(help="Of the order the cells run in.")] = 0,
    name: Annotated[
        str | None, typer.Option(help="The campaign's name; else made of the time.", show_default=False)
    ] = None,
    save_outputs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep inputs and outputs as DIR/RUN/<tensor>.npy.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON on stdout.")] = False,
    db: Database = None,
) -> int:
    """Run models in real browsers and keep every run, the refused and the fallen-back ones too."""
    for spec in browser:
        parse_browser(spec)
    axes = {
        "model": list(dict.fromkeys(model)),
        "browser": list(dict.fromkeys(browser)),
        "platform": platforms_of(platform),
        "bits": [choose("--bits", value, words.BITS) for value in bits],
    }
    positive("--batch-size", batch_size, most=words.MAX_BATCH)
    positive("--sequence-length", sequence_length, most=words.MAX_SEQUENCE)
    positive("--iterations", iterations, most=100_000)
    positive("--max-seconds", max_seconds)
    positive("--timeout", timeout)
    fixed = {
        "mixed_precision": mixed_precision,
        "experimental_precision": experimental_precision or experimental_by_environment(),
        "batch_size": batch_size,
        "sequence_length": sequence_length,
        "engine": choose("--engine", engine, words.ENGINES),
        "device": choose("--device", device, words.DEVICES),
        "group_size": choose("--group-size", group_size, words.GROUP_SIZES),
        "scheme": choose("--scheme", scheme, words.SCHEMES),
        "weights": str(weights) if weights else None,
    }
    settings = RunSettings(iterations=iterations, max_seconds=max_seconds, timeout=timeout)
    report = run_requests(
        expand(axes, fixed), settings, seed=seed, name=name, db=db, save_outputs=save_outputs
    )
    if as_json:
        print(json.dumps(as_contract(report)))
    else:
        print_runs(report, db)
    return report.exit_code


def run_requests(
    arms: list[Request],
    run_settings: RunSettings,
    *,
    seed: int = 0,
    name: str | None = None,
    db: str | None = None,
    save_outputs: Path | None = None,
) -> Report:
    """Check everything, write the plan, run it; progress goes to stderr.

    Raises:
        InputError: anything that is wrong before the first run; then nothing was written.
    """
    settings = load_settings()
    requests = in_order(arms, seed)
    with Progress(len(requests)) as progress:
        sources = resolve_models(requests, progress.note)
        for source in sources.values():
            if source.note:
                progress.note(source.note)
        if save_outputs:
            check_output_folder(save_outputs)
        measuring = {
            "iterations": run_settings.iterations,
            "max_seconds": run_settings.max_seconds,
            "timeout": run_settings.timeout,
            "precision": run_settings.precision,
        }
        with open_store(db) as store:
            campaign = store.create_campaign(name, requests, seed=seed, settings=measuring)
            progress.begin(campaign.name, store.url)
            return run_campaign(
                store,
                campaign,
                sources,
                settings,
                run_settings,
                say=progress.say,
                done=progress.done,
                save_outputs=save_outputs,
            )


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
    print_short(rows)
    print(f"campaign {name}; more: bench query --campaign {name}, bench report --campaign {name}")
