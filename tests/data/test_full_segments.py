from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from bertsmith.data.corpus_reader import CorpusReader
from bertsmith.data.counter_random import generator
from bertsmith.data.example_plan import ExamplePlan
from bertsmith.data.full_segments import plan_full_segments
from bertsmith.data.shards import TokenizedCorpus


def plan(corpus: TokenizedCorpus, max_seqlen: int, seed: int = 0) -> ExamplePlan:
    reader = CorpusReader(corpus)
    return ExamplePlan.concatenate(
        [
            plan_full_segments(reader, block, max_seqlen, generator(seed, block.index))
            for block in reader.blocks
        ]
    )


def test_an_epoch_has_every_wordpiece_once(numbered_corpus: Callable[..., TokenizedCorpus]) -> None:
    rng = np.random.default_rng(0)
    documents = [rng.integers(1, 60, rng.integers(1, 20)).tolist() for _ in range(200)]
    corpus = numbered_corpus(documents, shard_wordpieces=10_000)
    planned = plan(corpus, 64)
    assert (planned.first_start[1:] == (planned.first_start + planned.first_length)[:-1]).all()
    assert planned.first_start[0] == 0
    assert planned.first_length.sum() == corpus.num_wordpieces
    assert planned.lengths.max() == 64
    assert planned.lengths.min() >= 3


def test_no_text_crosses_documents_and_inner_ones_are_full(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    planned = plan(numbered_corpus([[100], [7], [62], [63]]), 64)
    document = np.searchsorted([100, 107, 169, 232], planned.first_start, side="right")
    lengths = [planned.first_length[document == d].tolist() for d in range(4)]
    assert sum(lengths[0]) == 100
    assert all(length == 62 for length in lengths[0][1:-1])
    assert lengths[1:3] == [[7], [62]]
    assert sum(lengths[3]) == 63


def test_a_long_document_is_cut_at_an_even_chance_everywhere(
    numbered_corpus: Callable[..., TokenizedCorpus],
) -> None:
    corpus = numbered_corpus([[100]] * 2000)
    planned = plan(corpus, 22)
    assert planned.first_start.tolist() != plan(corpus, 22, seed=1).first_start.tolist()
    first = planned.first_length[planned.first_start % 100 == 0]
    assert len(first) == 2000
    assert stats.chisquare(np.bincount(first, minlength=21)[1:]).pvalue > 0.001
