"""Gradients are on their way before the backward pass is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence
from bertsmith.training import distributed
from bertsmith.training.distributed import Group
from bertsmith.training.replication import Replication


class Doubling(Group):
    """Two processes with the same gradients, of which one is here."""

    size = 2

    def __init__(self) -> None:
        self.model: BertForTasks | None = None
        self.sent: list[int] = []
        """How many parameters have come to their gradients when each bucket is sent."""
        self.finished = 0

    def begin_to_add_up(self, tensors: Sequence[Tensor]) -> Callable[[], None]:
        assert self.model is not None
        self.sent.append(sum(p.grad is not None for p in self.model.parameters()))
        tensors = list(tensors)

        def finish() -> None:
            self.finished += 1
            for tensor in tensors:
                tensor.mul_(2)

        return finish


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Doubling:
    monkeypatch.setattr(distributed, "BUCKET_NUMBERS", 100_000)
    return Doubling()


def placed(group: Doubling, *tasks: str) -> tuple[BertForTasks, Replication]:
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig.preset("tiny", num_hidden_layers=4, vocab_size=100, **no_dropout)
    torch.manual_seed(0)
    known = {"masked_lm": MaskedLM(), "next_sentence": NextSentence()}
    model = BertForTasks(config, [known[name] for name in tasks], with_pooler=True).train()
    group.model = model
    sharding = Replication(group)
    return sharding.place(model, torch.device("cpu")), sharding


def backward(model: BertForTasks) -> None:
    batch = Batch.from_sequences([list(range(5, 45)), list(range(30, 60))])
    targets = {
        "masked_positions": torch.tensor([3, 50]),
        "masked_labels": torch.tensor([5, 6]),
        "next_sentence_labels": torch.tensor([0, 1]),
    }
    losses = model.losses(model(batch, targets), targets)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]


def test_upper_layers_are_sent_while_lower_ones_are_computed(group: Doubling) -> None:
    model, sharding = placed(group, "masked_lm", "next_sentence")
    backward(model)
    once = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    sharding.begin_pass(model, is_last=False)
    backward(model)
    assert group.sent == []  # these gradients are not whole yet
    sharding.begin_pass(model, is_last=True)
    model.zero_grad()
    backward(model)
    during = len(group.sent)
    assert sharding.unsent_gradients(list(model.parameters())) == []
    assert len(group.sent) == during == group.finished  # all of them were on their way
    assert group.sent == sorted(group.sent)
    assert group.sent[0] < len(once) / 2
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, 2 * once[name])


def test_what_takes_no_part_is_waited_for_only_until_the_pass_is_over(group: Doubling) -> None:
    model, sharding = placed(group, "masked_lm")
    sharding.begin_pass(model, is_last=True)
    backward(model)
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert unused == ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]
    before = len(group.sent)
    sharding.unsent_gradients(list(model.parameters()))
    assert before < len(group.sent) == group.finished
