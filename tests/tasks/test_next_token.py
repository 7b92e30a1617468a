"""A tiny left-to-right model learns which token follows, and nothing else can be asked."""

from __future__ import annotations

import math

import pytest
import torch
from tests.tasks.learning import CONFIG

from bertsmith.batch import Batch
from bertsmith.errors import ConfigError
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_token import NextToken

BATCH = Batch.from_sequences([[2, 5, 6, 7, 3], [2, 8, 6, 9, 3], [2, 10, 3]])
LABELS = torch.tensor([5, 6, 7, 3, -100, 8, 6, 9, 3, -100, 10, 3, -100])
LTR = CONFIG.replace(encoder="left_to_right")


def test_it_learns_what_the_left_side_says_and_no_more() -> None:
    torch.manual_seed(0)
    model = BertForTasks(LTR, [NextToken()])
    targets = {"next_labels": LABELS}
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(200):
        loss = model.losses(model(BATCH, targets), targets)["next_token"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    # After [CLS] three tokens are equally likely; after that everything is certain.
    least = 3 * math.log(3) / 10
    assert least - 1e-4 < loss.item() < least + 0.02


def test_the_loss_is_the_mean_over_all_tokens_that_another_follows() -> None:
    torch.manual_seed(0)
    model = BertForTasks(LTR, [NextToken()]).eval()
    targets = {"next_labels": LABELS}
    logits = model(BATCH, targets)
    hidden = model.bert(BATCH).hidden_states
    scores = (hidden @ model.bert.embeddings.wordpiece.weight.T).log_softmax(-1)
    picked = [-scores[row, label] for row, label in enumerate(LABELS.tolist()) if label >= 0]
    assert len(picked) == 10
    loss = model.losses(logits, targets)["next_token"]
    torch.testing.assert_close(loss, torch.stack(picked).mean())


def test_the_decoder_is_the_embedding_and_nothing_is_added() -> None:
    model = BertForTasks(LTR, [NextToken()])
    names = [name for name, _ in model.named_parameters()]
    assert not any(name.startswith("heads.") for name in names)


@pytest.mark.parametrize("encoder", ["bert", "two_lstms", "static_vectors"])
def test_an_encoder_that_does_not_read_from_left_to_right_is_refused(encoder: str) -> None:
    config = CONFIG.replace(encoder=encoder)
    if encoder == "static_vectors":
        config = config.replace(num_hidden_layers=1)
    with pytest.raises(ConfigError, match=rf"next_token asks .* '{encoder}' does not"):
        BertForTasks(config, [NextToken()])
