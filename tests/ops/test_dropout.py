"""Our dropout does what PyTorch's does."""

from __future__ import annotations

import itertools

import pytest
import torch

from bertsmith.ops.dropout import Dropout, dropout, hashed_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("prob", [0.1, 0.5, 0.9])
def test_the_stated_share_is_dropped_and_the_rest_scaled(prob: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(1001, 999, dtype=dtype, requires_grad=True)
    y = dropout(x, prob)
    assert y.dtype == dtype
    is_kept = y != 0
    # The share of a million draws has a deviation of at most 0.0005.
    assert is_kept.double().mean().item() == pytest.approx(1 - prob, abs=0.0025)
    assert y[is_kept].float().unique().tolist() == pytest.approx([1 / (1 - prob)], rel=0.004)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y)


def test_places_are_independent() -> None:
    torch.manual_seed(1)
    kept = (dropout(torch.ones(4, 250_000), 0.5) != 0).double()  # (4, n)
    flat = kept.flatten()
    for lag in (1, 2, 3, 4, 8, 16):
        agree = (flat[lag:] == flat[:-lag]).double().mean().item()
        assert agree == pytest.approx(0.5, abs=0.003), lag


def test_a_seed_gives_the_same_places() -> None:
    x = torch.randn(7, 13)
    torch.manual_seed(5)
    first, second = dropout(x, 0.3), dropout(x, 0.3)
    torch.manual_seed(5)
    assert torch.equal(dropout(x, 0.3), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("prob", "kept"), [(0.0, 1.0), (1.0, 0.0), (1e-9, 1.0)])
def test_the_ends(prob: float, kept: float) -> None:
    assert (dropout(torch.ones(100), prob) != 0).double().mean() == kept


def test_the_module_drops_in_training_alone() -> None:
    module, x = Dropout(0.5), torch.ones(1000)
    assert 300 < int((module(x) == 0).sum()) < 700
    assert module.eval()(x) is x
    assert module.extra_repr() == torch.nn.Dropout(0.5).extra_repr()
    assert dropout(torch.ones(0, 3), 0.5).shape == (0, 3)


needs_cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def seed_of(number: int) -> torch.Tensor:
    return torch.tensor([number])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("prob", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", [-(2**31), 0, 12345])
def test_a_hash_drops_the_stated_share(seed: int, prob: float, dtype: torch.dtype) -> None:
    x = torch.ones(1001, 999, dtype=dtype, requires_grad=True)
    y = hashed_dropout(x, prob, seed_of(seed))
    assert y.dtype == dtype
    is_kept = y != 0
    assert is_kept.double().mean().item() == pytest.approx(1 - prob, abs=0.0025)
    assert y[is_kept].float().unique().tolist() == pytest.approx([1 / (1 - prob)], rel=0.004)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y)


def test_hashes_of_places_and_of_seeds_are_independent() -> None:
    x = torch.ones(2**20)
    kept = [(hashed_dropout(x, 0.5, seed_of(seed)) != 0).double() for seed in (0, 1, 2**20, -1)]
    for lag in (1, 2, 3, 4, 8, 16, 128, 768, 1024):
        agree = (kept[0][lag:] == kept[0][:-lag]).double().mean().item()
        assert agree == pytest.approx(0.5, abs=0.003), lag
    for one, other in itertools.combinations(kept, 2):
        assert (one == other).double().mean().item() == pytest.approx(0.5, abs=0.003)
    # In rows as wide as a model, no column is kept more often than chance would have it.
    columns = kept[0].view(-1, 1024).mean(0)  # of 1024 rows each: a deviation of 0.0156
    assert columns.std().item() == pytest.approx(0.0156, rel=0.15)
    assert (columns - 0.5).abs().max().item() < 0.08


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's compiler, by itself
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_compiled_the_hash_is_the_same(device: str) -> None:
    x = torch.randn(33, 768, device=device, requires_grad=True)
    seed = seed_of(7).to(device)
    expected = hashed_dropout(x, 0.1, seed)
    actual = torch.compile(hashed_dropout)(x, 0.1, seed)
    assert torch.equal(actual, expected)
    gradients = [torch.autograd.grad(y.sum(), x)[0] for y in (actual, expected)]
    assert torch.equal(*gradients)
