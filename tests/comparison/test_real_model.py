"""A model that people use tells the senses apart, and real text has what is looked for."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from tests.comparison.systems import StaticVectors, causal, with_encoder
from tests.serving.taught_models import minilm

from bertsmith.comparison.corpus_sentences import CorpusSentences, corpus_sentences
from bertsmith.comparison.labelled_sentences import DEFAULT_SENTENCES
from bertsmith.comparison.word_study import study_word
from bertsmith.data.prepare import prepare
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.export.model_folder import load_model
from bertsmith.text.tokenizer import Tokenizer

pytestmark = pytest.mark.slow


def test_context_on_both_sides_tells_senses_apart() -> None:
    """The same weights with and without what is on the right, and their table of wordpieces."""
    folder = minilm()
    models = {
        "table": with_encoder(folder, StaticVectors),
        "left": load_model(folder, attention=causal),
        "both": load_model(folder),
    }
    found = study_word(models, CorpusSentences([], []), "right", DEFAULT_SENTENCES)
    table, left, both = (each.separation for each in found.systems)
    assert table is not None
    assert left is not None
    assert both is not None
    np.testing.assert_allclose(found.systems[0].similarities, 1, atol=1e-6)
    assert both.difference > left.difference > table.difference + 0.03
    assert both.difference > 0.15
    assert both.accuracy > left.accuracy > table.accuracy == pytest.approx(both.chance)
    first, *_, last = found.systems[2].layers
    assert first is not None
    assert last == both
    assert abs(first.difference) < 0.02
    turn = [each.text for each in found.sentences].index(DEFAULT_SENTENCES[1].text)
    assert found.systems[2].neighbours[turn][1].word.text == "left"


def test_every_sentence_of_real_text_that_has_the_word_is_found(
    shared_data: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.load(minilm())
    shards = tmp_path / "shards"
    prepare([shared_data / "corpus" / "wikipedia-dev.txt.xz"], tokenizer, shards, workers=1)
    found = corpus_sentences(shards, "right", max_with_word=10**6, max_others=10**6)
    texts = []
    for shard in TokenizedCorpus.open(shards).shards:
        starts, pieces = shard.sentence_starts.tolist(), shard.wordpieces.tolist()
        for start, end in itertools.pairwise(starts):
            if 5 <= end - start <= 80:
                texts.append(tokenizer.decode(pieces[start:end]))
    assert len(texts) > 5000
    has_word = [re.search(r"(?<!\w)right(?!\w)", text) is not None for text in texts]
    expected = [text for text, has in zip(texts, has_word, strict=True) if has]
    assert found.with_word == list(dict.fromkeys(expected))
    assert len(found.with_word) > 20
    assert found.others == list(
        dict.fromkeys(text for text, has in zip(texts, has_word, strict=True) if not has)
    )
