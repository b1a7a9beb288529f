"""Every key of a `config.json` that is known, so that what could change an answer is never read past.

A key is read by a family, bound to the values that stand for what we compute, or without bearing on one
forward pass (training, generation, bookkeeping). Any other key is refused: who does not know what it says
cannot know that the answer is the model's own. Keys as the transformers library writes them, its versions 2
to 5.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from bench.errors import InputError

# Other values than these compute something else.
BOUND: Mapping[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "auto_map": ({},),
    "cross_attention_hidden_size": (),
    "is_decoder": (False,),
    "position_embedding_type": ("absolute",),
    "pruned_heads": ({},),
    "quantization_config": (),
    "scale_embedding": (False,),
    "tie_encoder_decoder": (False,),
    "use_weighted_layer_sum": (False,),
}
# Nothing that one forward pass without dropout depends on.
INERT = frozenset(
    (
        # Bookkeeping. A label's name changes no number; how many there are is read.
        *("transformers_version", "torch_dtype", "dtype", "name_or_path", "name", "label2id", "language"),
        *("finetuning_task", "task_specific_params", "tokenizer_class", "vocab_file", "model_max_length"),
        *("torchscript", "tf_legacy_loss", "use_bfloat16", "xla_device", "return_dict", "output_attentions"),
        *("output_hidden_states", "output_past", "use_cache", "remove_invalid_values", "tie_weights_"),
        *("chunk_size_feed_forward", "attn_implementation", "is_composition", "prefix", "adapters"),
        # What sentence-transformers does with logits afterwards.
        *("sbert_ce_default_activation_function", "sentence_transformers"),
        # Training.
        *("initializer_range", "initializer_factor", "init_std", "gradient_checkpointing"),
        *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "dropout"),
        *("attention_dropout", "activation_dropout", "qa_dropout", "seq_classif_dropout", "dropout_prob"),
        *("encoder_layerdrop", "decoder_layerdrop", "apply_spec_augment", "mask_time_prob"),
        *("mask_time_length", "mask_time_min_masks", "mask_feature_prob", "mask_feature_length"),
        "mask_feature_min_masks",
        # Of BERT's first TensorFlow code; no implementation has ever read them.
        *("directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"),
        *("pooler_size_per_head", "pooler_type"),
        # Token ids, and what only a loop that writes tokens reads.
        *("bos_token_id", "sep_token_id", "mask_token_id", "cls_token_id", "unk_token_id"),
        *("max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups"),
        *("diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty"),
        *("length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids"),
        *("num_return_sequences", "output_scores", "return_dict_in_generate", "forced_bos_token_id"),
        *("forced_eos_token_id", "exponential_decay_length_penalty", "suppress_tokens"),
        *("begin_suppress_tokens", "forced_decoder_ids", "median_filter_width", "classifier_proj_size"),
        # Heads of other models that the library once wrote into every config.
        *("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels"),
        *("summary_first_dropout", "summary_last_dropout"),
    )
)


def audit(config: Mapping[str, Any], file: str, read: Collection[str], ignored: Collection[str] = ()) -> None:
    """Refuse a config with a key, or a value of a key, that nobody here knows; null always means unset.

    Args:
        config: a parsed `config.json`.
        file: for the message.
        read: keys that the family reads itself, whatever their value.
        ignored: keys that the family's implementation in the transformers library does not read either.

    Raises:
        InputError: one line naming `file`, the key, its value and what is allowed.
    """
    for key, value in config.items():
        if value is None or key in INERT or key in ignored or key.startswith("_"):
            continue
        if key in BOUND:
            # Compared as JSON, where true is no 1.
            if json.dumps(value) not in [json.dumps(one) for one in BOUND[key]]:
                allowed = ", ".join([*map(json.dumps, BOUND[key]), "null"])
                raise InputError(f"{file}: {key} {_short(value)} is not supported; allowed: {allowed}")
        elif key not in read:
            raise InputError(
                f"{file}: the key {key!r} ({_short(value)}) is not known here, nor whether it changes the "
                "model's answers; take it out of a copy of the folder where it does not"
            )


def without_aliases(config: Mapping[str, Any], file: str, aliases: Mapping[str, str]) -> dict[str, Any]:
    """The library's own names only; two names of one number must agree."""
    plain = {key: value for key, value in config.items() if key not in aliases and value is not None}
    for alias, key in aliases.items():
        if config.get(alias) is not None and plain.setdefault(key, config[alias]) != config[alias]:
            raise InputError(
                f"{file}: {key} is {plain[key]!r} but {alias}, another name of it, {config[alias]!r}"
            )
    return plain


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a config can decide an answer: all but the keys without bearing on a forward pass."""
    return {
        key: value
        for key, value in config.items()
        if value is not None and key not in INERT and not key.startswith("_")
    }


def flag(config: Mapping[str, Any], file: str, key: str, default: bool) -> bool:
    """A true or false of a config; null means the default."""
    value = default if config.get(key) is None else config[key]
    if not isinstance(value, bool):
        raise InputError(f"{file}: {key} must be true or false, not {_short(value)}")
    return value


def one_of(config: Mapping[str, Any], file: str, key: str, allowed: Collection[str], default: str) -> str:
    """A word of a config out of `allowed`; null means the default."""
    value = default if config.get(key) is None else config[key]
    if not isinstance(value, str) or value not in allowed:
        raise InputError(f"{file}: {key} {_short(value)} is not supported; allowed: {', '.join(allowed)}")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
