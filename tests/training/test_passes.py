"""Whatever is compiled, losses and gradients are those of the plain model."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.ops.ragged import RaggedLayout
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence
from bertsmith.training.passes import Passes
from bertsmith.training.recipe import TrainSettings


def attend_everywhere(
    qkv: Tensor, layout: RaggedLayout, dropout_prob: float, is_causal: bool = False
) -> Tensor:
    """As if the batch were one sequence, without a look at lengths, at which a graph would end."""
    q, k, v = qkv.permute(1, 2, 0, 3)
    return ((q @ k.transpose(1, 2) / 8).softmax(-1) @ v).transpose(0, 1)


@pytest.mark.slow  # the compiler takes a minute
@pytest.mark.filterwarnings("ignore")  # of PyTorch's compiler, by itself
def test_compiled_passes_are_the_plain_ones() -> None:
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    sizes = {"num_hidden_layers": 5, "vocab_size": 100}
    config = BertConfig.preset("tiny", **no_dropout, **sizes)
    torch.manual_seed(0)
    batch = Batch.from_sequences([torch.randint(100, (n,)).tolist() for n in (40, 8, 16)])
    batch = dataclasses.replace(batch, is_static=True)
    model = BertForTasks(config, [MaskedLM(), NextSentence()], attention=attend_everywhere)
    targets = {
        "masked_positions": torch.tensor([3, 17, 60]),
        "masked_labels": torch.tensor([5, 6, -100]),
        "next_sentence_labels": torch.tensor([0, 1, 1]),
    }
    expected: dict[str, Tensor] = {}
    graphs = {}
    for way in (False, True):
        torch.compiler.reset()
        counters.clear()
        settings = TrainSettings(output="run", steps=1, compile=way)
        passes = Passes(model.train(), torch.device("cpu"), settings, precision="fp32")
        model.zero_grad()
        _, losses = passes(batch, targets)
        gradients = {name: p.grad for name, p in model.named_parameters()}
        actual = {k: v.detach().clone() for k, v in (gradients | losses).items() if v is not None}
        expected = expected or actual
        assert actual.keys() == expected.keys()
        for name, value in actual.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)
        graphs[way] = counters["stats"]["unique_graphs"]
    # Embeddings, one layer for all five, and the heads with their losses.
    assert graphs == {False: 0, True: 3}
    torch.compiler.reset()
