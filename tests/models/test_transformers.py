"""Our reading of a folder against the field's own: transformers builds and saves a model, our NumPy runs it.

Configs are drawn: every key that the loader accepts, odd sizes, heads, ties, activations, labels, padding.
Needs the extra `reference` (PyTorch and transformers); `make test` brings it where a build of PyTorch for the
processor alone can be had, `make test-long` in any case.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import test_folders
import tiny_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.models.audio import log_mel, synthetic_speech
from bench.models.bert_config import KINDS
from bench.models.catalog import resolve
from bench.models.tokenize import open_tokenizer
from bench.reference.compare import rel_l2
from bench.reference.execute import run

# What they warn of is theirs.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip(
        "torch", reason="the extra `reference` is not installed (pip install '.[reference]')"
    )
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)

LIMIT = 1e-4
HEADS = [
    "Model",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMaskedLM",
]
pytestmark = pytest.mark.filterwarnings("ignore")
many = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    derandomize=True,
)
more = settings(many, max_examples=250)


@st.composite
def bert_configs(draw, model_type):
    """A config.json of that type, with no key of it always at the library's own default."""
    heads = draw(st.integers(1, 3))
    hidden = heads * draw(st.integers(1, 9))
    pad = draw(st.integers(0, 4))
    config = {
        "model_type": model_type,
        "architectures": [KINDS[model_type].model + draw(st.sampled_from(HEADS))],
        "vocab_size": draw(st.integers(5, 40)),
        "max_position_embeddings": draw(st.integers(pad + 2, 20)),
        "tie_word_embeddings": draw(st.booleans()),
        "problem_type": draw(
            st.sampled_from([None, "regression", "single_label_classification", "multi_label_classification"])
        ),
        "id2label": {str(i): f"L{i}" for i in range(draw(st.integers(1, 4)))},
    }
    if config["architectures"][0].endswith("ForQuestionAnswering"):
        config["id2label"] = {"0": "begin", "1": "end"}  # the library's own default; it takes no other
    config["label2id"] = {name: int(i) for i, name in config["id2label"].items()}
    if config["problem_type"] == "single_label_classification" and len(config["id2label"]) == 1:
        config["problem_type"] = None  # refused by the library, and by us
    if KINDS[model_type].positions_after_padding or draw(st.booleans()):
        config["pad_token_id"] = pad
    activation = draw(
        st.sampled_from(["gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu"])
    )
    if model_type == "distilbert":
        config |= {
            "dim": hidden,
            "n_heads": heads,
            "n_layers": draw(st.integers(1, 3)),
            "hidden_dim": draw(st.integers(1, 20)),
            "activation": activation,
            "sinusoidal_pos_embds": draw(st.booleans()),
        }
        # Not read by the library: another value must change nothing.
        config["layer_norm_eps"] = draw(st.sampled_from([1e-12, 1e-2]))
    else:
        config |= {
            "hidden_size": hidden,
            "num_attention_heads": heads,
            "num_hidden_layers": draw(st.integers(1, 3)),
            "intermediate_size": draw(st.integers(1, 20)),
            "hidden_act": activation,
            "type_vocab_size": draw(st.integers(1, 3)),
            "layer_norm_eps": draw(st.sampled_from([1e-12, 1e-5, 1e-1])),
        }
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
        if draw(st.booleans()):
            config[key] = 0.5
    return config


def save(folder, config, seed):
    """The library's own model of that config with random weights, saved by itself; the model."""
    torch.manual_seed(seed)
    made = transformers.AutoConfig.for_model(**config)
    model = getattr(transformers, config["architectures"][0])(made)
    with torch.no_grad():
        for name, value in model.named_parameters():
            # Larger than an initialization, so that no term is too small to be missed.
            centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            value.copy_(torch.randn_like(value) * 0.5 + centre)
    model.save_pretrained(folder)
    # As it was drawn: the library writes what it makes of it.
    (Path(folder) / "config.json").write_text(json.dumps(config))
    again = getattr(transformers, config["architectures"][0]).from_pretrained(folder)
    return again.eval()


def compare(source, outputs, inputs, program):
    found = run(program, _Weights(source, program), inputs)
    assert set(outputs) == set(found), (list(outputs), list(found))
    for name, value in outputs.items():
        distance = rel_l2(found[name], value.detach().numpy().reshape(found[name].shape))
        assert distance <= LIMIT, (name, distance)


class _Weights(dict):
    def __init__(self, source, program):
        super().__init__({w.name: source.load(w.name).reshape(w.shape) for w in program.weights})


def encoder_case(config, sequence, seed, pooling=None):
    """Save, load both ways, run both ways."""
    with tempfile.TemporaryDirectory() as folder:
        model = save(folder, config, seed)
        if pooling is not None:
            tiny_model.add_pooling(Path(folder), *pooling)
        source = resolve("drawn", weights_dir=folder)
        program = source.program(2, sequence)
        inputs = source.calls(program, 2, seed)[0].inputs
        given = {
            name: torch.from_numpy(inputs[name].astype(np.int64)) for name in ("input_ids", "attention_mask")
        }
        if "token_type_ids" in inputs:
            rng = np.random.default_rng(seed)
            kinds = rng.integers(0, config["type_vocab_size"], inputs["input_ids"].shape)
            inputs["token_type_ids"] = kinds.astype(np.int32)
            given["token_type_ids"] = torch.from_numpy(kinds)
        with torch.no_grad():
            answer = model(**given, output_hidden_states=True)
        outputs = {"last_hidden_state": answer.hidden_states[-1]}
        if pooling is not None:
            outputs["sentence_embedding"] = pooled(outputs["last_hidden_state"], given, *pooling)
        elif "start_logits" in answer:
            outputs["logits"] = torch.stack([answer.start_logits, answer.end_logits], dim=-1)
        elif "logits" in answer:
            outputs["logits"] = answer.logits
            of_sequences = config["architectures"][0].endswith("SequenceClassification")
            if of_sequences and config["problem_type"] != "regression":
                outputs["probabilities"] = probabilities(config, answer.logits)
        elif answer.get("pooler_output") is not None:
            outputs["pooler_output"] = answer.pooler_output
        compare(source, outputs, inputs, program)


def probabilities(config, logits):
    """By the library's own pipeline, of logits that it is handed."""
    made = transformers.AutoConfig.for_model(**config)
    pipeline = object.__new__(transformers.TextClassificationPipeline)
    pipeline.model = type("Model", (), {"config": made})()
    rows = []
    for row in logits:
        scores = pipeline.postprocess({"logits": row[None]}, top_k=None, _legacy=False)
        by_label = {score["label"]: score["score"] for score in scores}
        rows.append([by_label[name] for name in made.id2label.values()])
    return torch.tensor(rows)


def pooled(hidden, given, mode, normalize):
    """As the modules of sentence-transformers compute it (its models/Pooling.py)."""
    mask = given["attention_mask"][:, :, None].float()
    vector = hidden[:, 0] if mode == "cls" else (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
    return torch.nn.functional.normalize(vector, dim=1) if normalize else vector


@pytest.mark.parametrize("model_type", list(KINDS))
@given(st.data())
@many
def test_an_encoder(model_type, data):
    encoder(model_type, data)


@pytest.mark.long
@pytest.mark.parametrize("model_type", list(KINDS))
@given(st.data())
@more
def test_many_encoders(model_type, data):
    encoder(model_type, data)


def encoder(model_type, data):
    config = data.draw(bert_configs(model_type))
    room = config["max_position_embeddings"]
    if KINDS[model_type].positions_after_padding:
        room -= config["pad_token_id"] + 1
    pooling = None
    if config["architectures"][0].endswith("Model") and data.draw(st.booleans()):
        pooling = (data.draw(st.sampled_from(["mean", "cls"])), data.draw(st.booleans()))
    encoder_case(config, data.draw(st.integers(1, room)), data.draw(st.integers(0, 9)), pooling)


@st.composite
def whisper_configs(draw):
    """A config.json of a Whisper. Its sizes may differ on both sides but for the width."""
    width = 6 * draw(st.integers(1, 4))
    vocab = draw(st.integers(5, 40))
    config = {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "d_model": width,
        "num_mel_bins": draw(st.integers(2, 9)),
        "vocab_size": vocab,
        "max_source_positions": draw(st.integers(1, 12)),
        "max_target_positions": draw(st.integers(1, 9)),
        "activation_function": draw(st.sampled_from(["gelu", "gelu_new", "gelu_fast", "relu"])),
        "tie_word_embeddings": draw(st.booleans()),
        "scale_embedding": False,
    }
    for side in ("encoder", "decoder"):
        config[f"{side}_layers"] = draw(st.integers(1, 2))
        config[f"{side}_attention_heads"] = draw(st.sampled_from([1, 2, 3, 6]))
        config[f"{side}_ffn_dim"] = draw(st.integers(1, 20))
    for key in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
        config[key] = draw(st.integers(0, vocab - 1))
    return config


@given(whisper_configs(), st.integers(0, 9))
@many
def test_a_whisper(config, seed):
    whisper(config, seed)


@pytest.mark.long
@given(whisper_configs(), st.integers(0, 9))
@more
def test_many_whispers(config, seed):
    whisper(config, seed)


def whisper(config, seed):
    with tempfile.TemporaryDirectory() as folder:
        model = save(folder, config, seed)
        source = resolve("drawn", weights_dir=folder)
        sequence = config["max_source_positions"]  # the library takes no other
        program = source.program(2, sequence)
        inputs = source.calls(program, 2, seed)[0].inputs
        features = inputs["input_features"].reshape(2, 2 * sequence, -1).transpose(0, 2, 1)
        with torch.no_grad():
            answer = model(
                input_features=torch.from_numpy(np.ascontiguousarray(features)),
                decoder_input_ids=torch.from_numpy(inputs["decoder_input_ids"].astype(np.int64)),
            )
        outputs = {"logits": answer.logits, "encoder_hidden_state": answer.encoder_last_hidden_state}
        compare(source, outputs, inputs, program)


def test_pairs_of_bytes(tmp_path):
    folder = test_folders.roberta(tmp_path)
    test_folders.byte_level(folder)
    theirs, ours = transformers.RobertaTokenizer.from_pretrained(folder), open_tokenizer(folder)
    for text in ("The bridge opens at noon.", "<s> The", "", "  nets, bets.  ", "Zürich 4471"):
        assert ours.encode(text).ids == theirs(text)["input_ids"]


@pytest.mark.parametrize("mels", [80, 128])
def test_the_spectrogram(mels):
    samples = synthetic_speech(np.random.default_rng(3), 2 * 16_000)
    theirs = transformers.WhisperFeatureExtractor(feature_size=mels, chunk_length=2)
    want = theirs(samples, sampling_rate=16_000, return_tensors="np")["input_features"][0].T
    assert rel_l2(log_mel(samples, mels), want) <= LIMIT
