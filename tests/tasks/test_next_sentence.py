"""Next-sentence prediction counts each label and learns each of them."""

from __future__ import annotations

import itertools

import pytest
import torch

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence

CONFIG = BertConfig(
    vocab_size=20,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=8,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    initializer_range=0.2,
)
# B follows A where both speak of the same; neither says anything alone.
TOPICS = [(5, 8), (6, 9), (7, 10)]
PAIRS = [
    ([2, a, 3, b, 3], int(topic != other))
    for (topic, (a, _)), (other, (_, b)) in itertools.product(enumerate(TOPICS), repeat=2)
]
BATCH = Batch.from_sequences([ids for ids, _ in PAIRS], [[0, 0, 0, 1, 1]] * len(PAIRS))
LABELS = torch.tensor([label for _, label in PAIRS])


def build(seed: int = 0) -> BertForTasks:
    torch.manual_seed(seed)
    return BertForTasks(CONFIG, [NextSentence()])


@pytest.mark.parametrize("label", [0, 1])
def test_each_label_contributes_its_own_column(label: int) -> None:
    logits = torch.tensor([[2.0, -1.0]], requires_grad=True)
    loss = NextSentence().loss(logits, {"next_sentence_labels": torch.tensor([label])})
    expected = -logits.log_softmax(-1)[0, label]
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, label] < 0 < logits.grad[0, 1 - label]


def test_sequences_that_are_no_pairs_do_not_count() -> None:
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    task = NextSentence()
    some = task.loss(logits, {"next_sentence_labels": torch.tensor([0, -100, 1, -100])})
    alone = task.loss(logits[[0, 2]], {"next_sentence_labels": torch.tensor([0, 1])})
    torch.testing.assert_close(some, alone)
    none = task.loss(logits, {"next_sentence_labels": torch.full((4,), -100)})
    assert none.item() == 0.0


def test_the_head_reads_the_pooled_output_without_dropout() -> None:
    model = BertForTasks(CONFIG.replace(hidden_dropout_prob=0.5), [NextSentence()]).train()
    head, output = model.heads["next_sentence"], model.bert(BATCH)
    expected = output.pooled_output @ head.classifier.weight.T + head.classifier.bias
    torch.testing.assert_close(head(output, {}), expected)


def test_a_tiny_model_learns_both_answers() -> None:
    model = build()
    wanted = {"next_sentence_labels": LABELS}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(250):
        model.losses(model(BATCH, wanted), wanted)["next_sentence"].backward()
        optimizer.step()
        optimizer.zero_grad()
    logits = model(BATCH, wanted)["next_sentence"].detach()
    for label in (0, 1):
        of_label = label == LABELS
        loss = NextSentence().loss(logits[of_label], {"next_sentence_labels": LABELS[of_label]})
        assert loss < 0.1, label
        assert (logits[of_label].argmax(-1) == label).all(), label
