"""The arithmetic of a batch against PyTorch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.ops.attention import reference
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.training.flops import peak_flops, training_flops


def test_a_batch_takes_the_products_that_pytorch_counts() -> None:
    config = BertConfig.preset("tiny", vocab_size=1000)
    model = BertForTasks(config, [MaskedLM()], attention=reference)
    lengths = [60, 13, 40]
    batch = Batch.from_sequences([[1] * length for length in lengths])
    targets = {
        "masked_positions": torch.arange(0, 110, 10),
        "masked_labels": torch.arange(11),
    }
    with FlopCounterMode(display=False) as counter:
        losses = model.losses(model(batch, targets), targets)
        torch.stack(list(losses.values())).sum().backward()
    # On a CPU a batch is filled up: count with the tokens and squares that it is filled up to.
    filled = -(-sum(lengths) // 8) * 8
    squares = sum(length**2 for length in lengths) + (filled - sum(lengths)) ** 2
    expected = counter.get_total_flops()
    assert training_flops(config, filled, squares, 11) == pytest.approx(expected, rel=0.01)


def test_the_peak_of_a_cpu_is_not_known() -> None:
    assert peak_flops(torch.device("cpu")) is None
