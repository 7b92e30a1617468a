"""Sentences of shards: those that have the word whole, and others from everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.comparison.systems import DOCUMENTS, default_tokenizer, write_corpus

from bertsmith.comparison.corpus_sentences import corpus_sentences
from bertsmith.errors import DataError


def plain(texts: list[str]) -> list[str]:
    return [text.lower() for text in texts]


def test_those_with_the_word_are_apart(shards: Path) -> None:
    found = corpus_sentences(shards, "Right")
    # "copyright" is another word, and "Turn right." is too short to be a sentence.
    assert found.with_word == plain([DOCUMENTS[0][1], DOCUMENTS[0][2]])
    assert found.others == plain([DOCUMENTS[0][0], *DOCUMENTS[1][:3]])
    assert found.all == [*found.with_word, *found.others]


def test_a_word_of_several_pieces_is_found_whole(tmp_path: Path) -> None:
    tokenizer = default_tokenizer(without=["right"])
    assert len(tokenizer.ids("right")) == 5
    shards = write_corpus(tmp_path / "shards", DOCUMENTS, tokenizer)
    assert corpus_sentences(shards, "right").with_word == plain(
        [*DOCUMENTS[0][1:], DOCUMENTS[1][-1]]
    )
    # "rig" begins "right" and is not there as a word; neither are words that nobody wrote.
    for word in ("rig", "ight", "zebra", "", "the right of the king"):
        assert corpus_sentences(shards, word).with_word == []
    assert corpus_sentences(shards, "the right of").with_word == plain(DOCUMENTS[0][1:2])


def test_few_are_taken_from_all_over_many_shards(tmp_path: Path) -> None:
    numbers = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    documents = [[f"the {x} road to the north ."] for x in numbers]
    documents += [[f"the {x} right to the land ."] for x in numbers]
    shards = write_corpus(tmp_path / "many", documents, default_tokenizer(), shard_wordpieces=20)
    assert len(list(shards.glob("*.safetensors"))) > 3
    found = corpus_sentences(shards, "right", max_with_word=2, max_others=4)
    assert found.with_word == ["the one right to the land.", "the five right to the land."]
    assert found.others == [f"the {x} road to the north." for x in numbers[::2]]
    again = corpus_sentences(shards, "right", max_with_word=2, max_others=4)
    assert again == found


def test_a_sentence_is_there_once(tmp_path: Path) -> None:
    again = [["They opposed the right to land."], ["They opposed the right to land."]]
    shards = write_corpus(tmp_path / "twice", again, default_tokenizer())
    assert len(corpus_sentences(shards, "right").all) == 1


def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no manifest"):
        corpus_sentences(tmp_path, "right")


def test_text_is_to_be_prepared_first(tmp_path: Path) -> None:
    (tmp_path / "wiki.txt").write_text("Turn right.")
    with pytest.raises(DataError, match=r"wiki\.txt is a file.*bertsmith prepare .*wiki\.txt"):
        corpus_sentences(tmp_path / "wiki.txt", "right")
