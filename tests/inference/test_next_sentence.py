"""Whether B follows A is what `transformers` says of the same folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from bertsmith.errors import ConfigError, DataError
from bertsmith.export.model_folder import load_model
from bertsmith.inference.next_sentence import NextSentenceScorer

PAIRS = [("a good film", "a bad book ."), ("paris", "is dull"), ("the", "capital of france")]


@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_probabilities_are_those_of_transformers(pretrained: Path, batch_tokens: int) -> None:
    model = transformers.BertForNextSentencePrediction.from_pretrained(pretrained).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(pretrained)
    found = list(
        NextSentenceScorer.load(pretrained, device="cpu").score(PAIRS, batch_tokens=batch_tokens)
    )
    for (first, second), probability in zip(PAIRS, found, strict=True):
        with torch.no_grad():
            logits = model(**tokenizer(first, second, return_tensors="pt")).logits[0]
        assert probability == pytest.approx(float(logits.softmax(-1)[0]), abs=1e-6)


def test_what_is_no_pair_is_named(pretrained: Path, classifier: Path) -> None:
    scorer = NextSentenceScorer.load(pretrained)
    with pytest.raises(DataError, match="pair 2 has one text; two are needed"):
        list(scorer.score([("a", "b"), "alone"]))
    with pytest.raises(DataError, match="put it in a list"):
        next(scorer.score("alone"))
    with pytest.raises(ConfigError, match="must have next_sentence among them"):
        NextSentenceScorer(load_model(classifier))
