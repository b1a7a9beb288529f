"""`bench export`: our weights as files that others run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.flags import choose
from bench.cli.progress import Progress
from bench.engines.onnx_folder import DTYPES, check_folder, write_folder
from bench.models.catalog import resolve
from bench.plan import request as words
from bench.settings import check_cache

export_app = typer.Typer(help="Our weights as files that others run.")


@export_app.callback()
def _group() -> None:
    """Keeps the name of the one command."""


@export_app.command("onnx")
def onnx_command(
    model: Annotated[str, typer.Argument(help="A catalog name (`bench models list`).")],
    bits: Annotated[str, typer.Option(help="16, 8, 4 or 2.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    mixed_precision: Annotated[
        bool,
        typer.Option("--mixed-precision", help="8 bits for attention and embeddings, BITS for the rest."),
    ] = False,
    group_size: Annotated[str, typer.Option(help="Weights a scale, along K: 16, 32, 64 or 128.")] = "32",
    scheme: Annotated[str, typer.Option(help="symmetric or asymmetric.")] = "symmetric",
    weights: Annotated[
        Path | None, typer.Option(help="A Hugging Face folder to take the weights from.", show_default=False)
    ] = None,
) -> None:
    """Write a model as a folder that transformers.js loads: onnx/, config.json and the tokenizer.

    The codes, scales and zero points are those that `bench run` measures. Batch and length are free.
    """
    chosen = choose("--bits", bits, words.BITS)
    group = choose("--group-size", group_size, words.GROUP_SIZES)
    kind = choose("--scheme", scheme, words.SCHEMES)
    check_folder(output)
    check_cache()
    with Progress() as progress:
        source = resolve(model, str(weights) if weights else None, progress=progress.note)
        path = write_folder(
            source,
            output,
            bits=chosen,
            mixed=mixed_precision,
            group_size=group,
            scheme=kind,
            progress=progress.note,
        )
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB); in transformers.js: dtype {DTYPES[chosen][0]!r}")
