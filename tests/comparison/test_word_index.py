"""Near words, by NumPy's arithmetic and by what must hold for any vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertsmith.comparison.corpus_sentences import CorpusSentences
from bertsmith.comparison.word_index import WordIndex, centred
from bertsmith.comparison.word_vectors import all_words, read_words, word_vectors
from bertsmith.errors import DataError
from bertsmith.export.model_folder import LoadedModel


def test_it_has_every_word_and_the_figures_of_numpy(
    systems: dict[str, LoadedModel], corpus: CorpusSentences
) -> None:
    loaded = systems["BERT"]
    index = WordIndex.build(loaded, corpus.all)
    read = read_words(loaded, corpus.all)
    (layers,) = word_vectors(loaded, [each for each, _ in read], all_words(read, 10**6))
    table = layers[-1].double().numpy()
    assert (
        len(index.words)
        == len(table)
        == sum(sum(word.strip(".,").isalnum() for word in text.split()) for text in corpus.all)
    )
    scaled = table / np.linalg.norm(table, axis=1, keepdims=True)
    pairs = (scaled @ scaled.T)[np.triu_indices(len(table), 1)]
    assert index.mean_similarity == pytest.approx(pairs.mean(), abs=1e-6)
    moved = table - table.mean(0)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    np.testing.assert_allclose(index.vectors.numpy(), moved, atol=1e-5)
    assert [len(each) for each in index.means] == [32, 32, 32]

    asked = centred(layers[-1][:2], index.means[-1])
    for row, near in zip(moved[:2], index.nearest(asked, ["", ""], 3), strict=True):
        best: dict[str, float] = {}
        for place in np.argsort(-(moved @ row), kind="stable"):
            best.setdefault(index.words[place].text.casefold(), float(moved[place] @ row))
        assert [each.word.text.casefold() for each in near] == list(best)[:3]
        assert [each.similarity for each in near] == pytest.approx(
            list(best.values())[:3], abs=1e-5
        )
        assert near[0].sentence in corpus.all


def test_of_static_vectors_a_word_is_nearest_to_itself_wherever_it_stands(
    systems: dict[str, LoadedModel], corpus: CorpusSentences
) -> None:
    index = WordIndex.build(systems["GloVe"], corpus.all)
    places = [place for place, word in enumerate(index.words) if word.text == "right"]
    assert len(places) == 2
    first, second = index.nearest(index.vectors[places], ["", ""], 2)
    assert [each.word.text for each in first] == [each.word.text for each in second]
    assert first[0].word.text == "right"
    assert first[0].similarity == pytest.approx(1, abs=1e-6)


def test_it_is_bounded(
    monkeypatch: pytest.MonkeyPatch, systems: dict[str, LoadedModel], corpus: CorpusSentences
) -> None:
    monkeypatch.setattr("bertsmith.comparison.word_index.MAX_WORDS", 7)
    index = WordIndex.build(systems["LSTM"], corpus.all)
    assert len(index.words) == len(index.vectors) == 7
    assert [len(each) for each in index.means] == [32, 48]


@pytest.mark.parametrize("texts", [[""], [".", "!?"], ["king"]])
def test_text_without_words_is_refused(systems: dict[str, LoadedModel], texts: list[str]) -> None:
    with pytest.raises(DataError, match="have fewer than two words; give held-out text"):
        WordIndex.build(systems["BERT"], texts)


def test_the_mean_of_vectors_that_are_taken_away_leaves_length_one() -> None:
    vectors = torch.tensor([[3.0, 1.0], [1.0, 3.0]])
    found = centred(vectors, vectors.mean(0))
    torch.testing.assert_close(found, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) / 2**0.5)
