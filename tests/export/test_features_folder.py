"""A model over fixed features is a folder whose encoder anyone opens, and that opens here whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError
from bertsmith.export.model_folder import load_model, load_pretrained, load_weights, save_model
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.task import Task
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

PIECES = [*SPECIAL_TOKENS, "a", "good", "bad", "film", "."]
CONFIG = BertConfig(
    vocab_size=len(PIECES),
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=12,
    initializer_range=0.2,
)
FEATURES = FeaturesConfig(
    layers=("embeddings", -1), combine="weighted_sum", layer_norm=True, lstm_hidden_size=5
)
BATCH = Batch.from_sequences([[2, 5, 6, 8, 9, 3], [2, 7, 3]])
CLASSES = ["bad", "good", "neither"]


def classification(labels: Sequence[str] = CLASSES) -> list[Task]:
    return [build_task("sequence_classification", labels=labels)]


@pytest.fixture(params=[True, False], ids=["with a pooler", "without a pooler"])
def saved(request: Any, tmp_path: Path) -> tuple[BertForTasks, Path]:
    torch.manual_seed(0)
    model = BertForTasks(
        CONFIG, classification(), with_pooler=request.param, features=FEATURES
    ).eval()
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)
    save_model(tmp_path / "model", model, tokenizer)
    return model, tmp_path / "model"


Saved = tuple[BertForTasks, Path]


def test_it_opens_here_with_the_same_bits(saved: Saved) -> None:
    model, folder = saved
    loaded = load_model(folder)
    assert loaded.report.new == loaded.report.left_over == []
    again = loaded.model
    assert again.features is not None
    assert again.features.settings == FEATURES
    ours, theirs = (dict(each.named_parameters()) for each in (model, again))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    with torch.no_grad():
        torch.testing.assert_close(again(BATCH, {}), model(BATCH, {}), atol=0, rtol=0)


def test_transformers_opens_its_encoder_unchanged(saved: Saved) -> None:
    model, folder = saved
    with_pooler = model.bert.pooler is not None
    theirs, info = transformers.AutoModel.from_pretrained(
        folder,
        add_pooling_layer=with_pooler,
        output_loading_info=True,
        attn_implementation="eager",
    )
    assert type(theirs) is transformers.BertModel
    assert theirs.config.id2label == dict(enumerate(CLASSES))
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    extra = {name.split(".")[0] for name in info["unexpected_keys"]}
    assert extra == {"features", "classifier"}
    with torch.no_grad():
        expected = theirs.eval()(torch.tensor([[2, 5, 6, 8, 9, 3]]))
        ours = model.bert(BATCH)
    torch.testing.assert_close(ours.hidden_states[:6], expected.last_hidden_state[0])
    if with_pooler:
        torch.testing.assert_close(ours.pooled_output[:1], expected.pooler_output)


def test_what_transformers_saves_of_it_is_an_encoder(saved: Saved, tmp_path: Path) -> None:
    model, folder = saved
    theirs = transformers.BertModel.from_pretrained(
        folder, add_pooling_layer=model.bert.pooler is not None
    )
    theirs.save_pretrained(tmp_path / "theirs")
    assert "features" in json.loads((tmp_path / "theirs/config.json").read_text())["bertsmith"]
    Tokenizer.load(folder).save(tmp_path / "theirs")
    loaded = load_model(tmp_path / "theirs").model
    assert loaded.tasks == ()
    assert loaded.features is None
    with torch.no_grad():
        expected = model.bert(BATCH).hidden_states
        torch.testing.assert_close(loaded.bert(BATCH).hidden_states, expected)


def test_a_run_goes_on_with_its_like_and_takes_only_the_encoder_for_others(saved: Saved) -> None:
    model, folder = saved
    same = load_pretrained(folder, classification(), features=FEATURES)
    assert same.report.new == []
    others: list[tuple[list[Task], FeaturesConfig | None]] = [
        (classification(["x", "y", "z"]), FEATURES),
        (classification(), FeaturesConfig(layers=(-1,), lstm_hidden_size=5)),
        (classification(), None),
    ]
    for tasks, features in others:
        loaded = load_pretrained(folder, tasks, features=features)
        ours, theirs = loaded.model.bert.encoder, model.bert.encoder
        assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
        new = {name.split(".")[0] for name in loaded.report.new} - {"bert"}
        assert new == ({"heads"} if features is None else {"features", "heads"})
        assert any(name.startswith("features.") for name in loaded.report.left_over)


def test_features_over_any_other_model_start_anew(tmp_path: Path, saved: Saved) -> None:
    plain = BertForTasks(CONFIG, classification())
    save_model(tmp_path / "plain", plain, Tokenizer.load(saved[1]))
    loaded = load_pretrained(tmp_path / "plain", classification(), features=FEATURES)
    assert loaded.model.bert.pooler is not None
    assert {name.split(".")[0] for name in loaded.report.new} == {"features", "heads"}
    with pytest.raises(CheckpointError, match="do not belong together"):
        load_weights(loaded.model, tmp_path / "plain")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (3, "is not a setting"),
        ({"layers": 3}, r"features\.layers \(3\) must be a list"),
        ({"layers": [-9]}, "names -9 and the model has 2"),
        ({"layers": [None]}, "names None"),
        ({"lstm_layers": 3}, r"lacks features\.bilstm\.lstm\.weight_hh_l2_reverse"),
        ({"lstm_hidden_size": 10**12}, r"has the shape \(20, 5\)"),
        ({"combine": "concat"}, r"has the shape \(20, 16\) where .* has \(20, 32\)"),
        ({"colour": 3}, r"features\.colour is not a setting"),
        ({"lstm_hidden_size": "x"}, "must be at least 1"),
        ({"lstm_hidden_size": 6}, r"has the shape \(20, 5\) where .* has \(24, 6\)"),
    ],
)
def test_a_damaged_configuration_is_refused_in_one_sentence(
    saved: Saved, tmp_path: Path, features: Any, message: str
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(saved[1], folder)
    config = json.loads((folder / "config.json").read_text())
    stored = config["bertsmith"]["features"]
    config["bertsmith"]["features"] = stored | features if features != 3 else 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(folder)
    assert str(error.value).count("\n") == 0
