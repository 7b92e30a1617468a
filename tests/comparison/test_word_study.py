"""What each kind of system must say of a word in sentences, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.comparison.systems import default_tokenizer, save, systems_of

from bertsmith.comparison.corpus_sentences import CorpusSentences
from bertsmith.comparison.labelled_sentences import DEFAULT_SENTENCES, LabelledSentence
from bertsmith.comparison.word_study import NUM_NEIGHBOURS, WordStudy, study_word
from bertsmith.errors import DataError
from bertsmith.export.model_folder import LoadedModel, load_model

NOWHERE = CorpusSentences([], [])


def similarities(study: WordStudy, name: str) -> np.ndarray:
    (system,) = [each for each in study.systems if each.name == name]
    return np.array(system.similarities)


def sentences(*texts: str) -> list[LabelledSentence]:
    return [LabelledSentence(text) for text in texts]


def test_static_vectors_are_the_same_in_every_sentence(study: WordStudy) -> None:
    np.testing.assert_allclose(similarities(study, "GloVe"), 1, atol=1e-6)
    static = study.systems[0]
    assert np.ptp(np.array([*static.points, *static.corpus_points]), axis=0).max() < 1e-3
    assert static.separation is not None
    assert static.separation.difference == pytest.approx(0, abs=1e-6)
    assert static.separation.accuracy == pytest.approx(static.separation.chance)
    assert static.layers == [static.separation]
    words = [[near.word.text for near in row] for row in static.neighbours]
    assert words == [words[0]] * len(DEFAULT_SENTENCES)


@pytest.mark.parametrize("name", ["LSTM", "GPT"])
def test_who_looks_back_alone_sees_no_difference_after_the_same_beginning(
    study: WordStudy, name: str
) -> None:
    alike = [n for n, each in enumerate(study.sentences) if each.text.startswith("The right ")]
    assert len(alike) == 4
    table = similarities(study, name)
    np.testing.assert_allclose(table[np.ix_(alike, alike)], 1, atol=1e-4)
    others = [n for n in range(len(table)) if n not in alike]
    assert table[np.ix_(others, others)][np.triu_indices(len(others), 1)].max() < 0.9999


def test_who_looks_both_ways_sees_one(study: WordStudy) -> None:
    table = similarities(study, "BERT")
    assert table[np.triu_indices(len(table), 1)].max() < 0.9999
    np.testing.assert_allclose(np.diag(table), 1, atol=1e-6)
    np.testing.assert_allclose(table, table.T, atol=1e-6)


def test_each_sentence_has_a_point_and_near_words_of_the_corpus(
    study: WordStudy, corpus: CorpusSentences
) -> None:
    assert study.num_corpus_sentences == 6
    assert study.num_with_word == 2
    for (start, end), each in zip(study.places, study.sentences, strict=True):
        assert each.text[start:end] == "right"
    for system in study.systems:
        assert len(system.points) == len(DEFAULT_SENTENCES)
        assert len(system.corpus_points) == 2
        for row in system.neighbours:
            assert len({near.word.text.casefold() for near in row}) == NUM_NEIGHBOURS
            assert [near.similarity for near in row] == sorted(
                (near.similarity for near in row), reverse=True
            )
            for near in row:
                assert near.sentence in corpus.all
                assert near.sentence[near.word.start : near.word.end] == near.word.text
    assert [len(system.layers) for system in study.systems] == [1, 2, 3, 3]
    assert [system.attention is None for system in study.systems] == [True, True, False, False]


def test_the_same_is_found_twice(
    study: WordStudy, systems: dict[str, LoadedModel], corpus: CorpusSentences
) -> None:
    again = study_word(systems, corpus, "right", DEFAULT_SENTENCES)
    assert json.dumps(again.to_dict()) == json.dumps(study.to_dict())
    assert "opposed" not in json.dumps([each.to_dict() for each in study.systems])


def test_sentences_of_a_sense_are_brought_together(systems: dict[str, LoadedModel]) -> None:
    mixed = [DEFAULT_SENTENCES[n] for n in (0, 5, 1, 6)]
    found = study_word({"b": systems["BERT"]}, NOWHERE, "right", mixed)
    assert [each.text for each in found.sentences] == [
        DEFAULT_SENTENCES[n].text for n in (0, 1, 5, 6)
    ]
    assert found.senses == ["direction", "correct"]


def test_without_a_corpus_near_words_are_from_the_sentences(
    systems: dict[str, LoadedModel],
) -> None:
    given = sentences("Turn right.", "He was right about it.")
    found = study_word({"b": systems["BERT"]}, NOWHERE, "right", given)
    assert found.num_corpus_sentences == 0
    for row, (own, other) in zip(found.systems[0].neighbours, (given, given[::-1]), strict=True):
        assert own.text != other.text
        assert {near.sentence for near in row} == {other.text}
    assert found.systems[0].separation is None
    assert found.systems[0].corpus_points == []


def test_models_of_other_vocabularies_stand_side_by_side(
    tmp_path: Path, systems: dict[str, LoadedModel], corpus: CorpusSentences
) -> None:
    """One that cuts the word to letters, and a cased one; so static vectors are still one."""
    cut = systems_of(save(tmp_path / "cut", default_tokenizer(without=["right"])))
    cased = load_model(save(tmp_path / "cased", default_tokenizer(lowercase=False)))
    models = {"whole": systems["GloVe"], "cut": cut["GloVe"], "cased": cased}
    found = study_word(models, corpus, "right", DEFAULT_SENTENCES)
    np.testing.assert_allclose(similarities(found, "cut"), 1, atol=1e-6)
    assert similarities(found, "cased").min() < 0.9999
    assert len(found.systems[1].corpus_points) == 2


def test_capitals_are_another_word_to_a_cased_model_alone(
    tmp_path: Path, systems: dict[str, LoadedModel]
) -> None:
    given = sentences("Right now.", "Turn right.")
    assert len(study_word({"u": systems["BERT"]}, NOWHERE, "right", given).sentences) == 2
    cased = load_model(save(tmp_path / "cased", default_tokenizer(lowercase=False)))
    with pytest.raises(
        DataError, match=r"c: the word 'right' is not in the sentence 'Right now\.'"
    ):
        study_word({"c": cased}, NOWHERE, "right", given)


def test_the_first_place_of_a_sentence_counts(systems: dict[str, LoadedModel]) -> None:
    given = sentences("right or right", "Turn right.")
    found = study_word({"b": systems["BERT"]}, NOWHERE, "right", given)
    assert found.places == [(0, 5), (5, 10)]


def test_words_that_stand_together_are_one(systems: dict[str, LoadedModel]) -> None:
    given = sentences("the right side", "on the right side of the hall")
    found = study_word({"b": systems["BERT"]}, NOWHERE, "right side", given)
    assert found.places == [(4, 14), (7, 17)]


@pytest.mark.parametrize(
    ("word", "texts", "message"),
    [
        ("right", ["Turn right."], "1 sentence is given; 2 to 64 can be compared"),
        ("right", [], "0 sentences are given"),
        ("right", ["Turn right."] * 65, "65 sentences are given"),
        ("right", ["Turn right.", "Turn left."], "not in the sentence 'Turn left.', spelled as"),
        ("right", ["Turn right.", ""], "not in the sentence ''"),
        (
            "right",
            ["Turn right.", "the " * 70 + "right"],
            r"not within the 64 wordpieces .*the the the…",
        ),
        ("right", ["Turn right.", "copyright"], "not in the sentence 'copyright'"),
        ("", ["Turn right."] * 2, "BERT: the vocabulary has no wordpieces for the word ''"),
        ("東京", ["Turn right."] * 2, "has no wordpieces for the word '東京'"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    systems: dict[str, LoadedModel], word: str, texts: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        study_word({"BERT": systems["BERT"]}, NOWHERE, word, sentences(*texts))


def test_a_word_that_is_longer_than_the_model_reads_is_refused(tmp_path: Path) -> None:
    tokenizer = default_tokenizer(without=["right"])
    short = load_model(save(tmp_path / "short", tokenizer, positions=6))
    with pytest.raises(DataError, match=r"not within the 6 wordpieces .*sentence 'right'"):
        study_word({"s": short}, NOWHERE, "right", sentences("right", "right"))


def test_two_senses_of_one_sentence_each_have_one_figure(systems: dict[str, LoadedModel]) -> None:
    given = [DEFAULT_SENTENCES[0], DEFAULT_SENTENCES[5]]
    found = study_word({"b": systems["BERT"]}, NOWHERE, "right", given).systems[0]
    assert found.separation is None
    assert found.between == pytest.approx(found.similarities[0][1])
