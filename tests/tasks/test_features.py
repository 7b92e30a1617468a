"""Every kind of head learns from a BiLSTM over the layers of a BERT that stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.tasks.learning import CONFIG, learn

from bertsmith.batch import Batch
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.ops.ragged import row_indices
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.resize import with_positions

FEATURES = FeaturesConfig(layers=("embeddings", -1), lstm_hidden_size=12)
ROWS = [[2, 5, 7, 8, 3], [2, 6, 7, 8, 3], [2, 8, 5, 7, 7, 3], [2, 7, 6, 3]]
BATCH = Batch.from_sequences(ROWS)
TOKEN_LABELS = [[-100, 0, 1, 0, -100], [-100, 0, 2, 0, -100], [-100, 0, 0, 1, 2, -100]]
TOKEN_LABELS += [[-100, 2, 0, -100]]
# What each task is told of these four sequences, and the figure that is 1 when it is known.
KINDS: dict[str, tuple[dict[str, Any], dict[str, list[int]], str]] = {
    "sequence_classification": (
        {"labels": ["a", "b", "c"]},
        {"labels": [0, 1, 2, 0]},
        "accuracy",
    ),
    "token_classification": (
        {"labels": ["O", "NAME", "OTHER"]},
        {"token_labels": [label for labels in TOKEN_LABELS for label in labels]},
        "token_accuracy",
    ),
    "question_answering": (
        {},
        {
            "answer_places": [[1, 2], [3, 3], [0, 0], [2, 2]],
            "token_indices": row_indices([5, 5, 6, 4]).tolist(),
        },
        "answer_place_accuracy",
    ),
    "multiple_choice": (
        {},
        {"answers": [1, 0], "choice_indices": [[0, 1], [2, 3]]},
        "accuracy",
    ),
}


@pytest.mark.parametrize(
    ("name", "combine"),
    [*((name, "concat") for name in KINDS), ("sequence_classification", "weighted_sum")],
)
def test_it_is_learned_from_features(name: str, combine: Any) -> None:
    settings, values, figure = KINDS[name]
    targets = {key: torch.tensor(value) for key, value in values.items()}
    features = FeaturesConfig(layers=FEATURES.layers, combine=combine, lstm_hidden_size=48)
    figures = learn(build_task(name, **settings), BATCH, targets, steps=100, features=features)
    assert figures["before"] > 0.4
    assert figures["after"] < 0.1
    assert figures[figure] == 1.0


def build() -> BertForTasks:
    torch.manual_seed(0)
    task = build_task("sequence_classification", labels=["a", "b"])
    config = CONFIG.replace(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    return BertForTasks(config, [task], features=FEATURES)


@pytest.mark.parametrize("prepare", [lambda model: model, lambda model: model.eval().train()])
def test_dropout_is_above_the_encoder_alone(
    prepare: Callable[[BertForTasks], BertForTasks],
) -> None:
    model = prepare(build())
    assert model.training
    assert model.features is not None
    assert model.features.training
    assert not any(module.training for module in model.bert.modules())
    with torch.no_grad():
        first, second = (model.bert(BATCH).hidden_states for _ in range(2))
        assert torch.equal(first, second)
        logits = [model(BATCH, {})["sequence_classification"] for _ in range(2)]
    assert not torch.equal(*logits)


def test_no_pooler_is_made_for_heads_that_do_not_read_it() -> None:
    assert build().bert.pooler is None


def test_a_sequence_does_not_see_its_neighbours() -> None:
    model = build().eval()
    with torch.no_grad():
        together = model(BATCH, {})["sequence_classification"]
        alone = [model(Batch.from_sequences([row]), {})["sequence_classification"] for row in ROWS]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_resized_model_keeps_its_features() -> None:
    model = build().eval()
    again = with_positions(model, 40)
    with torch.no_grad():
        torch.testing.assert_close(again(BATCH, {}), model(BATCH, {}))
    assert not any(parameter.requires_grad for parameter in again.bert.parameters())
