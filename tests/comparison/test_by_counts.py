"""GloVe's folder is a model like any other, and words of one topic are near each other in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.comparison.studies import small_plan
from tests.training.conftest import PIECES, TOPICS

from bertsmith.comparison import by_counts
from bertsmith.comparison.system import PretrainedModel
from bertsmith.comparison.systems import chosen_systems
from bertsmith.export.model_folder import load_model


def test_words_that_stand_together_are_near_each_other(
    material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_counts, "EPOCHS", 10)
    (system,) = chosen_systems(["glove"])
    made = system.pretrain(system, small_plan(material, tokens=10**6), tmp_path / "model")
    assert isinstance(made, PretrainedModel)
    loaded = load_model(tmp_path / "model")
    vectors = loaded.model.bert.embeddings.wordpiece.weight.detach()
    assert made.parameters == vectors.numel()
    ids = [[PIECES.index(noun) for noun in topic] for topic in TOPICS]
    nouns = vectors[torch.tensor(ids)]  # (8, 3, H)
    # All nouns stand between the same words, which is most of what their vectors say.
    units = torch.nn.functional.normalize(nouns - nouns.mean((0, 1)), dim=-1)
    similarity = torch.einsum("aih,bjh->abij", units, units)
    within = similarity.diagonal(dim1=0, dim2=1).permute(2, 0, 1)[:, ~torch.eye(3).bool()].mean()
    between = similarity[~torch.eye(8).bool()].mean()
    assert within > between + 0.3
    assert not vectors[loaded.tokenizer.mask_id].any()


def test_a_budget_of_time_is_kept(material: Path, tmp_path: Path) -> None:
    (system,) = chosen_systems(["glove"])
    plan = small_plan(material, tokens=None, minutes=0.02)
    made = system.pretrain(system, plan, tmp_path / "model")
    assert isinstance(made, PretrainedModel)
    assert made.steps > 0
    assert made.figures["epochs"] >= 1


def test_its_vectors_have_the_size_that_the_settings_give(material: Path, tmp_path: Path) -> None:
    (system,) = chosen_systems(["glove"])
    model = {"hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 3}
    plan = small_plan(material, tokens=2000, settings={"model": model})
    system.pretrain(system, plan, tmp_path / "model")
    config = load_model(tmp_path / "model").model.config
    assert (config.hidden_size, config.num_hidden_layers) == (64, 1)
