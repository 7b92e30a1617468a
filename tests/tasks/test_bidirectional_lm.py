"""Both directions learn what their own side says."""

from __future__ import annotations

import math

import pytest
import torch
from tests.tasks.learning import CONFIG

from bertsmith.batch import Batch
from bertsmith.errors import ConfigError
from bertsmith.tasks.bidirectional_lm import BidirectionalLM
from bertsmith.tasks.model import BertForTasks

BATCH = Batch.from_sequences([[2, 5, 6, 3], [2, 7, 6, 3]])
LABELS = torch.tensor([[5, -100], [6, 2], [3, 5], [-100, 6], [7, -100], [6, 2], [3, 7], [-100, 6]])
ELMO = CONFIG.replace(encoder="two_lstms")
TARGETS = {"neighbour_labels": LABELS}


def test_both_directions_are_learned() -> None:
    torch.manual_seed(0)
    model = BertForTasks(ELMO, [BidirectionalLM()])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(200):
        loss = model.losses(model(BATCH, TARGETS), TARGETS)["bidirectional_lm"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    # Forward: two tokens may follow [CLS]. Backward: two may stand before 6, in each sequence.
    least = 4 * math.log(2) / 12
    assert least - 1e-4 < loss.item() < least + 0.02


def test_the_halves_predict_their_own_neighbour() -> None:
    torch.manual_seed(0)
    model = BertForTasks(ELMO, [BidirectionalLM()]).eval()
    hidden = model.bert(BATCH).hidden_states.detach().requires_grad_()
    output = model.bert(BATCH)._replace(hidden_states=hidden)
    logits = model.heads["bidirectional_lm"](output, TARGETS)
    assert logits.shape == (8, 2, CONFIG.vocab_size)
    half = CONFIG.hidden_size // 2
    for direction in (0, 1):
        (gradient,) = torch.autograd.grad(logits[:, direction].sum(), hidden, retain_graph=True)
        assert bool(gradient[:, :half].any()) == (direction == 0)
        assert bool(gradient[:, half:].any()) == (direction == 1)


@pytest.mark.parametrize("encoder", ["bert", "left_to_right"])
def test_an_encoder_whose_directions_meet_is_refused(encoder: str) -> None:
    with pytest.raises(ConfigError, match=f"'{encoder}' does not keep them apart"):
        BertForTasks(CONFIG.replace(encoder=encoder), [BidirectionalLM()])
