"""The vectors of every wordpiece, and what attends to what (paper, section 5.3).

Dimension key: `T` tokens of the batch, `B` sequences, `S` the longest, `N` heads, `D` head size,
`H` hidden size.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.data.answered_in_order import answered_in_order
from bertsmith.data.example import Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.errors import ConfigError
from bertsmith.export.graph_bert import LAST_LAYER_ALONE, GraphBert
from bertsmith.export.model_folder import LoadedModel
from bertsmith.inference.embedder import layer_index
from bertsmith.inference.text_examples import text_examples
from bertsmith.model.attention import SelfAttention
from bertsmith.ops.attention import Attention
from bertsmith.ops.ragged import RaggedLayout
from bertsmith.tasks.model import BertForTasks
from bertsmith.training.record_evaluation import batch_tokens_on

_LAYERS = 4
# Whoever asks for maps puts another function into the model meanwhile.
_ONE_AT_A_TIME = threading.Lock()


def features(
    loaded: LoadedModel, texts: Iterable[Any], *, layers: Sequence[int] | None = None
) -> Iterator[dict[str, Any]]:
    """What Google's extract_features.py writes for each text: `linex_index` and `features`.

    Each wordpiece, [CLS] and [SEP] among them, has its `token` and for each layer the layer's
    `index`, as it was asked for, and `values`: H numbers of six decimals.

    Args:
        loaded: a model of any kind.
        texts: texts, pairs of texts, or records with them.
        layers: -1 is the last, 0 the first; the embeddings are none. None: the last four, as
            Google's script takes them, or as many as there are.

    Raises:
        ConfigError: there is no such layer, or none is asked for.
        DataError: one of the texts is none.
    """
    model, tokenizer = loaded.model.eval(), loaded.tokenizer
    num_layers = model.config.num_hidden_layers
    asked = range(-1, -1 - min(_LAYERS, num_layers), -1) if layers is None else layers
    if not asked:
        raise ConfigError("layers is empty; name at least one, -1 for the last")
    places = [layer_index(layer, num_layers) + 1 for layer in asked]
    max_length = tokenizer.limit(model.config.max_position_embeddings)
    device = next(model.parameters()).device

    def answer(examples: list[Example]) -> list[dict[str, Any]]:
        batch = pack_examples(examples, device)
        with torch.inference_mode():
            output = model.bert(batch, all_hidden_states=True)
        assert output.all_hidden_states is not None  # noqa: S101 - asked for above
        states = [output.all_hidden_states[place].cpu() for place in places]
        bounds = itertools.pairwise(batch.cu_seqlens.tolist())
        return [
            {
                "features": _of_tokens(
                    [tokenizer.vocabulary.pieces[i] for i in example.input_ids],
                    [state[a:b] for state in states],
                    asked,
                )
            }
            for example, (a, b) in zip(examples, bounds, strict=True)
        ]

    examples = text_examples(texts, tokenizer, max_length)
    for index, found in enumerate(answered_in_order(examples, answer, batch_tokens_on(device))):
        yield {"linex_index": index} | found


def attention_maps(
    model: BertForTasks, batch: Batch, *, layers: Collection[int] | None = None
) -> list[Tensor]:
    """(B, N, S, S) for each layer: how much each token (rows) takes from each other (columns).

    A row sums to 1; what is beyond a sequence's end is 0. Measured at the model's own attention, so
    that one that looks back alone is seen to.

    Args:
        model: any; one whose layers do not attend has no maps.
        batch: packed sequences.
        layers: of which, from 0, since maps of all of them are large; None: of all. They are as
            large as the longest sequence makes them, for each: give few long ones at once.

    Raises:
        ConfigError: the model was exported.
    """
    if isinstance(model.bert, GraphBert):
        raise ConfigError(LAST_LAYER_ALONE)
    sequences = RaggedLayout(batch.cu_seqlens, batch.max_seqlen)
    maps: list[Tensor] = []
    thread = threading.get_ident()  # others may use the model meanwhile

    def recorded(attention: Attention) -> Attention:
        def measured(
            qkv: Tensor, layout: RaggedLayout, dropout_prob: float, *flags: bool
        ) -> Tensor:
            if threading.get_ident() == thread:
                weights = attention_weights(attention, qkv, layout, *flags)[: batch.num_tokens]
                maps.append(sequences.pad(weights).permute(0, 2, 1, 3))
            return attention(qkv, layout, dropout_prob, *flags)

        return measured

    every = [module for module in model.bert.modules() if isinstance(module, SelfAttention)]
    modules = [each for place, each in enumerate(every) if layers is None or place in layers]
    with _ONE_AT_A_TIME:
        before = [module.attention for module in modules]
        was_training = model.training
        model.eval()
        try:
            for module in modules:
                module.attention = recorded(module.attention)
            with torch.no_grad():
                model.bert(batch)
        finally:
            for module, attention in zip(modules, before, strict=True):
                module.attention = attention
            model.train(was_training)
    return maps


def attention_weights(
    attention: Attention, qkv: Tensor, layout: RaggedLayout, *flags: bool
) -> Tensor:
    """(T, N, S): what each token takes from each place of its own sequence.

    Attention is a weighted sum of values. Where each value has a one of its own among zeros, the
    sum is the weights themselves, whatever the function lets a token see. A head has room for the
    ones of D places, so that S places take S / D calls.

    Args:
        attention: any function of `bertsmith.ops.attention`, or one like them.
        qkv: (T, 3, N, D), of which queries and keys count.
        layout: of the batch.
        flags: what else the function takes.
    """
    query, key, value = qkv.unbind(1)
    size = value.shape[-1]
    places = (layout.slots % layout.max_seqlen)[:, None]  # (T, 1)
    parts = []
    for first in range(0, layout.max_seqlen, size):
        ones = places == torch.arange(first, first + size, device=places.device)  # (T, D)
        values = ones[:, None, :].expand_as(value).to(value.dtype)
        parts.append(attention(torch.stack([query, key, values], 1), layout, 0.0, *flags).float())
    return torch.cat(parts, -1)[..., : layout.max_seqlen]


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
