"""The vectors of every wordpiece, and what attends to what (paper, section 5.3).

Dimension key: `T` tokens of the batch, `B` sequences, `S` the longest, `N` heads, `H` hidden size.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.data.answered_in_order import answered_in_order
from bertsmith.data.example import Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.errors import ConfigError
from bertsmith.export.model_folder import LoadedModel
from bertsmith.inference.embedder import BATCH_TOKENS, layer_index
from bertsmith.inference.text_examples import text_examples
from bertsmith.model.attention import SelfAttention
from bertsmith.ops.attention import reference
from bertsmith.ops.ragged import RaggedLayout
from bertsmith.tasks.model import BertForTasks


def features(
    loaded: LoadedModel, texts: Iterable[Any], *, layers: Sequence[int] = (-1, -2, -3, -4)
) -> Iterator[dict[str, Any]]:
    """What Google's extract_features.py writes for each text: `linex_index` and `features`.

    Each wordpiece, [CLS] and [SEP] among them, has its `token` and for each layer the layer's
    `index`, as it was asked for, and `values`: H numbers of six decimals.

    Args:
        loaded: a model of any kind.
        texts: texts, pairs of texts, or records with them.
        layers: -1 is the last, 0 the first; the embeddings are none.

    Raises:
        ConfigError: there is no such layer, or none is asked for.
        DataError: one of the texts is none.
    """
    model, tokenizer = loaded.model.eval(), loaded.tokenizer
    if not layers:
        raise ConfigError("layers is empty; name at least one, -1 for the last")
    places = [layer_index(layer, model.config.num_hidden_layers) + 1 for layer in layers]
    max_length = tokenizer.limit(model.config.max_position_embeddings)

    def answer(examples: list[Example]) -> list[dict[str, Any]]:
        batch = pack_examples(examples).to(next(model.parameters()).device)
        with torch.inference_mode():
            output = model.bert(batch, all_hidden_states=True)
        assert output.all_hidden_states is not None  # noqa: S101 - asked for above
        states = [output.all_hidden_states[place].cpu() for place in places]
        bounds = itertools.pairwise(batch.cu_seqlens.tolist())
        return [
            {"features": _of_tokens(example.target, [state[a:b] for state in states], layers)}
            for example, (a, b) in zip(examples, bounds, strict=True)
        ]

    examples = text_examples(texts, tokenizer, max_length)
    for index, found in enumerate(answered_in_order(examples, answer, BATCH_TOKENS)):
        yield {"linex_index": index} | found


def attention_maps(model: BertForTasks, batch: Batch) -> list[Tensor]:
    """(B, N, S, S) for each layer: how much each token (rows) takes from each other (columns).

    A row sums to 1; what is beyond a sequence's end is 0. Computed by the definition of attention,
    so the rest of the model says what it always says.
    """
    sequences = RaggedLayout(batch.cu_seqlens, batch.max_seqlen)
    maps: list[Tensor] = []

    def recorded(qkv: Tensor, layout: RaggedLayout, dropout_prob: float) -> Tensor:
        maps.append(_probabilities(qkv[: batch.num_tokens], sequences))
        return reference(qkv, layout, dropout_prob)

    modules = [module for module in model.bert.modules() if isinstance(module, SelfAttention)]
    before = [module.attention for module in modules]
    was_training = model.training
    model.eval()
    try:
        for module in modules:
            module.attention = recorded
        with torch.no_grad():
            model.bert(batch)
    finally:
        for module, attention in zip(modules, before, strict=True):
            module.attention = attention
        model.train(was_training)
    return maps


def _probabilities(qkv: Tensor, layout: RaggedLayout) -> Tensor:
    q, k = layout.pad(qkv[:, :2]).float().permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5  # (B, N, S, S)
    if layout.mask is None:
        whole: Tensor = scores.softmax(-1)
        return whole
    is_there = layout.mask[:, None, None, :]
    probabilities: Tensor = scores.masked_fill(~is_there, -torch.inf).softmax(-1)
    return probabilities * layout.mask[:, None, :, None]


def _of_tokens(
    tokens: Sequence[str], states: Sequence[Tensor], layers: Sequence[int]
) -> list[dict[str, Any]]:
    rows = [[[round(x, 6) for x in row] for row in state.tolist()] for state in states]
    return [
        {
            "token": token,
            "layers": [
                {"index": layer, "values": values[place]}
                for layer, values in zip(layers, rows, strict=True)
            ],
        }
        for place, token in enumerate(tokens)
    ]
