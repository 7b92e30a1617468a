from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data.corpus_reader import CorpusReader
from bertsmith.data.counter_random import generator
from bertsmith.data.packing import assemble, pack
from bertsmith.data.sentence_pairs import plan_sentence_pairs
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.data.wordpiece_ids import WordpieceIds


@given(
    lengths=st.lists(st.integers(5, 20), min_size=1, max_size=200),
    budget=st.integers(20, 100),
    spare=st.integers(1, 10),
)
def test_every_example_is_in_one_batch_and_every_batch_in_its_budget(
    lengths: list[int], budget: int, spare: int
) -> None:
    max_sequences = -(-budget // 20) + spare
    order, edges = pack(np.array(lengths), budget, max_sequences, 20)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert edges[0] == 0
    assert edges[-1] == len(lengths)
    for start, end in itertools.pairwise(edges):
        used = sum(lengths[i] for i in order[start:end])
        padding = -(-(budget - used) // 20)
        assert end > start
        assert used <= budget
        assert end - start + padding <= max_sequences


def test_order_is_kept_but_for_examples_that_fill_a_gap() -> None:
    order, edges = pack(np.array([8, 8, 9, 4, 3, 9]), 20, 10, 10)
    assert order.tolist() == [0, 1, 3, 2, 4, 5] or order.tolist() == [0, 1, 3, 4, 2, 5]
    assert edges.tolist() == [0, 3, 5, 6]


@pytest.mark.parametrize("most", [128, 512])
def test_batches_of_64_sequences_are_99_percent_full(most: int) -> None:
    rng = np.random.default_rng(0)
    lengths = np.where(rng.random(20_000) < 0.7, most, rng.integers(5, most, 20_000))
    order, edges = pack(lengths, 64 * most, 400, most)
    full = np.add.reduceat(lengths[order], edges[:-1])[:-1]
    assert full.mean() >= 0.995 * 64 * most
    assert full.min() >= 0.98 * 64 * most


def test_a_batch_holds_cls_a_sep_b_sep_of_the_planned_texts(
    numbered_corpus: Callable[..., TokenizedCorpus], make_ids: Callable[[int], WordpieceIds]
) -> None:
    rng = np.random.default_rng(1)
    documents = [rng.integers(1, 30, rng.integers(1, 12)).tolist() for _ in range(60)]
    corpus = numbered_corpus(documents, shard_wordpieces=3000)
    reader = CorpusReader(corpus)
    assert len(reader.blocks) == len(corpus.shards) > 1
    plan = plan_sentence_pairs(reader, reader.blocks[1], 40, generator(0)).take(slice(9))
    packed = assemble(
        plan,
        reader,
        make_ids(corpus.vocab_size),
        budget_tokens=400,
        max_sequences=30,
        max_seqlen=40,
    )
    bounds = packed.cu_seqlens.tolist()
    assert len(bounds) == 31
    for row in range(9):
        a = [10 + plan.first_start[row] + i for i in range(plan.first_length[row])]
        b = [10 + plan.second_start[row] + i for i in range(plan.second_length[row])]
        part = slice(bounds[row], bounds[row + 1])
        assert packed.input_ids[part].tolist() == [1, *a, 2, *b, 2]
        assert packed.segment_ids[part].tolist() == [0] * (len(a) + 2) + [1] * (len(b) + 1)
        assert packed.position_ids[part].tolist() == list(range(len(a) + len(b) + 3))
        assert packed.is_text[part].tolist() == [i not in (1, 2) for i in packed.input_ids[part]]
    used = bounds[9]
    assert used == plan.lengths.sum() < 400
    assert (packed.input_ids[used:] == 0).all()
    assert (packed.segment_ids[used:] == 0).all()
    assert not packed.is_text[used:].any()
    assert packed.position_ids[used:].tolist() == [i % 40 for i in range(400 - used)]
    assert np.diff(bounds).min() == 0
    assert np.diff(bounds).max() <= 40
    assert bounds[-1] == 400


def test_blocks_are_all_documents_once_in_order(
    numbered_corpus: Callable[..., TokenizedCorpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertsmith.data.corpus_reader.BLOCK_WORDPIECES", 100)
    rng = np.random.default_rng(2)
    documents = [rng.integers(1, 40, rng.geometric(0.2)).tolist() for _ in range(200)]
    documents[50] = [30] * 40
    corpus = numbered_corpus(documents, shard_wordpieces=3000)
    reader = CorpusReader(corpus)
    sizes = [shard.num_documents for shard in corpus.shards]
    found = [
        reader.document_base[block.shard] + document
        for block in reader.blocks
        for document in range(block.first_document, block.last_document)
    ]
    assert found == list(range(sum(sizes)))
    assert [block.index for block in reader.blocks] == list(range(len(reader.blocks)))
    words = [int(np.ptp(reader.sentences(block)[0])) for block in reader.blocks]
    assert sum(words) == corpus.num_wordpieces
    largest = max(map(sum, documents))
    assert max(words) <= 100 + largest
