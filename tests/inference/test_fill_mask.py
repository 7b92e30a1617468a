"""Words for [MASK] are those that `transformers` finds in the same folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers

from bertsmith.errors import ConfigError, DataError
from bertsmith.export.model_folder import LoadedModel, load_model
from bertsmith.inference.fill_mask import fill_mask


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


def test_a_word_that_makes_the_text_too_long_is_refused(loaded: LoadedModel) -> None:
    text = "good " * 9 + "[MASK]"  # twelve wordpieces, as many as there are positions
    assert fill_mask(loaded.model, loaded.tokenizer, text, words=["film"])
    with pytest.raises(DataError, match="longer than the model's 12 positions"):
        fill_mask(loaded.model, loaded.tokenizer, text, words=["films"])
