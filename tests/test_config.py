"""Settings that cannot work are refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "heads": (
        {"hidden_size": 100},
        r"num_attention_heads \(12\) does not divide hidden_size \(100\); the nearest size that "
        r"it does is 96",
    ),
    "zero": ({"num_hidden_layers": 0}, r"num_hidden_layers \(0\) must be a whole number"),
    "text": ({"vocab_size": "30522"}, r"vocab_size \('30522'\) must be a whole number"),
    "true": ({"hidden_size": True}, r"hidden_size \(True\) must be a whole number"),
    "probability": ({"hidden_dropout_prob": 1.0}, r"hidden_dropout_prob \(1.0\) must be at least"),
    "not a number": ({"layer_norm_eps": float("nan")}, r"layer_norm_eps \(nan\) must be above 0"),
    "activation": ({"hidden_act": "swish"}, r"hidden_act \('swish'\) must be one of gelu"),
    "pad": ({"pad_token_id": 99999}, r"pad_token_id \(99999\) must be an id below vocab_size"),
}


@pytest.mark.parametrize(("values", "message"), BAD.values(), ids=BAD)
def test_bad_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BertConfig(**values)


def test_an_unknown_key_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"hidden_sise is not .*did you mean hidden_size"):
        BertConfig.from_dict({"hidden_sise": 3})


def test_an_unknown_size_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'huge' is not a size of BERT; the sizes are tiny"):
        BertConfig.preset("huge")


def test_the_published_files_are_read_whatever_else_they_hold(tmp_path: Path) -> None:
    published = {
        "attention_probs_dropout_prob": 0.1,
        "directionality": "bidi",
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 768,
        "initializer_range": 0.02,
        "intermediate_size": 3072,
        "max_position_embeddings": 512,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pooler_fc_size": 768,
        "type_vocab_size": 2,
        "vocab_size": 28996,
    }
    path = tmp_path / "bert_config.json"
    path.write_text(json.dumps(published))
    assert BertConfig.load(path) == BertConfig.preset("base", cased=True)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        BertConfig.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        BertConfig.load(tmp_path / "config.json")
