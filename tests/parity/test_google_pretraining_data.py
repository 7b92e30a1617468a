"""Pairs and masks against Google's create_pretraining_data.py, on a generated corpus.

Of its 400 documents Google's program made some 11,400 examples of up to 128 tokens in ten passes;
ours makes ten epochs with random numbers of its own. The plain loops that other tests hold ours to
are held to Google's too, and to the letter, since both draw from Python's generator in the same
order. One thing differs: Google masks each pair before it draws the next, so that the loops are
compared part by part.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections import Counter
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bertsmith.data.loader import PretrainingBatches
from bertsmith.data.masking import Masking
from bertsmith.data.shards import ShardWriter, TokenizedCorpus
from bertsmith.data.wordpiece_ids import WordpieceIds

Arrays = Mapping[str, np.ndarray]
Documents = list[list[list[int]]]
EPOCHS = 10
MASKINGS = ["wordpieces", "whole_words"]


@pytest.fixture(scope="module")
def documents(google_corpus: Arrays) -> Documents:
    ends = google_corpus["sentence_lengths"].cumsum(dtype=int)
    sentences = [part.tolist() for part in np.split(google_corpus["wordpieces"], ends[:-1])]
    ends = google_corpus["document_sentences"].cumsum(dtype=int)
    bounds = itertools.pairwise([0, *ends.tolist()])
    return [sentences[start:end] for start, end in bounds]


@pytest.fixture(scope="module")
def ids(google_data: dict[str, Any]) -> WordpieceIds:
    pieces = google_data["vocabulary"]
    return WordpieceIds(
        pad_id=pieces.index("[PAD]"),
        cls_id=pieces.index("[CLS]"),
        sep_id=pieces.index("[SEP]"),
        mask_id=pieces.index("[MASK]"),
        is_continuation=np.array([piece.startswith("##") for piece in pieces]),
    )


@pytest.fixture(scope="module")
def corpus(
    documents: Documents, ids: WordpieceIds, tmp_path_factory: pytest.TempPathFactory
) -> TokenizedCorpus:
    folder = tmp_path_factory.mktemp("corpus")
    writer = ShardWriter(
        folder, vocab_size=ids.vocab_size, vocabulary_sha256="0" * 64, lowercase=True
    )
    with writer:
        for document in documents:
            writer.append(document)
    return TokenizedCorpus.open(folder)


@pytest.fixture(scope="module")
def counted(
    google_data: dict[str, Any], corpus: TokenizedCorpus, ids: WordpieceIds, instances: ModuleType
) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """For each masking: what is counted in our examples, and in Google's."""
    max_seqlen = google_data["settings"]["max_seq_length"]
    found = {}
    for name in MASKINGS:
        batches = PretrainingBatches(
            corpus,
            ids,
            max_seqlen=max_seqlen,
            budget_tokens=1 << 19,  # more than an epoch has: no example is dropped
            seed=0,
            masking=Masking(whole_word=name == "whole_words"),
            prefetch_batches=0,
        )
        ours = instances.Counts.of(
            (
                instance
                for loaded in itertools.islice(batches.batches(), EPOCHS)
                for instance in instances_of(loaded, instances)
            ),
            max_seqlen=max_seqlen,
            vocab_size=ids.vocab_size,
            mask_id=ids.mask_id,
        )
        found[name] = (vars(ours), google_data["counts"][name])
    return found


def instances_of(loaded: Any, instances: ModuleType) -> list[Any]:
    """A batch's examples one by one, without padding."""
    labels = loaded.targets["masked_labels"].numpy()
    positions = loaded.targets["masked_positions"].numpy()[labels != -100]
    shown = loaded.batch.input_ids.numpy()
    original = shown.copy()
    original[positions] = labels[labels != -100]
    segments = loaded.batch.segment_ids.numpy()
    bounds = loaded.batch.cu_seqlens.tolist()
    is_random = loaded.targets["next_sentence_labels"].tolist()
    found = []
    for (start, end), label in zip(itertools.pairwise(bounds), is_random, strict=True):
        if label == -100:
            continue
        first, last = np.searchsorted(positions, [start, end])
        found.append(
            instances.Instance(
                original[start:end].tolist(),
                shown[start:end].tolist(),
                end - start - int(segments[start:end].sum()) - 2,
                bool(label),
                (positions[first:last] - start).tolist(),
            )
        )
    return found


def same_distribution(ours: list[int], theirs: list[int]) -> float:
    """The p of a chi-squared test of two histograms; cells of fewer than 20 go to one."""
    table = np.array([ours, theirs])
    is_rare = table.sum(axis=0) < 20
    rare = table[:, is_rare].sum(axis=1, keepdims=True)
    table = np.concatenate([table[:, ~is_rare], rare], axis=1)
    return stats.chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue


def largest_gap(ours: list[int], theirs: list[int]) -> float:
    """Kolmogorov and Smirnov's: the largest difference of the two shares of all up to a value."""
    shares = [np.cumsum(histogram) / np.sum(histogram) for histogram in (ours, theirs)]
    return float(np.abs(shares[0] - shares[1]).max())


def test_the_plain_walk_draws_googles_pairs_to_the_letter(
    google_data: dict[str, Any], documents: Documents, slow_pairs: ModuleType
) -> None:
    rng = random.Random(google_data["seed"])
    pairs = [
        pair
        for index in range(len(documents))
        for pair in slow_pairs.reference_pairs(
            documents, index, google_data["settings"]["max_seq_length"], rng
        )
    ]
    expected = google_data["pairs"]
    assert [list(pair) for pair in pairs[:20]] == expected["first"]
    assert len(pairs) == expected["number"] > 1000
    assert hashlib.sha256(json.dumps(pairs).encode()).hexdigest() == expected["sha256"]


@pytest.mark.parametrize("name", MASKINGS)
def test_the_plain_loop_chooses_googles_tokens_to_the_letter(
    google_data: dict[str, Any], ids: WordpieceIds, slow_masks: ModuleType, name: str
) -> None:
    masking = Masking(whole_word=name == "whole_words")
    assert len(google_data["masks"]) == 20
    for seed, sequence in enumerate(google_data["masks"]):
        rng = random.Random(seed)
        found = slow_masks.reference_choice(sequence["tokens"], ids, masking, rng)
        assert found == sequence[name]


@pytest.mark.parametrize("name", MASKINGS)
def test_the_number_of_examples_and_the_share_of_random_ones_are_googles(
    counted: dict[str, Any], name: str
) -> None:
    ours, theirs = counted[name]
    n = theirs["num_instances"]
    assert n > 10_000
    # A document with a short target makes many examples, most of them random, so that passes vary
    # more than coins would: the plain walk's have a standard deviation of 29.5 examples, and of
    # 0.016 in each share. These are ten passes on either side, four standard deviations.
    assert ours["num_instances"] == pytest.approx(n, abs=4 * 29.5 * (2 * EPOCHS) ** 0.5)
    tolerance = 4 * 0.016 * (2 / EPOCHS) ** 0.5
    shares = [counts["num_random"] / counts["num_instances"] for counts in (ours, theirs)]
    assert shares[0] == pytest.approx(shares[1], abs=tolerance)
    short = [sum(counts["lengths"][:64]) / counts["num_instances"] for counts in (ours, theirs)]
    assert short[0] == pytest.approx(short[1], abs=tolerance)


@pytest.mark.parametrize("name", MASKINGS)
@pytest.mark.parametrize("what", ["first_lengths", "second_lengths", "lengths"])
def test_lengths_are_googles(counted: dict[str, Any], name: str, what: str) -> None:
    ours, theirs = counted[name]
    # Two samples of n = 11,400 differ by as much one time in a thousand.
    assert largest_gap(ours[what], theirs[what]) < 0.0258


def test_every_length_has_googles_number_of_masked_tokens(counted: dict[str, Any]) -> None:
    ours, theirs = (
        {length: set(counts) for length, counts in found["num_masked"].items()}
        for found in counted["wordpieces"]
    )
    common = ours.keys() & theirs.keys()
    assert len(common) > 100
    assert all(ours[length] == theirs[length] for length in common)
    assert all(len(counts) == 1 for counts in theirs.values())


def test_whole_words_leave_as_many_tokens_unmasked_as_googles(counted: dict[str, Any]) -> None:
    """A sequence lacks tokens where no word is left that does not overshoot."""
    lacking = []
    for found in counted["whole_words"]:
        missing: Counter[int] = Counter()
        for length, counts in found["num_masked"].items():
            wanted = max(1, round(int(length) * 0.15))
            for number, times in counts.items():
                missing[wanted - int(number)] += times
        lacking.append([missing[number] for number in range(20)])
    assert sum(lacking[1][1:]) > 20
    assert same_distribution(*lacking) > 0.001


@pytest.mark.parametrize("name", MASKINGS)
def test_what_becomes_of_masked_tokens_is_as_with_google(
    counted: dict[str, Any], name: str
) -> None:
    ours, theirs = counted[name]
    fates = [list(counts["fates"].values()) for counts in (ours, theirs)]
    # n = 160,000 tokens each.
    assert min(sum(fates[0]), sum(fates[1])) > 150_000
    assert same_distribution(*fates) > 0.001
    # Google's own are 80, 10 and 10 % but for the random wordpieces that change nothing.
    assert np.array(fates[1]) / sum(fates[1]) == pytest.approx([0.8, 0.1, 0.1], abs=0.004)
    assert same_distribution(ours["replacements"], theirs["replacements"]) > 0.001


@pytest.mark.parametrize("name", MASKINGS)
def test_masked_tokens_are_distributed_as_googles(counted: dict[str, Any], name: str) -> None:
    ours, theirs = counted[name]
    for what in ("masked_parts", "masked_ids", "runs"):
        assert same_distribution(ours[what], theirs[what]) > 0.001, what


def test_the_two_maskings_could_not_be_confused(counted: dict[str, Any]) -> None:
    runs = [counted[name][0]["runs"] for name in MASKINGS]
    assert same_distribution(*runs) < 1e-100
