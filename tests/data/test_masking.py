"""The choice of tokens against a plain loop over one sequence, written from the description."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bertsmith.data.counter_random import draw, key_of
from bertsmith.data.masking import Masking, mask_tokens
from bertsmith.data.packing import PackedExamples
from bertsmith.data.wordpiece_ids import WordpieceIds
from bertsmith.errors import ConfigError

V = 1000
MakeIds = Callable[[int], WordpieceIds]


def reference_choice(
    tokens: Sequence[int], ids: WordpieceIds, masking: Masking, rng: random.Random
) -> list[int]:
    """The positions to predict in one sequence."""
    candidates: list[list[int]] = []
    for position, token in enumerate(tokens):
        if token in (ids.cls_id, ids.sep_id):
            continue
        if masking.whole_word and candidates and ids.is_continuation[token]:
            candidates[-1].append(position)
        else:
            candidates.append([position])
    rng.shuffle(candidates)
    wanted = max(1, round(len(tokens) * masking.masked_prob))
    chosen: list[int] = []
    for candidate in candidates:
        if len(chosen) >= wanted:
            break
        if len(chosen) + len(candidate) <= wanted:
            chosen += candidate
    return sorted(chosen)


def pack_tokens(sequences: Sequence[Sequence[int]], ids: WordpieceIds) -> PackedExamples:
    tokens = np.concatenate(sequences)
    lengths = np.array([len(sequence) for sequence in sequences])
    ends = lengths.cumsum()
    return PackedExamples(
        input_ids=tokens.copy(),
        segment_ids=np.zeros_like(tokens),
        position_ids=np.arange(len(tokens)) - np.repeat(ends - lengths, lengths),
        cu_seqlens=np.array([0, *ends], np.int32),
        is_text=(tokens != ids.cls_id) & (tokens != ids.sep_id),
        lengths=lengths,
    )


def sequence_of(length: int, ids: WordpieceIds, rng: random.Random) -> list[int]:
    """[CLS] A [SEP] B [SEP] of random wordpieces."""
    tokens = [ids.cls_id, *(rng.randrange(10, V) for _ in range(length - 2)), ids.sep_id]
    if length >= 5:
        tokens[rng.randrange(2, length - 2)] = ids.sep_id
    return tokens


def keys(count: int, seed: int = 0) -> np.ndarray:
    return draw(key_of(seed), np.arange(count))


@pytest.mark.parametrize("masked_prob", [0.15, 0.4, 0.01, 1.0])
def test_each_sequence_has_exactly_the_published_number(
    make_ids: MakeIds, masked_prob: float
) -> None:
    ids, rng = make_ids(V), random.Random(0)
    sequences = [sequence_of(length, ids, rng) for length in range(3, 200)]
    packed = pack_tokens(sequences, ids)
    masking = Masking(masked_prob=masked_prob)
    positions, labels = mask_tokens(packed, keys(len(sequences)), masking, ids)
    bounds = np.searchsorted(positions, packed.cu_seqlens)
    for sequence, count in zip(sequences, np.diff(bounds), strict=True):
        text = sum(token > 9 for token in sequence)
        assert count == min(max(1, round(len(sequence) * masked_prob)), text)
    assert (np.diff(positions) > 0).all()
    assert labels.tolist() == np.concatenate(sequences)[positions].tolist()
    assert (labels > 9).all()
    assert len(labels) <= masking.max_masked(packed.lengths.sum(), len(sequences))


@given(
    lengths=st.lists(st.integers(3, 30), min_size=1, max_size=50),
    masked_prob=st.floats(0.001, 1.0),
)
def test_the_slots_of_a_batch_are_enough_for_any_lengths(
    lengths: list[int], masked_prob: float
) -> None:
    masking = Masking(masked_prob=masked_prob)
    wanted = np.minimum(masking.num_masked(np.array(lengths)), np.array(lengths) - 2)
    assert wanted.sum() <= masking.max_masked(sum(lengths), len(lengths))


def test_only_chosen_tokens_change(make_ids: MakeIds) -> None:
    ids, rng = make_ids(V), random.Random(1)
    sequences = [sequence_of(40, ids, rng) for _ in range(50)]
    packed = pack_tokens(sequences, ids)
    positions, _ = mask_tokens(packed, keys(50), Masking(), ids)
    changed = np.flatnonzero(packed.input_ids != np.concatenate(sequences))
    assert set(changed) <= set(positions)


@pytest.mark.parametrize(("mask", "rand"), [(0.8, 0.1), (0.5, 0.25), (0.0, 1.0), (1.0, 0.0)])
def test_the_shares_of_mask_random_and_unchanged(
    make_ids: MakeIds, mask: float, rand: float
) -> None:
    ids, rng = make_ids(V), random.Random(2)
    sequences = [sequence_of(100, ids, rng) for _ in range(2000)]
    packed = pack_tokens(sequences, ids)
    masking = Masking(mask_token_prob=mask, random_token_prob=rand)
    positions, labels = mask_tokens(packed, keys(2000), masking, ids)
    shown = packed.input_ids[positions]
    others = shown[(shown != ids.mask_id) & (shown != labels)]
    # n = 30,000 tokens: a standard deviation is at most 0.003. One random token in V is itself.
    assert len(positions) == 30_000
    assert (shown == ids.mask_id).mean() == pytest.approx(mask + rand / V, abs=0.012)
    assert len(others) / 30_000 == pytest.approx(rand, abs=0.012)
    if rand:
        # The whole vocabulary, special ids too ([MASK] itself is counted above).
        cells = np.bincount(others // 20, minlength=V // 20)
        assert stats.chisquare(cells[1:]).pvalue > 0.001
        assert others.min() < 10


@pytest.mark.parametrize("whole_word", [False, True])
def test_the_choice_has_the_reference_s_distribution(make_ids: MakeIds, whole_word: bool) -> None:
    # Words of 1, 3, 2, 1 (in B), 2 and 1 wordpieces; ids that divide by 3 continue a word.
    ids, n = make_ids(V), 20_000
    sequence = [1, 10, 11, 12, 15, 13, 18, 2, 14, 16, 21, 17, 2]
    masking = Masking(masked_prob=0.25, whole_word=whole_word)
    rng = random.Random(3)
    expected = Counter(tuple(reference_choice(sequence, ids, masking, rng)) for _ in range(n))
    positions, _ = mask_tokens(pack_tokens([sequence] * n, ids), keys(n), masking, ids)
    chosen: list[list[int]] = [[] for _ in range(n)]
    for position in positions.tolist():
        chosen[position // len(sequence)].append(position % len(sequence))
    found = Counter(map(tuple, chosen))
    assert expected.keys() == found.keys()
    table = [[counts[key] for key in expected] for counts in (expected, found)]
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_whole_words_are_masked_whole_or_not_at_all(make_ids: MakeIds) -> None:
    ids, rng = make_ids(V), random.Random(4)
    sequences = [sequence_of(rng.randrange(5, 100), ids, rng) for _ in range(300)]
    packed = pack_tokens(sequences, ids)
    before = packed.input_ids.copy()
    positions, _ = mask_tokens(packed, keys(300), Masking(whole_word=True), ids)
    is_chosen = np.zeros(len(before), bool)
    is_chosen[positions] = True
    inner = packed.is_text[1:] & packed.is_text[:-1] & ids.is_continuation[before[1:]]
    assert (is_chosen[1:][inner] == is_chosen[:-1][inner]).all()
    counts = np.add.reduceat(is_chosen, packed.cu_seqlens[:-1])
    assert (counts <= Masking().num_masked(packed.lengths)).all()
    # A word's wordpieces each have their own 80/10/10.
    pairs = inner & is_chosen[1:]
    is_mask = packed.input_ids == ids.mask_id
    assert 0 < (is_mask[1:] != is_mask[:-1])[pairs].mean() < 0.5


@pytest.mark.parametrize("whole_word", [False, True])
def test_an_example_s_masks_do_not_depend_on_its_neighbours(
    make_ids: MakeIds, whole_word: bool
) -> None:
    ids, rng = make_ids(V), random.Random(5)
    sequences = [sequence_of(rng.randrange(5, 60), ids, rng) for _ in range(40)]
    masking = Masking(whole_word=whole_word)
    together = pack_tokens(sequences, ids)
    mask_tokens(together, keys(40), masking, ids)
    alone = pack_tokens([sequences[17]], ids)
    mask_tokens(alone, keys(40)[17:18], masking, ids)
    start, end = together.cu_seqlens[17:19]
    assert together.input_ids[start:end].tolist() == alone.input_ids.tolist()
    mask_tokens(other := pack_tokens([sequences[17]], ids), keys(1, seed=1), masking, ids)
    assert other.input_ids.tolist() != alone.input_ids.tolist()


@pytest.mark.parametrize("whole_word", [False, True])
def test_no_masking_leaves_all_as_it_is(make_ids: MakeIds, whole_word: bool) -> None:
    ids = make_ids(V)
    packed = pack_tokens([[1, 20, 2, 30, 2]], ids)
    masking = Masking(masked_prob=0.0, whole_word=whole_word)
    positions, labels = mask_tokens(packed, keys(1), masking, ids)
    assert len(positions) == len(labels) == 0
    assert packed.input_ids.tolist() == [1, 20, 2, 30, 2]
    assert masking.max_masked(100, 10) == 8


def test_a_word_longer_than_its_sequence_s_share_is_never_masked(make_ids: MakeIds) -> None:
    ids = make_ids(V)
    packed = pack_tokens([[1, 10, 12, 15, 2]], ids)
    positions, _ = mask_tokens(packed, keys(1), Masking(whole_word=True), ids)
    assert len(positions) == 0


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"masked_prob": 1.5}, "masked_prob (1.5) must be a number from 0 to 1"),
        ({"mask_token_prob": "0.8"}, "mask_token_prob ('0.8') must be a number from 0 to 1"),
        ({"random_token_prob": float("nan")}, "random_token_prob (nan)"),
        ({"mask_token_prob": 0.8, "random_token_prob": 0.3}, "add up to 1.1"),
        ({"whole_word": 1}, "whole_word (1) must be true or false"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        Masking(**settings)
    assert text in str(error.value)
