"""Counts equal a plain count, whatever is held in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bertsmith.data import cooccurrence
from bertsmith.data.cooccurrence import Cooccurrences, count_cooccurrences
from bertsmith.data.shards import ShardWriter, TokenizedCorpus
from bertsmith.errors import ConfigError, DataError

VOCAB = 12
Documents = list[list[list[int]]]


def write(
    folder: Path, documents: Documents, shard_wordpieces: int = 10_000_000
) -> TokenizedCorpus:
    folder.mkdir()
    with ShardWriter(
        folder,
        vocab_size=VOCAB,
        vocabulary_sha256="0" * 64,
        lowercase=True,
        shard_wordpieces=shard_wordpieces,
    ) as writer:
        for document in documents:
            writer.append(document)
    return TokenizedCorpus.open(folder)


def random_documents(seed: int, count: int = 30) -> Documents:
    rng = np.random.default_rng(seed)
    return [
        [rng.integers(0, VOCAB, size).tolist() for size in rng.integers(1, 9, rng.integers(1, 5))]
        for _ in range(count)
    ]


def plain_count(documents: Documents, window: int) -> dict[tuple[int, int], float]:
    """X as the paper defines it: for each word, those around it."""
    counts: dict[tuple[int, int], float] = defaultdict(float)
    for document in documents:
        words = [word for sentence in document for word in sentence]
        for place, word in enumerate(words):
            for other in range(max(0, place - window), min(len(words), place + window + 1)):
                if other != place:
                    counts[word, words[other]] += 1 / abs(place - other)
    return counts


def as_dict(found: Cooccurrences) -> dict[tuple[int, int], float]:
    """Both halves."""
    half = zip(found.rows.tolist(), found.columns.tolist(), found.counts.tolist(), strict=True)
    return {key: count for i, j, count in half for key in ((i, j), (j, i))}


@pytest.mark.parametrize("window", [1, 2, 10, 100])
def test_counts_are_those_of_a_plain_count(window: int, tmp_path: Path) -> None:
    documents = random_documents(0)
    found = count_cooccurrences(write(tmp_path / "corpus", documents), window=window)
    assert as_dict(found) == pytest.approx(plain_count(documents, window), rel=1e-6)
    assert found.num_wordpieces == sum(len(s) for document in documents for s in document)
    keys = found.rows * VOCAB + found.columns
    assert (np.diff(keys) > 0).all()
    assert (found.rows <= found.columns).all()


@pytest.mark.parametrize("chunk", [1, 2, 7, 40])
def test_documents_are_whole_where_a_chunk_ends(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cooccurrence, "CHUNK_WORDPIECES", chunk)
    monkeypatch.setattr(cooccurrence, "PIECE_WORDPIECES", 15)
    documents = random_documents(5)
    found = count_cooccurrences(write(tmp_path / "c", documents), window=4)
    assert as_dict(found) == pytest.approx(plain_count(documents, 4), rel=1e-5)
    total = sum(len(sentence) for document in documents for sentence in document)
    assert found.num_wordpieces == total


@pytest.mark.parametrize("pairs_in_memory", [1, 7, 30])
def test_what_does_not_fit_in_memory_counts_the_same(
    pairs_in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cooccurrence, "PIECE_WORDPIECES", 20)
    monkeypatch.setattr(cooccurrence, "CHUNK_WORDPIECES", 40)
    spilled: list[int] = []
    original = cooccurrence._spill

    def spill(run: cooccurrence.Run, folder: Path, number: int) -> cooccurrence.Run:
        spilled.append(number)
        return original(run, folder, number)

    monkeypatch.setattr(cooccurrence, "_spill", spill)
    corpus = write(tmp_path / "corpus", random_documents(1), shard_wordpieces=150)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    few = count_cooccurrences(corpus, pairs_in_memory=pairs_in_memory, scratch=scratch)
    assert len(spilled) > 1
    assert not list(scratch.iterdir())
    assert as_dict(few) == pytest.approx(plain_count(random_documents(1), 10), rel=1e-6)


def test_reading_ends_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooccurrence, "PIECE_WORDPIECES", 20)
    monkeypatch.setattr(cooccurrence, "CHUNK_WORDPIECES", 40)
    corpus = write(tmp_path / "corpus", random_documents(2))
    whole = count_cooccurrences(corpus)
    for budget in (39, 100, 120):
        assert count_cooccurrences(corpus, max_wordpieces=budget).num_wordpieces == budget
    assert count_cooccurrences(corpus, max_wordpieces=10**6).num_wordpieces == whole.num_wordpieces
    answers = iter([False, True])
    one = count_cooccurrences(corpus, is_over=lambda: next(answers))
    assert one.num_wordpieces == 40


def test_a_part_of_the_corpus_is_of_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cooccurrence, "PIECE_WORDPIECES", 20)
    # Ten wordpieces a document, and every tenth of the corpus has a wordpiece of its own.
    documents = [[[tenth] * 10] for tenth in range(10) for _ in range(40)]
    corpus = write(tmp_path / "corpus", documents)

    def tenths(seed: int) -> dict[int, float]:
        found = count_cooccurrences(corpus, max_wordpieces=1205, seed=seed)
        # A window that sees two documents would count two different wordpieces.
        assert (found.rows == found.columns).all()
        return dict(zip(found.rows.tolist(), found.counts.tolist(), strict=True))

    # 60 of 200 pieces: that one tenth has none of them is a matter of 1 in 2,000.
    assert len(tenths(1)) == 10
    assert tenths(1) == tenths(1) != tenths(2)


def test_a_window_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"window \(0\) must be"):
        count_cooccurrences(write(tmp_path / "corpus", [[[1, 2]]]), window=0)


def test_a_corpus_of_single_wordpieces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no two wordpieces beside each other"):
        count_cooccurrences(write(tmp_path / "corpus", [[[1]], [[2]]]))


def test_documents_do_not_see_each_other(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    found = as_dict(count_cooccurrences(numbered_corpus([[2], [1, 1]])))
    assert set(found) == {(10, 11), (11, 10), (12, 13), (13, 12)}
