"""The encoder: its size, its arithmetic, its start."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import DataError
from bertsmith.model.bert import Bert
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence

TINY = BertConfig(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=12,
)

# size: parameters of encoder and pooler, and with both pre-training heads
PUBLISHED = {
    ("tiny", False): (4_385_920, None),
    ("mini", False): (11_170_560, None),
    ("small", False): (28_763_648, None),
    ("medium", False): (41_373_184, None),
    ("base", False): (109_482_240, 110_106_428),
    ("base", True): (108_310_272, 108_932_934),
    ("large", False): (335_141_888, 336_226_108),
    ("large", True): (333_579_264, 334_661_958),
}


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "cased"), PUBLISHED)
def test_presets_have_the_published_number_of_parameters(name: str, cased: bool) -> None:
    encoder, with_heads = PUBLISHED[name, cased]
    with torch.device("meta"):
        model = BertForTasks(BertConfig.preset(name, cased=cased), [MaskedLM(), NextSentence()])
    assert count(model.bert) == encoder
    if with_heads is not None:
        assert count(model) == with_heads


def test_a_sequence_gets_the_same_vectors_alone_and_in_company() -> None:
    bert = Bert(TINY).eval()
    rows = [[3, 7, 9, 4], [3, 20, 4], [3, 7, 30, 31, 32, 4]]
    together = bert(Batch.from_sequences(rows))
    start = 0
    for index, row in enumerate(rows):
        alone = bert(Batch.from_sequences([row]))
        hidden_states = together.hidden_states[start : start + len(row)]
        torch.testing.assert_close(hidden_states, alone.hidden_states, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            together.pooled_output[index], alone.pooled_output[0], atol=1e-5, rtol=1e-5
        )
        start += len(row)


@pytest.mark.parametrize("num_tokens", [9, 65, 130])
def test_rounding_a_batch_up_changes_none_of_its_vectors(num_tokens: int) -> None:
    bert = Bert(TINY).eval()
    rows = [[3, *[7 + i % 40 for i in range(k, k + 6)], 4] for k in range(0, num_tokens - 8, 8)]
    rows.append([3] * (num_tokens - 8 * len(rows)))
    batch = Batch.from_sequences(rows)
    assert batch.num_tokens == num_tokens
    output = bert(batch)
    assert output.hidden_states.shape == (num_tokens, 16)
    assert output.pooled_output.shape == (len(rows), 16)
    last = bert(Batch.from_sequences(rows[-1:]))
    torch.testing.assert_close(
        output.hidden_states[-len(rows[-1]) :], last.hidden_states, atol=1e-5, rtol=1e-5
    )


def test_parameters_start_from_a_normal_cut_at_two_deviations() -> None:
    torch.manual_seed(0)
    bert = Bert(BertConfig.preset("mini"))
    values = bert.embeddings.wordpiece.weight.detach()
    assert values.abs().max() <= 0.04
    # n = 7.8 million: a normal with deviation 0.02 cut at 0.04 has deviation 0.01759.
    assert values.std().item() == pytest.approx(0.01759, abs=0.0001)
    for name, parameter in bert.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "layer_norm" in name:
            assert bool((parameter == 1).all()), name
        else:
            assert parameter.std().item() == pytest.approx(0.0176, rel=0.05), name


def test_dropout_acts_in_training_only() -> None:
    bert = Bert(TINY)
    batch = Batch.from_sequences([[3, 7, 9, 4]])
    bert.train()
    assert not torch.equal(bert(batch).hidden_states, bert(batch).hidden_states)
    bert.eval()
    assert torch.equal(bert(batch).hidden_states, bert(batch).hidden_states)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    batch = Batch.from_sequences([[3, 7, 9, 4], [3, 8, 4]])
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        bert = Bert(TINY).train()
        bert.encoder.gradient_checkpointing = checkpointing
        torch.manual_seed(1)
        bert(batch).hidden_states.square().sum().backward()
        gradients.append(bert.embeddings.wordpiece.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_sequence_longer_than_the_positions_is_one_sentence() -> None:
    with pytest.raises(DataError, match="13 wordpieces is longer than the model's 12 positions"):
        Bert(TINY)(Batch.from_sequences([[1] * 13]))


def test_the_two_gelus_differ_as_documented() -> None:
    x = torch.linspace(-6, 6, 10_001)
    difference = torch.nn.functional.gelu(x) - torch.nn.functional.gelu(x, approximate="tanh")
    assert difference.abs().max().item() == pytest.approx(4.73e-4, rel=0.01)
    exact = Bert(TINY).encoder.layers[0].feed_forward.activation
    tanh = Bert(TINY.replace(hidden_act="gelu_new")).encoder.layers[0].feed_forward.activation
    assert torch.equal(exact(x), torch.nn.functional.gelu(x))
    assert torch.equal(tanh(x), torch.nn.functional.gelu(x, approximate="tanh"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_ids": torch.tensor([2, 10**6, 3])}, "wordpiece ids from 0 to 1000000, and the"),
        ({"input_ids": torch.tensor([2, -1, 3])}, "wordpiece ids from -1 to 3"),
        ({"segment_ids": torch.tensor([0, 2, 2])}, "segment ids from 0 to 2, and the model's go"),
        ({"position_ids": torch.tensor([0, 1, 512])}, "position ids from 0 to 512"),
    ],
)
def test_ids_that_the_model_does_not_have_are_named(changes: Any, message: str) -> None:
    bert = Bert(BertConfig.preset("tiny", vocab_size=100))
    batch = dataclasses.replace(Batch.from_sequences([[2, 5, 3]]), **changes)
    with pytest.raises(DataError, match=message):
        bert(batch)
