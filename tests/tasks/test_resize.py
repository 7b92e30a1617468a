"""A resized model says what it said, and what is new starts from what it knew."""

from __future__ import annotations

import pytest
import torch
from tests.tasks.learning import CONFIG

from bertsmith.batch import Batch
from bertsmith.errors import ConfigError
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence
from bertsmith.tasks.resize import with_positions, with_wordpieces

BATCH = Batch.from_sequences([[2, 5, 6, 3], [2, 7, 3]])
TARGETS = {"masked_positions": torch.tensor([1, 5])}


def build() -> BertForTasks:
    torch.manual_seed(0)
    model = BertForTasks(CONFIG, [MaskedLM(), NextSentence()]).eval()
    with torch.no_grad():
        model.heads["masked_lm"].decoder_bias.normal_()
    return model


def test_new_wordpieces_start_at_the_mean_of_their_old_pieces() -> None:
    model = build()
    again = with_wordpieces(model, 23, {4: [7, 8], 20: [5, 6, 9], 22: []})
    assert again.config.vocab_size == 23
    rows, old = again.bert.embeddings.wordpiece.weight, model.bert.embeddings.wordpiece.weight
    torch.testing.assert_close(rows[4], old[[7, 8]].mean(0))
    torch.testing.assert_close(rows[20], old[[5, 6, 9]].mean(0))
    torch.testing.assert_close(rows[21], old.mean(0))
    torch.testing.assert_close(rows[22], old.mean(0))
    bias, old_bias = (m.heads["masked_lm"].decoder_bias for m in (again, model))
    torch.testing.assert_close(bias[20], old_bias[[5, 6, 9]].mean())
    assert again.heads["masked_lm"].decoder_weight is again.bert.embeddings.wordpiece.weight
    # Everything else is as it was.
    with torch.no_grad():
        before, after = model(BATCH, TARGETS), again(BATCH, TARGETS)
    torch.testing.assert_close(after["next_sentence"], before["next_sentence"])
    same = [i for i in range(20) if i != 4]
    torch.testing.assert_close(after["masked_lm"][:, same], before["masked_lm"][:, same])


def test_a_model_with_room_keeps_its_size() -> None:
    assert with_wordpieces(build(), 15, {14: [5]}).config.vocab_size == 20


def test_ids_beyond_the_vocabulary_are_refused() -> None:
    for ids in ({25: [3]}, {3: [20]}, {-1: [3]}):
        with pytest.raises(ConfigError, match="must map ids below 21 to ids below 20"):
            with_wordpieces(build(), 21, ids)


def test_an_encoder_without_attention_is_refused() -> None:
    model = BertForTasks(CONFIG.replace(encoder="two_lstms"), [])
    for resize in (lambda: with_wordpieces(model, 23, {}), lambda: with_positions(model, 40)):
        with pytest.raises(ConfigError, match=r"encoder \('two_lstms'\) has no attention"):
            resize()


def test_new_positions_repeat_the_old() -> None:
    model = build()
    again = with_positions(model, 40)
    rows = again.bert.embeddings.position.weight
    old = model.bert.embeddings.position.weight
    assert torch.equal(rows, torch.cat([old, old, old[:8]]))
    with torch.no_grad():
        before, after = model(BATCH, TARGETS), again(BATCH, TARGETS)
        again.bert(Batch.from_sequences([[5] * 40]))
    torch.testing.assert_close(after["masked_lm"], before["masked_lm"])
    for positions in (8, 10**30):
        with pytest.raises(ConfigError, match=rf"positions \({positions}\) must be at least"):
            with_positions(model, positions)
