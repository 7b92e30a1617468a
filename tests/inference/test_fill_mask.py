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
