"""Pseudo-log-likelihoods are what a loop over `transformers`' model gives."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import transformers

from bertsmith.data.record import Record
from bertsmith.errors import ConfigError, DataError
from bertsmith.export.model_folder import load_model
from bertsmith.inference.likelihood import LikelihoodScorer

TEXTS = ["a good film .", "films", "", "the books of france", ("a dull film", "films"), "paris"]


@pytest.fixture(scope="module")
def scorer(pretrained: Path) -> LikelihoodScorer:
    return LikelihoodScorer.load(pretrained, device="cpu")


def by_hand(folder: Path, text: str | tuple[str, str], *, hide_rest: bool) -> list[float]:
    model = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(*([text] if isinstance(text, str) else text), return_tensors="pt")
    words, segments = encoded.word_ids(0), encoded.sequence_ids(0)
    found = []
    for place, word in enumerate(words):
        if word is None:
            continue
        ids = encoded["input_ids"].clone()
        ids[0, place] = tokenizer.mask_token_id
        for other in range(place + 1, len(words)):
            same = (words[other], segments[other]) == (word, segments[place])
            if hide_rest and same:
                ids[0, other] = tokenizer.mask_token_id
        with torch.no_grad():
            logits = model(**(encoded | {"input_ids": ids})).logits[0, place, : len(tokenizer)]
        found.append(float(logits.log_softmax(-1)[encoded["input_ids"][0, place]]))
    return found


@pytest.mark.parametrize("batch_tokens", [1, 15, 4096])
@pytest.mark.parametrize("hide_rest", [True, False])
def test_likelihoods_are_those_of_a_loop(
    pretrained: Path, hide_rest: bool, batch_tokens: int
) -> None:
    scorer = LikelihoodScorer.load(pretrained, device="cpu", hide_rest_of_word=hide_rest)
    found = list(scorer.score(TEXTS, batch_tokens=batch_tokens))
    assert len(found) == len(TEXTS)
    for text, likelihood in zip(TEXTS, found, strict=True):
        expected = by_hand(pretrained, text, hide_rest=hide_rest)
        assert likelihood.log_probs == pytest.approx(expected, abs=1e-5)
        assert likelihood.log_likelihood == pytest.approx(sum(expected), abs=1e-4)
        if expected:
            mean = sum(expected) / len(expected)
            assert likelihood.perplexity == pytest.approx(math.exp(-mean), rel=1e-4)


def test_pieces_of_a_word_do_not_give_each_other_away(pretrained: Path) -> None:
    """Of `films`, `film` is asked for without `##s`; that one is asked for with `film`."""
    hidden, shown = (
        next(LikelihoodScorer.load(pretrained, hide_rest_of_word=hide).score(["films"]))
        for hide in (True, False)
    )
    assert hidden.tokens == shown.tokens == ["film", "##s"]
    assert hidden.log_probs[0] != pytest.approx(shown.log_probs[0], abs=1e-4)
    assert hidden.log_probs[1] == pytest.approx(shown.log_probs[1], abs=1e-6)


def test_a_text_without_wordpieces_has_no_perplexity(scorer: LikelihoodScorer) -> None:
    for texts in ([""], ["", ""], ["", "paris"], ["paris", ""]):
        found = list(scorer.score(texts))
        for text, likelihood in zip(texts, found, strict=True):
            assert (likelihood.perplexity is None) == (text == "")
            assert (likelihood.log_likelihood == 0) == (text == "")


def test_a_text_that_is_too_long_is_cut(scorer: LikelihoodScorer) -> None:
    (found,) = scorer.score(["good " * 40])
    assert len(found.tokens) == scorer.max_length - 2 == 10


def test_texts_before_a_bad_one_are_answered(scorer: LikelihoodScorer) -> None:
    found = scorer.score(["paris", Record({"other": "x"}, "line 2 of a.csv"), "paris"])
    assert next(found).tokens == ["paris"]
    with pytest.raises(DataError, match=r"line 2 of a\.csv"):
        next(found)


def test_a_model_that_fills_no_masks_is_refused(classifier: Path) -> None:
    with pytest.raises(ConfigError, match="must have masked_lm among them"):
        LikelihoodScorer(load_model(classifier))
