"""`bench kernels`: one operator at a time on every engine, on one device in one page."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from bench.browsers import BrowserMissing, check_browser, locate, parse_browser
from bench.cli.db import Database
from bench.cli.flags import AsJson, choose, positive
from bench.cli.tables import OUTCOMES as TONES
from bench.cli.tables import Layout, console, print_table, say, toned
from bench.engines import check_installed
from bench.errors import InputError
from bench.harness.campaign import Report
from bench.harness.doctor import examine
from bench.harness.feature_sets import lacking
from bench.harness.identity import at_work
from bench.harness.kernel_campaign import Keeping, KernelCampaign
from bench.harness.kernel_cases import Case
from bench.harness.kernel_plan import plan, restored
from bench.harness.kernel_records import request_of
from bench.harness.kernel_session import KernelWork, Variant
from bench.harness.server import PageServer
from bench.harness.stop import Stop
from bench.models import operators
from bench.models.operators import KINDS, Operator
from bench.plan.constants import check_constants
from bench.plan.request import BITS, GPU_FEATURES, GROUP_SIZES, SCHEMES, STOCK
from bench.record import RunRecord
from bench.report import kernels_table as table
from bench.settings import Settings, check_cache, load_settings
from bench.store import Campaign, Store, check_name, open_store

LEAST_ROUNDS = 5
_MOST_ROUNDS = 1000
_MOST_SPREAD = 4096
_MOST_BLOCKS = 100
_LEVELS = (0, 4)
_ENGINES = ("native", "ort-web")
_DEVICES = ("auto", "cpu", "gpu")
_START_SECONDS = 45.0


def _shape(kind: str) -> Any:
    """The flag of a kind of operator."""
    names = ",".join(KINDS[kind])
    about = f"{operators.ABOUT[kind]}; repeatable."
    option = typer.Option(f"--{kind}", metavar=names, help=about, show_default=False)
    return Annotated[list[str] | None, option]


_Engines = Annotated[
    list[str] | None, typer.Option(help="native or ort-web; repeatable; else both.", show_default=False)
]
_Bits = Annotated[
    list[str] | None,
    typer.Option(help="16, 8, 4 or 2, of a matrix; repeatable; else all.", show_default=False),
]
_Levels = Annotated[
    list[str] | None,
    typer.Option(
        help="Of ort-web's products: 0, or 4, which rounds more; repeatable; else 0.", show_default=False
    ),
]
_Tunings = Annotated[
    list[str] | None,
    typer.Option(metavar="JSON", help="Constants forced on our kernels, a variant each.", show_default=False),
]
_Spread = Annotated[
    float | None,
    typer.Option(
        metavar="MIB",
        help="What the copies of an operator take together; else 256 on a GPU, and two copies elsewhere.",
        show_default=False,
    ),
]
_Name = Annotated[
    str | None, typer.Option(help="The campaign's name; else made of the time.", show_default=False)
]


def kernels_command(
    matmul: _shape("matmul") = None,  # type: ignore[valid-type]
    attention: _shape("attention") = None,  # type: ignore[valid-type]
    decode: _shape("decode") = None,  # type: ignore[valid-type]
    layer_norm: _shape("layer-norm") = None,  # type: ignore[valid-type]
    rms_norm: _shape("rms-norm") = None,  # type: ignore[valid-type]
    convolution: _shape("convolution") = None,  # type: ignore[valid-type]
    embedding: _shape("embedding") = None,  # type: ignore[valid-type]
    browser: Annotated[str, typer.Option(help="chrome, firefox, edge, or NAME:/path.")] = "chrome",
    engine: _Engines = None,
    bits: _Bits = None,
    group_size: Annotated[str, typer.Option(help="Weights a scale, along K: 16, 32, 64 or 128.")] = "32",
    scheme: Annotated[str, typer.Option(help="symmetric or asymmetric.")] = SCHEMES[0],
    gpu_features: Annotated[str, typer.Option(help="stock, f16 or all; see `bench run`.")] = STOCK,
    device: Annotated[str, typer.Option(help="auto, cpu (a software adapter) or gpu.")] = "auto",
    accuracy_level: _Levels = None,
    tuning: _Tunings = None,
    rounds: Annotated[int, typer.Option(help="In each every variant is timed once, in turn.")] = 7,
    spread: _Spread = None,
    blocks: Annotated[int, typer.Option(help="Starts of the browser, each with all rounds.")] = 1,
    timeout: Annotated[float, typer.Option(help="Seconds without a sign of life.")] = 180.0,
    name: _Name = None,
    as_json: AsJson = False,
    db: Database = None,
) -> int:
    """Time one operator at a time on every engine, on the same device in one page, and keep every time.

    Without a shape: those of known models on a GPU, small ones on a software adapter. Outputs are held to
    float64 before and after; a wrong one has no time. A ratio is the peer's time over ours: above 1 ours is
    faster.
    """
    texts = (matmul, attention, decode, layer_norm, rms_norm, convolution, embedding)
    asked = _asked(dict(zip(KINDS, texts, strict=True)), bits or BITS, group_size, scheme)
    variants = _variants(engine or _ENGINES, tuning or [], accuracy_level or ["0"])
    features = choose("--gpu-features", gpu_features, GPU_FEATURES)
    choose("--device", device, _DEVICES)
    _ranges(rounds, spread, blocks, timeout)
    if name is not None:
        check_name(name)
    work = KernelWork(browser, features, device, (), variants, rounds, spread, timeout)
    report = _measure(work, asked, blocks, name, db)
    if as_json:
        runs = [one.model_dump(mode="json") for one in report.records]
        ratios = table.ratios(report.records)
        print(json.dumps({"campaign": report.campaign.id, "runs": runs, "ratios": ratios}))
    else:
        _show(report)
    return report.exit_code


def _measure(work: KernelWork, asked: _Asked, blocks: int, name: str | None, db: str | None) -> Report:
    """Look at everything else that can be wrong, then run it all."""
    settings = load_settings()
    _check(work, asked.any(), settings)
    stop = Stop()
    with stop.signals(), at_work() as worker:
        software, halves = _looked_at(work, settings, stop)
        work = replace(_with_cases(work, asked, software), halves=halves)
        with open_store(db, create=True) as store:
            keeping = Keeping(store, plan(store, work, blocks, name), blocks, worker)
            return KernelCampaign(keeping, settings, work, _tell, stop).run()


def resume(campaign: Campaign, settings: Settings, db: str | None) -> int:
    """Go on with a campaign of operators, see `bench campaign resume`; the exit code.

    Raises:
        InputError: it cannot go on here, or as it began.
    """
    work, blocks = restored(campaign)
    _check(work, work.cases[0], settings)
    stop = Stop()
    with stop.signals(), at_work() as worker:
        _, halves = _looked_at(work, settings, stop)
        if halves != work.halves:
            kinds = ("float32", "float16")
            raise InputError(
                f"the campaign {campaign.name!r} began with {kinds[work.halves]} activations, and "
                f"{work.browser} has {kinds[halves]} here: resume it where it began, or type bench kernels "
                "again, with another --name"
            )
        with open_store(db, create=False) as store:
            report = KernelCampaign(
                Keeping(store, campaign, blocks, worker), settings, work, _tell, stop
            ).run()
            report.records = _all_of(store, campaign)
    _show(report)
    return report.exit_code


def _check(work: KernelWork, case: Case, settings: Settings) -> None:
    """What can be wrong before a browser is looked at."""
    check_browser(work.browser, settings)
    check_installed(
        [request_of(case, one.engine, work.browser, work.features, work.device) for one in work.variants]
    )
    check_cache()


def _all_of(store: Store, campaign: Campaign) -> list[RunRecord]:
    """The last run of each cell that has one, in the order of the cells."""
    last = {row["cell_id"]: row["id"] for row in store.rows(campaign=campaign.id, sort="attempt")}
    return [store.run(last[cell.id]) for cell in campaign.cells if cell.id in last]


@dataclass(frozen=True)
class _Asked:
    """Which operators, and how their matrices are stored."""

    shapes: Sequence[Operator]
    bits: Sequence[int]
    group_size: Any
    scheme: Any

    def cases(self, shapes: Sequence[Operator]) -> list[Case]:
        """Each shape once, at each of the bits where it has a matrix."""
        return [
            Case(shape, bits, self.group_size, self.scheme)
            for shape in dict.fromkeys(shapes)
            for bits in (self.bits if shape.packed else BITS[:1])
        ]

    def any(self) -> Case:
        """One of them, whichever."""
        return self.cases(self.shapes or [operators.of(operators.ON_PROCESSOR[0])])[0]


def _asked(
    typed: Mapping[str, Sequence[str] | None], bits: Sequence[Any], group_size: str, scheme: str
) -> _Asked:
    """What the flags of operators say; InputError where they cannot."""
    return _Asked(
        [Operator.parse(kind, text) for kind, texts in typed.items() for text in texts or ()],
        [choose("--bits", one, BITS) for one in dict.fromkeys(bits)],
        choose("--group-size", group_size, GROUP_SIZES),
        choose("--scheme", scheme, SCHEMES),
    )


def _variants(engines: Sequence[str], tunings: Sequence[str], levels: Sequence[str]) -> list[Variant]:
    found: list[Variant] = []
    for one in dict.fromkeys(engines):
        engine = choose("--engine", one, _ENGINES)
        if engine == "native":
            found += [Variant(engine, _forced(text)) for text in dict.fromkeys(tunings)] or [Variant(engine)]
        else:
            chosen = [choose("--accuracy-level", level, _LEVELS) for level in dict.fromkeys(levels)]
            found += [Variant(engine, {}, level) for level in chosen]
    if tunings and not any(one.engine == "native" for one in found):
        raise InputError("--tuning: our own kernels have constants to force; add --engine native")
    return found


def _forced(text: str) -> dict[str, int]:
    """The constants of `--tuning`."""
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        found = None
    good = isinstance(found, dict) and all(type(value) is int for value in found.values())
    if not good or found is None:
        raise InputError(
            f'--tuning {text}: not allowed; allowed: names and whole numbers, {{"ROW_KERNEL": 1}}'
        )
    try:
        check_constants(found)
    except InputError as error:
        raise InputError(f"--tuning {text}: {error}") from None
    return dict(found)


def _ranges(rounds: int, spread: float | None, blocks: int, timeout: float) -> None:
    if not LEAST_ROUNDS <= rounds <= _MOST_ROUNDS:
        raise InputError(f"--rounds {rounds}: must be from {LEAST_ROUNDS} to {_MOST_ROUNDS}")
    if spread is not None and not 0 <= spread <= _MOST_SPREAD:
        raise InputError(f"--spread {spread:g}: must be from 0 to {_MOST_SPREAD}")
    positive("--blocks", blocks, _MOST_BLOCKS)
    positive("--timeout", timeout, 3600.0)


def _looked_at(work: KernelWork, settings: Settings, stop: Stop) -> tuple[bool, bool]:
    """Whether the browser's adapter is the processor, and whether it has float16; before anything is written.

    Raises:
        InputError: it is not on this machine, or lacks the feature set.
    """
    browser, binary = parse_browser(work.browser)
    try:
        build = locate(browser, binary, settings, work.features)
    except BrowserMissing as error:
        raise InputError(str(error)) from None
    own = settings.harness
    with stop.patient(), PageServer(own.port, own.listen, own.address) as server:
        found = examine(build, server, settings, timeout=_START_SECONDS, stop=stop)
    why = lacking(found, work.features) if found.webgpu else None
    if why and found.adapter:
        raise InputError(
            f"--gpu-features {work.features}: {work.browser} has no such features here, on "
            f"{found.adapter['name']}: {why}; take --gpu-features stock"
        )
    adapter = found.adapter or {"is_fallback_adapter": True, "features": []}
    return work.device == "cpu" or bool(adapter["is_fallback_adapter"]), "shader-f16" in adapter["features"]


def _with_cases(work: KernelWork, asked: _Asked, software: bool) -> KernelWork:
    names = operators.ON_PROCESSOR if software else operators.ON_GPU
    shapes = asked.shapes or [operators.of(one) for one in names]
    return replace(work, cases=asked.cases(shapes))


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(report: Report) -> None:
    """A table of what was measured, why some was not, and where to look next."""
    out = console()
    lines: list[list[Any]] = [list(line) for line in table.rows(report.records)]
    for line in lines:
        line[-1] = toned(line[-1], TONES, "red")
    print_table(out, table.HEADINGS, lines, Layout(spare=table.SPARE, own=("engine",), right=table.RIGHT))
    for words in table.reasons(report.records):
        say(out, words, style="yellow")
    typed = shlex.quote(report.campaign.name)
    if report.interrupted:
        say(out, f"go on: bench campaign resume {typed}")
    say(
        out,
        f"campaign {report.campaign.name}; more: bench query --campaign {typed}, bench compare "
        f"engine=ort-web engine=native --campaign {typed}",
    )
