"""Figures are those of all targets, whatever the batches, and the model is left as it was."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import pytest
import torch

from bertsmith.config import BertConfig
from bertsmith.data.example import Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.data.loader import LoadedBatch, Position
from bertsmith.errors import DataError
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.training.evaluation import evaluate

CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=16,
    initializer_range=0.5,
)
TASK = SequenceClassification(labels=["x", "y", "z"])
EXAMPLES = [
    Example(array("i", [2, 5 + i, *[6] * (i % 4), 3]), array("b", [0] * (3 + i % 4)), i % 3)
    for i in range(23)
]


def make_model() -> BertForTasks:
    torch.manual_seed(0)
    return BertForTasks(CONFIG, [TASK])


def batches(batch_size: int) -> Iterator[LoadedBatch]:
    for start in range(0, len(EXAMPLES), batch_size):
        examples = EXAMPLES[start : start + batch_size]
        yield LoadedBatch(pack_examples(examples), TASK.collate(examples), Position())


def figures(batch_size: int, **options: str) -> dict[str, float]:
    return evaluate(make_model(), batches(batch_size), "cpu", **options)


def test_figures_do_not_depend_on_the_batches() -> None:
    expected = figures(len(EXAMPLES))
    for batch_size in (1, 5, 22):
        assert figures(batch_size) == pytest.approx(expected, abs=1e-6)
    model = make_model().eval()
    logits = model(pack_examples(EXAMPLES), {})["sequence_classification"].detach()
    labels = torch.arange(23) % 3
    assert expected["accuracy"] == pytest.approx(
        float((logits.argmax(-1) == labels).double().mean())
    )
    loss = torch.nn.functional.cross_entropy(logits, labels)
    assert expected["loss"] == pytest.approx(float(loss), abs=1e-6)


def test_the_loss_of_several_tasks_is_the_sum_of_their_means_over_targets() -> None:
    torch.manual_seed(0)
    model = BertForTasks(CONFIG, [MaskedLM(), NextSentence()]).eval()
    loaded = []
    for examples, masked, pairs in [
        (EXAMPLES[:3], [7, 8, 9, -100], [0, 1, -100]),
        (EXAMPLES[3:5], [4, -100, -100, -100], [1, 1]),
    ]:
        targets = {
            "masked_positions": torch.tensor([1, 4, 5, 0]),
            "masked_labels": torch.tensor(masked),
            "next_sentence_labels": torch.tensor(pairs),
        }
        loaded.append(LoadedBatch(pack_examples(examples), targets, Position()))
    found = evaluate(model, loaded, "cpu")
    assert found["loss"] == pytest.approx(
        found["masked_lm_loss"] + found["next_sentence_loss"], abs=1e-6
    )
    assert {"masked_lm_accuracy", "next_sentence_accuracy"} < set(found)


@pytest.mark.parametrize("is_training", [True, False])
def test_dropout_is_off_and_the_mode_comes_back(is_training: bool) -> None:
    model = make_model().train(is_training)
    first = evaluate(model, batches(8), "cpu")
    assert first == evaluate(model, batches(8), "cpu")
    assert model.training is is_training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_mode_comes_back_after_an_error() -> None:
    model = make_model().train()
    with pytest.raises(DataError, match="there is nothing to evaluate on"):
        evaluate(model, [], "cpu")
    assert model.training


def test_bfloat16_changes_the_loss_but_little() -> None:
    exact, rounded = figures(8)["loss"], figures(8, precision="bf16")["loss"]
    assert exact != rounded
    assert exact == pytest.approx(rounded, rel=0.02)
