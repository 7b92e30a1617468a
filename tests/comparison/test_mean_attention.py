"""Attention is measured: what looks back alone has nothing above the diagonal, BERT has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.comparison.systems import causal, save

from bertsmith.batch import Batch
from bertsmith.comparison.corpus_sentences import CorpusSentences
from bertsmith.comparison.mean_attention import NUM_TOKENS, mean_attention
from bertsmith.export.model_folder import LoadedModel, load_model
from bertsmith.inference.features import attention_maps, attention_weights
from bertsmith.ops.attention import ATTENTIONS
from bertsmith.ops.ragged import RaggedLayout


@pytest.mark.parametrize("name", ["auto", "eager", "reference", "sdpa"])
def test_weights_are_the_softmax_that_the_function_computes(name: str) -> None:
    torch.manual_seed(0)
    lengths = [5, 19, 1, 7]  # more places than a head has room for
    bounds = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
    qkv = torch.randn(sum(lengths), 3, 2, 8)
    layout = RaggedLayout(bounds, 19)
    weights = attention_weights(ATTENTIONS[name], qkv, layout)
    assert weights.shape == (32, 2, 19)
    start = 0
    for size in lengths:
        q, k, _ = qkv[start : start + size].permute(1, 2, 0, 3)
        expected = (q @ k.transpose(1, 2) / 8**0.5).softmax(-1).transpose(0, 1)
        own = weights[start : start + size]
        torch.testing.assert_close(own[..., :size], expected, atol=1e-6, rtol=0)
        assert not own[..., size:].any()
        start += size


def test_maps_are_those_of_the_attention_that_the_model_has(folder: Path) -> None:
    batch = Batch.from_sequences([[2, 60, 61, 62, 3], [2, 70, 3]])
    model = load_model(folder, attention=causal).model
    with torch.no_grad():
        before = model.bert(batch).hidden_states
    for layer in attention_maps(model, batch):
        assert not layer.triu(1).any()
        rows = layer.sum(-1)
        torch.testing.assert_close(rows[0], torch.ones(2, 5))
        torch.testing.assert_close(rows[1, :, :3], torch.ones(2, 3))
    with torch.no_grad():
        torch.testing.assert_close(model.bert(batch).hidden_states, before, atol=0, rtol=0)


def test_what_looks_back_has_a_triangle_and_bert_the_square(
    systems: dict[str, LoadedModel], corpus: CorpusSentences
) -> None:
    back, both = (mean_attention(systems[name], corpus.all) for name in ("GPT", "BERT"))
    assert back is not None
    assert both is not None
    assert back.is_used.shape == both.is_used.shape == (NUM_TOKENS, NUM_TOKENS)
    assert torch.equal(back.is_used, torch.ones(NUM_TOKENS, NUM_TOKENS, dtype=torch.bool).tril())
    assert both.is_used.all()
    assert back.shares.later == 0
    assert both.shares.later > 0.3
    for found in (back, both):
        assert len(found.layers) == 2
        lengths = map(len, systems["BERT"].tokenizer.encode_batch(corpus.all))
        assert found.num_sequences == sum(length >= NUM_TOKENS for length in lengths) > 1
        shares = found.shares
        assert shares.earlier + shares.own + shares.later == pytest.approx(1)
        for layer in found.layers:
            torch.testing.assert_close(layer.sum(1), torch.ones(NUM_TOKENS))


def test_it_is_the_mean_of_the_maps(systems: dict[str, LoadedModel]) -> None:
    loaded = systems["BERT"]
    texts = ["the king was right", "the law was wrong", "the king"]
    found = mean_attention(loaded, texts)
    assert found is not None
    assert found.num_sequences == 2
    rows = [each.ids for each in loaded.tokenizer.encode_batch(texts[:2])]
    maps = attention_maps(loaded.model, Batch.from_sequences(rows))
    for mine, theirs in zip(found.layers, maps, strict=True):
        torch.testing.assert_close(mine, theirs.sum((0, 1)) / 4)


def test_sequences_are_cut_to_one_length(tmp_path: Path) -> None:
    loaded = load_model(save(tmp_path / "m", positions=6))
    found = mean_attention(loaded, ["the king was right about the law", "the law was wrong"])
    assert found is not None
    assert found.num_sequences == 2
    assert found.is_used.shape == (6, 6)


@pytest.mark.parametrize("name", ["GloVe", "LSTM"])
def test_what_does_not_attend_has_none(
    systems: dict[str, LoadedModel], corpus: CorpusSentences, name: str
) -> None:
    assert mean_attention(systems[name], corpus.all) is None
