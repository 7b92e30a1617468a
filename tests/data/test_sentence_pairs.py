"""The planner against a plain walk over lists, written from the description of the algorithm."""

from __future__ import annotations

import itertools
import lzma
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bertsmith.data import sentence_pairs
from bertsmith.data.corpus_reader import CorpusReader
from bertsmith.data.counter_random import generator
from bertsmith.data.example_plan import ExamplePlan
from bertsmith.data.sentence_pairs import plan_sentence_pairs, with_single_segments
from bertsmith.data.shards import TokenizedCorpus

Pair = tuple[list[int], list[int], bool]
Document = list[list[int]]


def reference_pairs(
    documents: Sequence[Document], current: int, max_seqlen: int, rng: random.Random
) -> list[Pair]:
    """One pass over one document: (A, B, whether B is random)."""
    document = documents[current]
    capacity = max_seqlen - 3
    target = rng.randint(2, capacity) if rng.random() < 0.1 else capacity
    pairs = []
    chunk: Document = []
    i = 0
    while i < len(document):
        chunk.append(document[i])
        if i == len(document) - 1 or sum(map(len, chunk)) >= target:
            split = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
            a = [piece for sentence in chunk[:split] for piece in sentence]
            is_random = len(chunk) == 1 or rng.random() < 0.5
            b: list[int] = []
            if is_random:
                for _ in range(10):
                    other = rng.randint(0, len(documents) - 1)
                    if other != current:
                        break
                start = rng.randint(0, len(documents[other]) - 1)
                for sentence in documents[other][start:]:
                    b += sentence
                    if len(b) >= target - len(a):
                        break
                i -= len(chunk) - split
            else:
                b = [piece for sentence in chunk[split:] for piece in sentence]
            reference_truncation(a, b, capacity, rng)
            pairs.append((a, b, is_random))
            chunk = []
        i += 1
    return pairs


def reference_truncation(a: list[int], b: list[int], capacity: int, rng: random.Random) -> None:
    while len(a) + len(b) > capacity:
        longer = a if len(a) > len(b) else b
        longer.pop(0 if rng.random() < 0.5 else -1)


def read_documents(corpus: TokenizedCorpus) -> list[Document]:
    documents = []
    for shard in corpus.shards:
        pieces = shard.wordpieces.tolist()
        starts, bounds = shard.sentence_starts.tolist(), shard.document_starts.tolist()
        sentences = [pieces[a:b] for a, b in itertools.pairwise(starts)]
        documents += [sentences[a:b] for a, b in itertools.pairwise(bounds)]
    return documents


def plan(corpus: TokenizedCorpus, max_seqlen: int, seed: int = 0) -> ExamplePlan:
    reader = CorpusReader(corpus)
    return ExamplePlan.concatenate(
        [
            plan_sentence_pairs(reader, block, max_seqlen, generator(seed, block.index))
            for block in reader.blocks
        ]
    )


def varied_documents(count: int, seed: int = 0) -> list[list[int]]:
    """Sentences of 1 to some 100 wordpieces, documents of 1 to some 60 sentences."""
    rng = np.random.default_rng(seed)
    sizes = rng.geometric(1 / 12, count)
    return [rng.geometric(1 / 22, size).tolist() for size in sizes]


def test_whole_passes_have_the_published_distribution(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    """Documents are all alike, so that a pass is one draw of (the places of A and B, label)*."""
    lengths, copies = [2, 1, 4, 1], 20_000
    corpus = numbered_corpus([lengths] * copies, shard_wordpieces=50_000)
    documents = read_documents(corpus)
    size = sum(lengths)

    rng = random.Random(1)
    expected: Counter[object] = Counter()
    for current in range(copies):
        pairs = reference_pairs(documents, current, 9, rng)
        expected[
            tuple(((a[0] - 10) % size, len(a), (b[0] - 10) % size, len(b), r) for a, b, r in pairs)
        ] += 1
    planned = plan(corpus, 9)
    passes: dict[int, list[object]] = {}
    for a, a_length, b, b_length, is_random in zip(
        planned.first_start.tolist(),
        planned.first_length.tolist(),
        planned.second_start.tolist(),
        planned.second_length.tolist(),
        planned.is_random.tolist(),
        strict=True,
    ):
        passes.setdefault(a // size, []).append((a % size, a_length, b % size, b_length, is_random))
    found = Counter(tuple(examples) for examples in passes.values())

    assert len(passes) == copies
    outcomes = [key for key in expected | found if expected[key] + found[key] >= 20]
    assert len(outcomes) > 100
    table = np.array([[counts[key] for key in outcomes] for counts in (expected, found)])
    rare = np.array([[copies], [copies]]) - table.sum(axis=1, keepdims=True)
    # Two samples of n = 20,000 passes; a p of 0.001 is one run in a thousand, and seeds are fixed.
    assert stats.chi2_contingency(np.concatenate([table, rare], axis=1)).pvalue > 0.001


@pytest.mark.parametrize("max_seqlen", [32, 128])
def test_lengths_and_labels_are_those_of_the_reference(
    numbered_corpus: Callable[..., TokenizedCorpus], max_seqlen: int
) -> None:
    corpus = numbered_corpus(varied_documents(2000), shard_wordpieces=200_000)
    documents = read_documents(corpus)
    rng = random.Random(2)
    expected = [
        pair
        for current in range(len(documents))
        for pair in reference_pairs(documents, current, max_seqlen, rng)
    ]
    planned = plan(corpus, max_seqlen)

    n = len(expected)
    assert n > 5000
    assert abs(len(planned) - n) < 0.02 * n
    first = [len(a) for a, _, _ in expected]
    second = [len(b) for _, b, _ in expected]
    # Kolmogorov-Smirnov on two samples of n > 5,000 would see a shift of some 4 % of the examples.
    assert stats.ks_2samp(first, planned.first_length).pvalue > 0.001
    assert stats.ks_2samp(second, planned.second_length).pvalue > 0.001
    assert stats.ks_2samp(np.add(first, second), planned.lengths - 3).pvalue > 0.001
    share = np.mean([is_random for _, _, is_random in expected])
    assert planned.is_random.mean() == pytest.approx(share, abs=0.02)
    assert 0.5 < planned.is_random.mean() < 0.95


def test_real_text_gives_the_reference_s_examples(
    shared_data: Path, numbered_corpus: Callable[..., TokenizedCorpus]
) -> None:
    """Held-out articles, a sentence for each full stop, and words for wordpieces."""
    text = lzma.decompress((shared_data / "corpus" / "wikipedia-dev.txt.xz").read_bytes()).decode()
    documents = [
        [len(sentence.split()) for sentence in re.split(r"(?<=[.!?])\s+", article)]
        for article in re.split(r"\n\s*\n", text.strip())
    ]
    corpus = numbered_corpus(documents)
    articles = read_documents(corpus)
    assert len(articles) == 600
    rng = random.Random(4)
    expected = [
        pair
        for current in list(range(600)) * 4
        for pair in reference_pairs(articles, current, 128, rng)
    ]
    planned = ExamplePlan.concatenate([plan(corpus, 128, seed) for seed in range(4)])
    # Four passes each, n > 10,000 examples. A long article with a short target makes hundreds of
    # them: one pass's number has a standard deviation of 5 %, its share of random ones of 0.025.
    n = len(expected)
    assert n > 10_000
    assert len(planned) == pytest.approx(n, rel=0.1)
    lengths = [len(a) + len(b) + 3 for a, b, _ in expected]
    assert stats.ks_2samp(lengths, planned.lengths).statistic < 0.04
    share = np.mean([is_random for _, _, is_random in expected])
    assert planned.is_random.mean() == pytest.approx(share, abs=0.04)


def test_half_of_the_pairs_that_can_be_next_are(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    # Sentences of one wordpiece: but for a document's last, no chunk of a target above 1 is single.
    planned = plan(numbered_corpus([[1] * 40_000] * 3), 13)
    n = len(planned)
    assert n > 12_000
    # The standard deviation of the share is below 0.005.
    assert planned.is_random.mean() == pytest.approx(0.5, abs=0.015)


def test_one_document_pass_in_ten_is_short(numbered_corpus: Callable[..., TokenizedCorpus]) -> None:
    corpus = numbered_corpus([[1] * 40] * 2000)
    lengths = []
    for seed in range(10):
        planned = plan(corpus, 23, seed)
        # With sentences of one wordpiece, a document's first pair is of its pass's target length
        # where B follows A (a random B may end early).
        is_first = np.diff(planned.first_start // 40, prepend=-1) > 0
        lengths += (planned.lengths[is_first & ~planned.is_random] - 3).tolist()
    counts = np.bincount(lengths, minlength=21)
    # n is some 10,000; a short target is 2 to 20, and 20 itself one time in 19. The standard
    # deviation is 0.003.
    assert counts[2:20].sum() / len(lengths) == pytest.approx(0.1 * 18 / 19, abs=0.012)
    assert stats.chisquare(counts[2:20]).pvalue > 0.001


def test_truncation_takes_from_either_end_alike(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    # A pair for 40 wordpieces: A keeps 20 of 39, B 20 of 100.
    planned = plan(numbered_corpus([[39, 100]] * 4000), 43)
    rows = ~planned.is_random & (planned.first_length == 20)
    front = planned.first_start[rows] % 139
    second_front = planned.second_start[rows] % 139 - 39
    # Half of n = 4,000 passes: standard deviations of the means 0.05 and 0.1.
    assert rows.sum() > 1500
    assert front.mean() == pytest.approx(19 / 2, abs=0.2)
    assert second_front.mean() == pytest.approx(80 / 2, abs=0.4)
    # The variance of n coins is n / 4; of the estimate, 2 / 1,900 of its square.
    assert front.var() == pytest.approx(19 / 4, rel=0.13)
    assert second_front.var() == pytest.approx(80 / 4, rel=0.13)


def test_truncated_lengths_are_the_loop_s() -> None:
    sizes = [(a, b) for a in range(1, 15) for b in range(1, 15)]
    first, second = np.array(sizes).T
    zeros = np.zeros_like(first)
    for capacity in range(2, 16):
        _, kept_first, _, kept_second = sentence_pairs._truncate(
            zeros, first, zeros, second, capacity, generator(0)
        )
        for row, (a, b) in enumerate(sizes):
            one, other = [0] * a, [0] * b
            reference_truncation(one, other, capacity, random.Random(0))
            assert (kept_first[row], kept_second[row]) == (len(one), len(other))


def test_a_next_text_follows_and_a_random_one_is_of_another_document(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    lengths = varied_documents(300, seed=3)
    corpus = numbered_corpus(lengths, shard_wordpieces=20_000)
    ends = np.cumsum([sum(document) for document in lengths])
    planned = plan(corpus, 128)
    first = np.searchsorted(ends, planned.first_start, side="right")
    second = np.searchsorted(ends, planned.second_start, side="right")
    assert (first[planned.is_random] != second[planned.is_random]).all()
    assert (first[~planned.is_random] == second[~planned.is_random]).all()
    gap = planned.second_start - planned.first_start - planned.first_length
    assert (gap[~planned.is_random] >= 0).all()
    # A text never runs over its document's end, nor a pair over its sequence.
    assert (planned.first_start + planned.first_length <= ends[first]).all()
    assert (planned.second_start + planned.second_length <= ends[second]).all()
    assert planned.first_length.min() >= 1
    assert planned.second_length.min() >= 1
    assert planned.lengths.max() <= 128


def test_random_texts_come_from_all_other_documents_alike(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    corpus = numbered_corpus([[1, 1]] * 8, shard_wordpieces=6)
    assert len(corpus.shards) == 3
    counts = np.zeros((8, 8), int)
    for seed in range(700):
        planned = plan(corpus, 16, seed)
        rows = planned.is_random
        np.add.at(counts, (planned.first_start[rows] // 2, planned.second_start[rows] // 2), 1)
    assert (counts.diagonal() == 0).all()
    assert stats.chisquare(counts[~np.eye(8, dtype=bool)]).pvalue > 0.001


def test_a_corpus_of_one_document_pairs_it_with_itself(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    planned = plan(numbered_corpus([[5] * 400]), 32)
    assert 0 < planned.is_random.sum() < len(planned)
    assert planned.second_start.max() < 2000


def test_a_corpus_of_one_wordpiece_makes_one_random_pair(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    planned = plan(numbered_corpus([[1]]), 5)
    assert planned.lengths.tolist() == [5]
    assert planned.is_random.tolist() == [True]


def test_sentences_longer_than_a_sequence_are_cut(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    planned = plan(numbered_corpus([[1000], [3], [700, 900]]), 16)
    assert planned.lengths.max() == 16
    assert planned.lengths.min() >= 5


def test_single_segments_join_what_follows_and_leave_the_rest_balanced(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    rng = np.random.default_rng(0)
    documents = [rng.integers(3, 20, 40).tolist() for _ in range(1500)]
    reader = CorpusReader(numbered_corpus(documents))
    pairs = plan_sentence_pairs(reader, reader.blocks[0], 64, np.random.default_rng(1))
    plan = with_single_segments(pairs, 0.3, np.random.default_rng(2))
    is_single = plan.second_length == 0
    # n = some 8,000: a share of 0.3 has a deviation of 0.005.
    assert len(plan) > 5000
    assert is_single.mean() == pytest.approx(0.3, abs=0.02)
    random_share = plan.is_random[~is_single].mean()
    assert random_share == pytest.approx(pairs.is_random.mean(), abs=0.02)
    joined = is_single & ~plan.is_random
    assert np.array_equal(plan.lengths[joined], pairs.lengths[joined] - 1)
    assert np.array_equal(plan.first_length[~is_single], pairs.first_length[~is_single])
    alone = is_single & plan.is_random
    assert np.array_equal(plan.first_length[alone], pairs.first_length[alone])
    assert plan.lengths.max() <= 64
