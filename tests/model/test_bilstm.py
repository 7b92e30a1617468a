"""The packed BiLSTM says of each sequence what PyTorch's says of that sequence alone."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.batch import Batch
from bertsmith.model.bilstm import BiLSTM, step_order

INPUT, SIZE = 5, 4


def build(num_layers: int = 2, dropout_prob: float = 0.0) -> BiLSTM:
    torch.manual_seed(0)
    return BiLSTM(INPUT, SIZE, num_layers, dropout_prob).double()


def bounds_of(lengths: list[int]) -> torch.Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).int()


def one_at_a_time(
    bilstm: BiLSTM, vectors: torch.Tensor, lengths: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """By the definition: PyTorch's own LSTM on each sequence, and its own final states."""
    tokens, sequences = [], []
    for part in vectors.split(lengths):
        output, (final, _) = bilstm.lstm(part)
        tokens.append(output)
        sequences.append(torch.cat([final[-2], final[-1]]))
    return torch.cat(tokens), torch.stack(sequences)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(1, 3))
def test_it_is_pytorchs_lstm_on_each_sequence(lengths: list[int], num_layers: int) -> None:
    bilstm = build(num_layers)
    vectors = torch.randn(sum(lengths), INPUT, dtype=torch.double, requires_grad=True)
    parameters = [vectors, *bilstm.parameters()]
    results = []
    for tokens, sequences in (
        bilstm(vectors, bounds_of(lengths)),
        one_at_a_time(bilstm, vectors, lengths),
    ):
        weights = torch.linspace(-1, 1, tokens.numel(), dtype=torch.double).view_as(tokens)
        loss = (tokens * weights).sum() + sequences.pow(3).sum()
        results.append((tokens, sequences, *torch.autograd.grad(loss, parameters)))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


def test_sequences_of_length_0_at_the_end_change_nothing() -> None:
    bilstm, vectors = build(), torch.randn(5, INPUT, dtype=torch.double)
    plain = bilstm(vectors, bounds_of([2, 1, 2]))
    filled = bilstm(vectors, bounds_of([2, 1, 2, 0, 0]))
    torch.testing.assert_close(filled.tokens, plain.tokens)
    torch.testing.assert_close(filled.sequences[:3], plain.sequences)
    assert filled.sequences.shape == (5, 2 * SIZE)
    assert filled.sequences.isfinite().all()


def test_sequences_of_padding_change_nothing() -> None:
    batch = Batch.from_sequences([[2, 5, 3], [2], [2, 3]])
    filled = batch.filled_up(11, 0)
    bilstm, vectors = build(), torch.randn(11, INPUT, dtype=torch.double)
    plain = bilstm(vectors[:6], batch.cu_seqlens)
    padded = bilstm(vectors, filled.cu_seqlens)
    torch.testing.assert_close(padded.tokens[:6], plain.tokens)
    torch.testing.assert_close(padded.sequences[:3], plain.sequences)


def test_no_step_is_spent_on_padding() -> None:
    order, batch_sizes = step_order(bounds_of([2, 4, 1, 0]), 7)
    assert order.tolist() == [2, 0, 6, 3, 1, 4, 5]  # the longest first, then step by step
    assert batch_sizes.tolist() == [3, 2, 1, 1]


def test_dropout_is_between_layers_and_in_training_only() -> None:
    vectors, bounds = torch.randn(3, INPUT, dtype=torch.double), bounds_of([3])
    dropping = build(2, 0.5).train()
    assert not torch.equal(dropping(vectors, bounds).tokens, dropping(vectors, bounds).tokens)
    dropping.eval()
    assert torch.equal(dropping(vectors, bounds).tokens, build()(vectors, bounds).tokens)
    single = build(1, 0.5).train()  # nothing lies between its layers
    assert torch.equal(single(vectors, bounds).tokens, single(vectors, bounds).tokens)
