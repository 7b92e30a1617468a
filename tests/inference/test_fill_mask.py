"""Words for [MASK] are those that `transformers` finds in the same folder."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import transformers

from bertsmith.batch import Batch
from bertsmith.errors import ConfigError, DataError
from bertsmith.export.model_folder import LoadedModel, load_model
from bertsmith.inference.fill_mask import (
    compared_words,
    count_comparisons,
    encode_masked,
    fill_mask,
)
from bertsmith.inference.masked_words import log_probs_at


@pytest.fixture(scope="module")
def loaded(pretrained: Path) -> LoadedModel:
    return load_model(pretrained)


def test_each_mask_gets_the_words_of_transformers(loaded: LoadedModel, pretrained: Path) -> None:
    text = "Paris is the [MASK] of [MASK] ."
    filled = fill_mask(loaded.model, loaded.tokenizer, text, top_k=3)
    model = transformers.BertForMaskedLM.from_pretrained(pretrained).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(pretrained)
    encoded = tokenizer(text, return_tensors="pt")
    logits = model(**encoded).logits[0].detach()[:, : len(tokenizer)]
    places = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten()
    assert len(filled) == len(places) == 2
    for place, candidates in zip(places, filled, strict=True):
        probabilities, ids = logits[place].softmax(-1).topk(3)
        assert [c.word for c in candidates] == tokenizer.convert_ids_to_tokens(ids)
        assert [c.probability for c in candidates] == pytest.approx(
            probabilities.tolist(), abs=1e-5
        )


def test_only_words_of_the_vocabulary_are_offered(loaded: LoadedModel) -> None:
    assert loaded.model.config.vocab_size > loaded.tokenizer.vocab_size
    size = loaded.tokenizer.vocab_size
    (candidates,) = fill_mask(loaded.model, loaded.tokenizer, "[MASK]", top_k=size)
    assert sorted(c.word for c in candidates) == sorted(loaded.tokenizer.vocabulary.pieces)
    assert sum(c.probability for c in candidates) == pytest.approx(1, abs=1e-5)


def test_the_model_stays_in_its_mode(loaded: LoadedModel) -> None:
    loaded.model.train()
    first = fill_mask(loaded.model, loaded.tokenizer, "a [MASK] film")
    assert loaded.model.training
    loaded.model.eval()
    assert fill_mask(loaded.model, loaded.tokenizer, "a [MASK] film") == first


def test_what_cannot_be_filled_is_refused(loaded: LoadedModel, classifier: Path) -> None:
    with pytest.raises(DataError, match=r"'a \[mask\] film' holds no \[MASK\]; write \[MASK\], in"):
        fill_mask(loaded.model, loaded.tokenizer, "a [mask] film")
    with pytest.raises(DataError, match=r"is longer than the model's 12 positions"):
        fill_mask(loaded.model, loaded.tokenizer, "good " * 20 + "[MASK]")
    for top_k in (0, 21):
        with pytest.raises(ConfigError, match=rf"top_k \({top_k}\) must be from 1 to 20"):
            fill_mask(loaded.model, loaded.tokenizer, "[MASK]", top_k=top_k)
    other = load_model(classifier)
    with pytest.raises(ConfigError, match=r"tasks \(sequence_classification\) must have masked_lm"):
        fill_mask(other.model, other.tokenizer, "[MASK]")


def test_words_are_compared_as_the_pipeline_compares_them(
    loaded: LoadedModel, pretrained: Path
) -> None:
    text, words = "paris is the [MASK] of [MASK] .", ["capital", "film", "good"]
    pipeline = transformers.pipeline("fill-mask", model=str(pretrained))
    expected = pipeline(text, targets=words)
    found = fill_mask(loaded.model, loaded.tokenizer, text, words=words)
    for candidates, theirs in zip(found, expected, strict=True):
        assert [c.word for c in candidates] == [each["token_str"] for each in theirs]
        # The pipeline's probabilities count the slots that the vocabulary does not fill.
        ratios = [c.probability / each["score"] for c, each in zip(candidates, theirs, strict=True)]
        assert ratios == pytest.approx([ratios[0]] * 3, rel=1e-4)


def test_a_word_of_two_wordpieces_is_asked_for_piece_by_piece(
    loaded: LoadedModel, pretrained: Path
) -> None:
    model = transformers.BertForMaskedLM.from_pretrained(pretrained).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(pretrained)

    def probability(text: str, place: int, piece: str) -> float:
        logits = model(**tokenizer(text, return_tensors="pt")).logits[0, place, : len(tokenizer)]
        return float(logits.detach().softmax(-1)[tokenizer.convert_tokens_to_ids(piece)])

    (found,) = fill_mask(loaded.model, loaded.tokenizer, "a [MASK] .", words=["films", "film"])
    probabilities = {candidate.word: candidate.probability for candidate in found}
    first = probability("a [MASK] [MASK] .", 2, "film")
    second = probability("a film [MASK] .", 3, "##s")
    assert probabilities["films"] == pytest.approx(first * second, rel=1e-4)
    assert probabilities["film"] == pytest.approx(probability("a [MASK] .", 2, "film"), rel=1e-4)
    assert [c.probability for c in found] == sorted(probabilities.values(), reverse=True)


def test_many_words_are_compared_in_parts(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded.model.double()  # which rounds alike in batches of any size
    words = ["films", "books", "goods", "film", "good", "fines"]
    whole = fill_mask(loaded.model, loaded.tokenizer, "a [MASK] .", words=words)
    monkeypatch.setattr("bertsmith.inference.fill_mask.BATCH_SEQUENCES", 2)
    parts = fill_mask(loaded.model, loaded.tokenizer, "a [MASK] .", words=words)
    assert [c.word for c in parts[0]] == [c.word for c in whole[0]]
    assert [c.probability for c in parts[0]] == pytest.approx([c.probability for c in whole[0]])


@pytest.mark.parametrize("word", ["", "zebra", "film zebra"])
def test_words_that_have_no_wordpieces_are_refused(loaded: LoadedModel, word: str) -> None:
    with pytest.raises(DataError, match=f"has no wordpieces for the word '{word}'"):
        fill_mask(loaded.model, loaded.tokenizer, "a [MASK]", words=["film", word])


def test_a_word_may_be_a_mask_itself(loaded: LoadedModel) -> None:
    """Of [MASK] and "s" the second piece is asked for behind the first, not in its place."""
    mask, s = (loaded.tokenizer.vocabulary.id_of(piece) for piece in ("[MASK]", "##s"))
    encoding = encode_masked(loaded.tokenizer, "a [MASK] .")
    loaded.model.eval()
    found = {
        name: compared_words(loaded.model, loaded.tokenizer, encoding, {name: pieces})
        for name, pieces in (("both", [mask, s]), ("first", [mask, mask]))
    }
    batch = Batch.from_sequences([[*encoding.ids[:2], mask, mask, *encoding.ids[3:]]])
    size = loaded.tokenizer.vocab_size
    rows = [log_probs_at(loaded.model, batch, [place], size)[0].exp() for place in (2, 3)]
    for name, piece in (("both", s), ("first", mask)):
        expected = float(rows[0][mask] * rows[1][piece])
        assert found[name][0][0].probability == pytest.approx(expected, rel=1e-4)


SPELLED = [
    [[5]],
    [[5], [6], [7]],
    [[5, 6]],
    [[5, 6], [5, 7], [6, 5]],
    [[5, 6], [5, 6]],
    [[5, 6, 7, 8], [5, 6, 7, 9], [5, 7, 6, 9], [5, 6], [5]],
    [[*range(5, 12), last] for last in (4, 6, 8)],
]


@pytest.mark.parametrize("spelled", SPELLED)
def test_what_comparing_costs_is_known_before(
    spelled: list[list[int]], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def counted(model: Any, batch: Batch, *others: Any) -> Any:
        read.extend(batch.cu_seqlens.diff().tolist())
        return log_probs_at(model, batch, *others)

    monkeypatch.setattr("bertsmith.inference.fill_mask.log_probs_at", counted)
    encoding = encode_masked(loaded.tokenizer, "a [MASK] .")
    words = {str(number): pieces for number, pieces in enumerate(spelled)}
    compared_words(loaded.model, loaded.tokenizer, encoding, words)
    assert count_comparisons(encoding, words) == (len(read), sum(read))


def test_a_word_as_long_as_a_book_is_refused_before_it_takes_memory(loaded: LoadedModel) -> None:
    """Written out, what there is to read for it would be 16 million numbers."""
    spelled = {"long": [5] * 4000}
    encoding = encode_masked(loaded.tokenizer, "a [MASK] .")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="with the 4000 wordpieces of the word 'long'"):
            compared_words(loaded.model, loaded.tokenizer, encoding, spelled)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_a_word_that_makes_the_text_too_long_is_refused(loaded: LoadedModel) -> None:
    text = "good " * 9 + "[MASK]"  # twelve wordpieces, as many as there are positions
    assert fill_mask(loaded.model, loaded.tokenizer, text, words=["film"])
    with pytest.raises(DataError, match="longer than the model's 12 positions"):
        fill_mask(loaded.model, loaded.tokenizer, text, words=["films"])
