from __future__ import annotations

from collections import Counter

from bertsmith.text import word_counts
from bertsmith.text.word_counts import WordCounts, bert_words


def counted(*texts: str, lowercase: bool = True, **options: int) -> Counter[str]:
    counts = WordCounts(bert_words(lowercase=lowercase), **options)
    for text in texts:
        counts.add(text)
    return counts.words()


def test_words_are_split_as_the_tokenizer_splits_them():
    words = counted("Don't\x0b stop,\u2028the Café 中文 the")
    assert words == Counter(["don", "'", "t", "stop", ",", "the", "cafe", "中", "文", "the"])


def test_case_and_accents_are_kept_when_asked():
    assert counted("Café café", lowercase=False) == {"Café": 1, "café": 1}


def test_gathering_in_several_rounds_changes_nothing(monkeypatch):
    texts = [f"the {i % 7} of {i}, a{i}." for i in range(200)]
    once = counted(*texts)
    monkeypatch.setattr(word_counts, "_GATHERED_CHARACTERS", 50)
    assert counted(*texts) == once


def test_the_rarest_words_go_when_there_are_too_many():
    counts = WordCounts(bert_words(lowercase=True), max_words=100)
    counts.add("often " * 3 + "twice " * 2 + " ".join(f"w{i}" for i in range(500)))
    assert counts.words() == {"often": 3, "twice": 2}
    assert counts.dropped_up_to == 1


def test_nothing_is_dropped_within_the_bound():
    counts = WordCounts(bert_words(lowercase=True), max_words=3)
    counts.add("a b c a")
    assert counts.words() == {"a": 2, "b": 1, "c": 1}
    assert counts.dropped_up_to == 0


def test_real_text_has_the_tokenizers_words(shared_data, uncased):
    text = (shared_data / "corpus" / "google-sample_text.txt").read_text()
    encoding = uncased.encode(text)
    words = sum(count for count in counted(text).values())
    assert words == encoding.word_ids[-2] + 1
