"""The vectors are where the objective wants them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from bertsmith.data.cooccurrence import Cooccurrences
from bertsmith.errors import ConfigError
from bertsmith.training.glove import ALPHA, X_MAX, Glove, fit_glove

VOCAB = 6


def toy_pairs(seed: int = 0) -> Cooccurrences:
    """Counts on both sides of x_max, some pairs missing, and wordpiece 5 beside none."""
    rng = np.random.default_rng(seed)
    both = list(itertools.combinations_with_replacement(range(VOCAB - 1), 2))
    kept = [pair for pair in both if pair != (1, 3)]
    rows, columns = np.array(kept).T
    counts = np.exp(rng.uniform(0, 7, len(kept))).astype(np.float32)
    return Cooccurrences(VOCAB, rows, columns, counts, 1000)


def objective(pairs: Cooccurrences, flat: np.ndarray, size: int) -> tuple[float, np.ndarray]:
    """Equation 8 and its gradient over the whole matrix, written in NumPy alone."""
    matrix = np.zeros((VOCAB, VOCAB))
    matrix[pairs.rows, pairs.columns] = matrix[pairs.columns, pairs.rows] = pairs.counts
    cut = VOCAB * size
    w, c = flat[:cut].reshape(VOCAB, size), flat[cut : 2 * cut].reshape(VOCAB, size)
    a, b = flat[2 * cut : 2 * cut + VOCAB], flat[2 * cut + VOCAB :]
    is_there = matrix > 0
    weights = np.where(is_there, np.minimum(1, (matrix / X_MAX) ** ALPHA), 0)
    errors = w @ c.T + a[:, None] + b[None] - np.log(np.where(is_there, matrix, 1))
    pull = 2 * weights * errors
    gradient = [(pull @ c).ravel(), (pull.T @ w).ravel(), pull.sum(1), pull.sum(0)]
    return float((weights * errors**2).sum()), np.concatenate(gradient)


def flat_parameters(model: Glove) -> np.ndarray:
    parts = (model.words, model.contexts, model.word_biases, model.context_biases)
    return np.concatenate([part.detach().numpy().ravel() for part in parts]).astype(np.float64)


@pytest.mark.parametrize("size", [1, 2])
def test_a_fit_ends_at_an_optimum_of_the_objective(size: int) -> None:
    pairs = toy_pairs()
    model, fit = fit_glove(pairs, size, epochs=1500, learning_rate=1.0)
    value, gradient = objective(pairs, flat_parameters(model), size)
    assert fit.losses[-1] * len(pairs.counts) == pytest.approx(value, rel=1e-3, abs=1e-6)
    assert np.abs(gradient).max() < 0.01
    # Another method, which goes on from where the fit has ended, finds nothing better.
    solved = minimize(
        lambda flat: objective(pairs, flat, size),
        flat_parameters(model),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-8},
    )
    assert value <= 1.001 * solved.fun


def test_with_room_enough_products_are_the_logarithms_of_counts() -> None:
    pairs = toy_pairs(1)
    model, _ = fit_glove(pairs, VOCAB, epochs=1000, learning_rate=1.0)
    rows, columns = torch.from_numpy(pairs.rows), torch.from_numpy(pairs.columns)
    with torch.no_grad():
        for one, other in ((rows, columns), (columns, rows)):
            found = model(one, other)
            torch.testing.assert_close(
                found, torch.from_numpy(pairs.counts).log(), atol=0.01, rtol=0
            )


def test_the_loss_is_the_objective_over_all_ordered_pairs() -> None:
    pairs = toy_pairs(2)
    torch.manual_seed(0)
    model = Glove(VOCAB, 3)
    arrays = [torch.from_numpy(each) for each in (pairs.rows, pairs.columns, pairs.counts)]
    loss = model.both_ways(*arrays)
    loss.backward()
    value, gradient = objective(pairs, flat_parameters(model), 3)
    assert loss.item() == pytest.approx(value, rel=1e-5)
    parts = (model.words, model.contexts, model.word_biases, model.context_biases)
    found = np.concatenate([part.grad.numpy().ravel() for part in parts if part.grad is not None])
    np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-5)


def test_vectors_are_the_sums_and_those_of_unseen_wordpieces_are_nothing() -> None:
    model, fit = fit_glove(toy_pairs(), 4, epochs=2)
    expected = (model.words + model.contexts).detach()
    torch.testing.assert_close(fit.vectors[:5], expected[:5])
    assert not fit.vectors[5].any()
    assert fit.vectors[:5].abs().sum() > 0


def test_the_same_seed_gives_the_same_vectors_in_small_steps() -> None:
    one, other = (fit_glove(toy_pairs(), 4, epochs=5, pairs_a_step=4)[1] for _ in range(2))
    assert torch.equal(one.vectors, other.vectors)
    assert one.steps == 5 * 4
    assert one.losses[-1] < one.losses[0]
    different = fit_glove(toy_pairs(), 4, epochs=5, pairs_a_step=4, seed=1)[1]
    assert not torch.equal(one.vectors, different.vectors)


def test_time_ends_a_fit_and_something_has_to() -> None:
    _, fit = fit_glove(toy_pairs(), 4, epochs=None, seconds=0.05)
    assert fit.steps > 0
    with pytest.raises(ConfigError, match="the fit needs a length"):
        fit_glove(toy_pairs(), 4, epochs=None)


def test_a_step_is_made_however_little_time_there_is() -> None:
    _, fit = fit_glove(toy_pairs(), 3, epochs=None, seconds=-1.0)
    assert fit.steps == len(fit.losses) == 1
