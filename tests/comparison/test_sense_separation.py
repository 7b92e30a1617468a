"""Figures of senses by hand, by scikit-learn, and where there is nothing to tell apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from bertsmith.comparison.sense_separation import separation


def test_by_hand() -> None:
    table = torch.tensor(
        [
            [1.0, 0.8, 0.1, 0.2],
            [0.8, 1.0, 0.3, 0.9],
            [0.1, 0.3, 1.0, 0.6],
            [0.2, 0.9, 0.6, 1.0],
        ]
    )
    found = separation(table, ["a", "a", "b", "b"])
    assert found is not None
    assert found.within == pytest.approx(0.7)
    assert found.between == pytest.approx((0.1 + 0.2 + 0.3 + 0.9) / 4)
    assert found.difference == pytest.approx(found.within - found.between)
    # The second is nearest to the fourth and the fourth to the second, both wrong.
    assert found.accuracy == 0.5
    assert found.chance == pytest.approx(1 / 3)


def test_accuracy_is_that_of_one_nearest_neighbour() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    senses = [("x", "y", "z")[number] for number in rng.integers(3, size=40)]
    model = KNeighborsClassifier(1, metric="cosine", algorithm="brute")
    expected = cross_val_score(model, vectors, senses, cv=LeaveOneOut()).mean()
    found = separation(torch.tensor(vectors @ vectors.T), senses)
    assert found is not None
    assert found.accuracy == pytest.approx(expected)


def test_vectors_that_are_all_the_same_have_chance_in_any_order() -> None:
    senses = ["a", "b", "a", "b", "b", "a", "c", "c"]
    noise = torch.randn(8, 8, generator=torch.Generator().manual_seed(0)) * 1e-7
    for order in (senses, sorted(senses), sorted(senses, reverse=True)):
        found = separation(torch.ones(8, 8) + noise, order)
        assert found is not None
        assert found.accuracy == pytest.approx(found.chance)
        assert found.chance == pytest.approx((3 * 2 + 3 * 2 + 2 * 1) / 8 / 7)
        assert found.difference == pytest.approx(0, abs=1e-6)


def test_a_sense_of_one_sentence_only_leads_others_astray() -> None:
    table = torch.tensor([[1.0, 0.5, 0.9], [0.5, 1.0, 0.1], [0.9, 0.1, 1.0]])
    found = separation(table, ["a", "a", "b"])
    assert found is not None
    assert found.accuracy == 0.5
    assert found.within == pytest.approx(0.5)


def test_sentences_without_a_sense_do_not_count() -> None:
    table = torch.rand(6, 6, generator=torch.Generator().manual_seed(0))
    table = (table + table.T) / 2
    some = ["a", None, "a", "b", None, "b"]
    kept = [0, 2, 3, 5]
    assert separation(table, some) == separation(table[kept][:, kept], ["a", "a", "b", "b"])


@pytest.mark.parametrize("senses", [[None] * 3, ["a", "a", "a"], ["a", "b", "c"], ["a", "a", None]])
def test_there_may_be_nothing_to_tell_apart(senses: list[str | None]) -> None:
    assert separation(torch.eye(3), senses) is None
