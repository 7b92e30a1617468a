from __future__ import annotations

import lzma
import random
from pathlib import Path

import pytest
from tokenizers import BertWordPieceTokenizer
from transformers import AutoTokenizer

from bertsmith.errors import ConfigError, DataError
from bertsmith.text import trainer
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.trainer import VocabularyReport, train_vocabulary


@pytest.fixture(scope="module")
def lines(shared_data: Path) -> list[str]:
    text = lzma.decompress((shared_data / "corpus" / "wikipedia-dev.txt.xz").read_bytes()).decode()
    return text[:600_000].split("\n")


@pytest.fixture(scope="module")
def trained(lines: list[str]) -> tuple[Tokenizer, VocabularyReport]:
    return train_vocabulary(lines, size=2500, unused=10)


def test_reserved_entries_come_first(trained):
    pieces = trained[0].vocabulary.pieces
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert pieces[5:15] == [f"[unused{i}]" for i in range(10)]
    assert pieces[15] == "!"


def test_it_has_the_size_that_was_asked_for(trained):
    assert trained[0].vocab_size == trained[1].size == 2500


@pytest.mark.parametrize("size", [16, 40, 200, 1000])
def test_it_is_never_larger(lines, size):
    tokenizer, _ = train_vocabulary(lines[:200], size=size, unused=10)
    assert tokenizer.vocab_size <= size


def test_frequent_words_are_one_piece(trained):
    for word in ("the", "of", "and", "was", "university"):
        assert trained[0].wordpieces(word) == [word]


def test_the_order_of_the_text_changes_no_byte(lines, trained):
    shuffled = list(lines)
    random.Random(1).shuffle(shuffled)
    again, report = train_vocabulary(iter(shuffled), size=2500, unused=10)
    assert again.vocabulary.to_bytes() == trained[0].vocabulary.to_bytes()
    assert report == trained[1]


def test_the_same_text_gives_the_same_files(lines, tmp_path):
    for name in ("one", "two"):
        train_vocabulary(lines[:300], size=500)[0].save(tmp_path / name)
    for file in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_pieces_are_those_of_the_public_trainer(lines, trained):
    theirs = BertWordPieceTokenizer(lowercase=True)
    theirs.train_from_iterator(lines, vocab_size=2500, show_progress=False)
    common = set(theirs.get_vocab()) & set(trained[0].vocabulary.pieces)
    assert len(common) > 0.93 * 2500  # the alphabets differ, and so how many merges fit


@pytest.mark.parametrize("cased", [False, True])
def test_hugging_face_opens_the_files_with_equal_ids(lines, tmp_path, cased):
    ours, _ = train_vocabulary(lines[:500], size=1500, cased=cased)
    ours.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert ours.lowercase is not cased
    assert [e.ids for e in ours.encode_batch(lines)] == theirs(lines)["input_ids"]
    assert Tokenizer.load(tmp_path).ids_batch(lines) == ours.ids_batch(lines)
    assert Tokenizer.load(tmp_path).lowercase == ours.lowercase


def test_the_report_counts_what_the_tokenizer_does(lines, trained):
    tokenizer, report = trained
    encodings = tokenizer.encode_batch(lines, split_special_tokens=True)
    ids = [i for e in encodings for i in e.ids[1:-1]]
    words = [(n, w) for n, e in enumerate(encodings) for w in e.word_ids[1:-1]]
    assert report.num_words == len(set(words))
    assert report.pieces_per_word == pytest.approx(len(ids) / len(set(words)))
    assert report.unknown_share == ids.count(tokenizer.unk_id) / report.num_words
    assert len(report.split_words) == 10
    counts = [count for _, _, count in report.split_words]
    assert counts == sorted(counts, reverse=True)
    for word, pieces, _ in report.split_words:
        assert len(pieces) > 1
        assert tokenizer.wordpieces(word) == pieces


def test_a_small_text_gives_a_small_vocabulary_and_says_so():
    _, report = train_vocabulary(["the cat the cat sat"], size=1000)
    assert report.size < 1000
    assert f"gave {report.size} wordpieces of the 1,000 asked for" in report.lines()[0]


def test_a_text_of_one_word_is_enough():
    tokenizer, report = train_vocabulary(["wow wow"], size=100)
    assert tokenizer.wordpieces("wow") == ["wow"]
    assert report.lines()[-1] == "every word is one piece"


def test_typed_special_tokens_are_words_of_the_text():
    tokenizer, _ = train_vocabulary(["[MASK] [MASK] ## # ##a"] * 3, size=100)
    assert "mask" in tokenizer.vocabulary
    assert tokenizer.ids("[mask] #")


def test_rare_characters_have_no_piece_and_are_unknown():
    text = ["abc " * 100_000, "\u0b85"]
    tokenizer, report = train_vocabulary(text, size=50)
    assert "\u0b85" not in tokenizer.vocabulary
    assert report.unknown_share == pytest.approx(1 / 100_001)


def test_every_spelling_of_known_letters_has_pieces():
    tokenizer, _ = train_vocabulary(["quick quick"], size=100)
    assert "[UNK]" not in tokenizer.wordpieces("kciuq")


def test_words_too_long_for_the_engine_teach_nothing():
    tokenizer, report = train_vocabulary(["a" * 150 + " bb", "a" * 150 + " bb"], size=100)
    assert max(map(len, tokenizer.vocabulary.pieces)) <= 6
    assert report.unknown_share == 0.5


def test_only_the_most_frequent_words_teach_when_there_are_many(monkeypatch):
    monkeypatch.setattr(trainer, "_MAX_WORDS", 2)
    tokenizer, _ = train_vocabulary(["ab ab ab cd cd cd ef ef"], size=100)
    assert "cd" in tokenizer.vocabulary
    assert "ef" not in tokenizer.vocabulary


@pytest.mark.parametrize(("size", "unused"), [(5, 0), (105, 100), (-1, 0), (100, -1)])
def test_sizes_without_room_are_refused(size, unused):
    with pytest.raises(ConfigError, match=r"size \(-?\d+\) must be above the 5 special tokens"):
        train_vocabulary(["text"], size=size, unused=unused)


@pytest.mark.parametrize("texts", [[], [""], [" \n", "\x00\x0b"]])
def test_texts_without_a_word_are_refused(texts):
    with pytest.raises(DataError, match=f"{len(texts)} texts hold no word"):
        train_vocabulary(texts, size=100)
