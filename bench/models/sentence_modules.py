"""What sentence-transformers puts around an encoder: `modules.json` and the pooling module's config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.models.files import read_any_json, read_json

_KNOWN = ("Transformer", "Pooling", "Normalize")
# Names of modes in the config of a pooling module, of its version 5.4 and of those before.
_MODES = {"mean": "mean", "cls": "cls"}
_FLAGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True)
class Pooling:
    """How sentence-transformers turns token vectors into one: `mode` is `mean` or `cls`."""

    mode: str
    normalize: bool


def read_modules(folder: Path) -> tuple[Path, Pooling | None]:
    """Where the encoder lies (`folder`, in old ones `0_Transformer` in it), and what is appended to it.

    Raises:
        InputError: a module or a pooling that is not supported, or a file that cannot be read.
    """
    listing = folder / "modules.json"
    if not listing.exists():
        old = folder / "0_Transformer"
        if not (folder / "config.json").exists() and (old / "config.json").exists():
            raise InputError(f"{listing} is missing; {old} holds the encoder: pass that, or the whole folder")
        return folder, None
    modules = read_any_json(listing)
    try:
        kinds = {str(m["type"]).rpartition(".")[2]: str(m["path"]) for m in modules}
    except (KeyError, TypeError) as error:
        raise InputError(f"{listing} is not a list of sentence-transformers modules: {error!r}") from error
    unknown = sorted(set(kinds) - set(_KNOWN))
    if unknown or len(kinds) != len(modules):
        what = f"module {unknown[0]} is not supported" if unknown else "a module stands twice"
        raise InputError(f"{listing}: {what}; allowed: {', '.join(_KNOWN)}, each once")
    root = _inside(folder, kinds.get("Transformer", ""), listing)
    if "Pooling" not in kinds:
        if "Normalize" in kinds:
            raise InputError(f"{listing}: Normalize without Pooling is not supported")
        return root, None
    place = _inside(folder, kinds["Pooling"], listing) / "config.json"
    return root, Pooling(_mode(read_json(place), place), "Normalize" in kinds)


def _inside(folder: Path, name: str, listing: Path) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"{listing}: the path {name!r} leads out of the folder")
    return folder / name


def _mode(config: Mapping[str, Any], place: Path) -> str:
    """The one mode of a pooling module: by its own key, or by the flag that is true."""
    named = config.get("pooling_mode")
    found = [str(one) for one in named] if isinstance(named, list) else [str(named)] if named else []
    flags = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    modes = {_MODES.get(one) for one in found} | {_FLAGS.get(one) for one in flags}
    (mode, *others) = modes or {None}
    if mode is None or others:
        said = ", ".join([*found, *flags]) or "of no mode"
        raise InputError(f"{place}: pooling {said} is not supported; allowed: one of mean, cls")
    return mode
