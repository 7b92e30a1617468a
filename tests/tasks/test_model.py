"""One encoder, a head for each task, and a loss that is the sum of theirs."""

from __future__ import annotations

import pytest
import torch

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence

CONFIG = BertConfig(
    vocab_size=20,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=8,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
BATCH = Batch.from_sequences([[2, 7, 4, 3, 8, 3], [2, 4, 3, 9, 3]])
TARGETS = {
    "masked_positions": torch.tensor([2, 7]),
    "masked_labels": torch.tensor([11, 12]),
    "next_sentence_labels": torch.tensor([0, 1]),
}


def gradients(*counted: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = BertForTasks(CONFIG, [MaskedLM(), NextSentence()])
    losses = model.losses(model(BATCH, TARGETS), TARGETS)
    torch.stack([losses[name] for name in counted]).sum().backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def test_the_gradient_of_the_sum_is_the_sum_of_both() -> None:
    both, of_words, of_pairs = (
        gradients("masked_lm", "next_sentence"),
        gradients("masked_lm"),
        gradients("next_sentence"),
    )
    for name, gradient in both.items():
        zero = torch.zeros_like(gradient)
        parts = of_words.get(name, zero) + of_pairs.get(name, zero)
        torch.testing.assert_close(gradient, parts, atol=1e-6, rtol=1e-4, msg=name)
    # The pooler learns from pairs alone, and the encoder from both.
    assert "bert.pooler.dense.weight" not in of_words
    assert of_words["bert.embeddings.wordpiece.weight"].any()
    assert of_pairs["bert.embeddings.wordpiece.weight"].any()


def test_every_parameter_takes_part() -> None:
    torch.manual_seed(0)
    names = {n for n, _ in BertForTasks(CONFIG, [MaskedLM(), NextSentence()]).named_parameters()}
    assert gradients("masked_lm", "next_sentence").keys() == names


def test_logits_and_losses_go_by_the_tasks_names() -> None:
    model = BertForTasks(CONFIG, [NextSentence(), MaskedLM()])
    logits = model(BATCH, TARGETS)
    assert {name: tuple(x.shape) for name, x in logits.items()} == {
        "next_sentence": (2, 2),
        "masked_lm": (2, 20),
    }
    assert list(model.losses(logits, TARGETS)) == ["next_sentence", "masked_lm"]


def test_there_is_a_pooler_where_a_task_wants_one() -> None:
    assert BertForTasks(CONFIG, [MaskedLM()]).bert.pooler is None
    assert BertForTasks(CONFIG, [MaskedLM(), NextSentence()]).bert.pooler is not None


@pytest.mark.parametrize("tasks", [[MaskedLM(), MaskedLM()]])
def test_tasks_are_named_and_each_once(tasks: list[MaskedLM]) -> None:
    with pytest.raises(ConfigError, match="must name each task once"):
        BertForTasks(CONFIG, tasks)
