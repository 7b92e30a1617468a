"""The masked LM scores what is masked, with the embedding as its decoder, and learns every word."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks

CONFIG = BertConfig(
    vocab_size=20,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=8,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    initializer_range=0.2,
)
BATCH = Batch.from_sequences([[2, 7, 4, 3], [2, 4, 8, 9, 3]])


def build() -> BertForTasks:
    torch.manual_seed(0)
    return BertForTasks(CONFIG, [MaskedLM()])


def targets(positions: list[int], labels: list[int]) -> dict[str, torch.Tensor]:
    return {
        "masked_positions": torch.tensor(positions, dtype=torch.int64),
        "masked_labels": torch.tensor(labels, dtype=torch.int64),
    }


def test_the_decoder_is_the_embedding_one_parameter_with_two_uses() -> None:
    model = build()
    embedding = model.bert.embeddings.wordpiece.weight
    assert model.heads["masked_lm"].decoder_weight is embedding
    assert sum(parameter is embedding for parameter in model.parameters()) == 1
    sizes = [parameter.numel() for parameter in model.heads["masked_lm"].parameters()]
    h, v = CONFIG.hidden_size, CONFIG.vocab_size
    assert sum(sizes) - embedding.numel() == h * h + h + 2 * h + v
    # A word that is nowhere in the batch gets a gradient as an answer that was not given.
    model.losses(model(BATCH, wanted := targets([2], [7])), wanted)["masked_lm"].backward()
    assert embedding.grad is not None
    assert embedding.grad[15].any()


def test_each_masked_position_is_scored_by_the_definition() -> None:
    model = build()
    head = model.heads["masked_lm"]
    logits = model(BATCH, targets([2, 5], [7, 8]))["masked_lm"]
    hidden = model.bert(BATCH).hidden_states[[2, 5]]
    x = F.gelu(hidden @ head.transform.weight.T + head.transform.bias)
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-12).sqrt()
    x = x * head.layer_norm.weight + head.layer_norm.bias
    expected = x @ model.bert.embeddings.wordpiece.weight.T + head.decoder_bias
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    loss = MaskedLM().loss(logits, targets([2, 5], [7, 8]))
    mean = -(logits.log_softmax(-1)[0, 7] + logits.log_softmax(-1)[1, 8]) / 2
    torch.testing.assert_close(loss, mean)


def test_unused_slots_change_neither_loss_nor_gradient() -> None:
    results = []
    for wanted in (targets([2, 5], [7, 8]), targets([2, 5, 0, 0], [7, 8, -100, -100])):
        model = build()
        loss = model.losses(model(BATCH, wanted), wanted)["masked_lm"]
        loss.backward()
        results.append((loss.detach(), [parameter.grad for parameter in model.parameters()]))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("slots", [0, 3])
def test_a_batch_without_masks_has_no_loss_and_no_gradient(slots: int) -> None:
    model = build()
    wanted = targets([0] * slots, [-100] * slots)
    loss = model.losses(model(BATCH, wanted), wanted)["masked_lm"]
    assert loss.item() == 0.0
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name  # NaN would count as any


def test_a_tiny_model_learns_every_masked_word() -> None:
    # Each word is told by its neighbour: 10 follows 5, 11 follows 6 and so on.
    model = build()
    sequences = [[2, 5 + i, 4, 3] for i in range(5)]
    batch = Batch.from_sequences(sequences)
    wanted = targets([2 + 4 * i for i in range(5)], [10 + i for i in range(5)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(100):
        logits = model(batch, wanted)
        model.losses(logits, wanted)["masked_lm"].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert model(batch, wanted)["masked_lm"].argmax(-1).tolist() == [10, 11, 12, 13, 14]
