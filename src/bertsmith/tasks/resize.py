"""A model with more wordpieces or more positions, whose new rows start from what it knows.

Dimension key: `V` vocabulary, `P` positions, `H` hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from bertsmith.errors import ConfigError
from bertsmith.model.attention import SelfAttention
from bertsmith.tasks.model import BertForTasks

# A mistyped number must not take the machine's memory; attention over so many takes it as well.
MAX_POSITIONS = 2**17

_WORDPIECE = "bert.embeddings.wordpiece.weight"
_DECODER_BIAS = "heads.masked_lm.decoder_bias"
_POSITION = "bert.embeddings.position.weight"


def with_wordpieces(
    model: BertForTasks, vocab_size: int, old_ids: Mapping[int, Sequence[int]]
) -> BertForTasks:
    """A copy of the model for a vocabulary in which words have become wordpieces.

    The row of a new wordpiece is the mean of the rows of the pieces that it was cut into before,
    so that at first the model takes the word for about what it took it for; the masked-LM head's
    bias likewise. A row without such pieces starts at the mean of all.

    Args:
        model: stays as it is.
        vocab_size: V, of the new vocabulary; a model that has room for more keeps it.
        old_ids: id of each new wordpiece → ids in the old vocabulary.

    Raises:
        ConfigError: an id is beyond the vocabulary, or the encoder has no attention.
    """
    old_size = model.config.vocab_size
    new_size = max(vocab_size, old_size)
    known = all(0 <= i < old_size for ids in old_ids.values() for i in ids)
    if not known or not all(0 <= new < new_size for new in old_ids):
        raise ConfigError(
            f"old_ids must map ids below {new_size} to ids below {old_size}, the model's vocab_size"
        )

    def grown(rows: Tensor) -> Tensor:
        mean = rows.mean(0, keepdim=True)
        result = torch.cat([rows, mean.expand(new_size - old_size, *rows.shape[1:])])
        for new, old in old_ids.items():
            result[new] = rows[list(old)].mean(0) if old else mean[0]
        return result

    return _rebuilt(model, dict.fromkeys((_WORDPIECE, _DECODER_BIAS), grown), vocab_size=new_size)


def with_positions(model: BertForTasks, positions: int) -> BertForTasks:
    """A copy of the model that reads longer sequences.

    The new positions repeat the old ones from the first on, since what heads have learned of
    nearby positions then holds everywhere but at the seams (Beltagy et al. 2020, "Longformer",
    section 5). It has to be trained further before they are of use.

    Args:
        model: stays as it is.
        positions: P, at least as many as the model has.

    Raises:
        ConfigError: there are fewer, or the encoder has no attention.
    """
    old = model.config.max_position_embeddings
    if not old <= positions <= MAX_POSITIONS:
        raise ConfigError(
            f"positions ({positions}) must be at least the model's {old} and at most "
            f"{MAX_POSITIONS:,}"
        )

    def repeated(rows: Tensor) -> Tensor:
        return rows[torch.arange(positions, device=rows.device) % old]

    return _rebuilt(model, {_POSITION: repeated}, max_position_embeddings=positions)


def _rebuilt(
    model: BertForTasks, changed: Mapping[str, Callable[[Tensor], Tensor]], **sizes: int
) -> BertForTasks:
    """The same model with other sizes; the named parameters are changed by their functions."""
    bert = model.bert
    layer = next((each for each in bert.modules() if isinstance(each, SelfAttention)), None)
    if layer is None:
        raise ConfigError(
            f"the model's encoder ({model.config.encoder!r}) has no attention and cannot be "
            "extended; extend a BERT, or train a new model with the sizes that it is to have"
        )
    again = BertForTasks(
        model.config.replace(**sizes),
        model.tasks,
        with_pooler=bert.pooler is not None,
        features=None if model.features is None else model.features.settings,
        attention=layer.attention,
        is_drawn=False,  # all that is drawn is replaced below
    )
    old = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in again.named_parameters():
            rows = old[name].detach()
            parameter.copy_(changed[name](rows) if name in changed else rows)
    return again.to(next(model.parameters()).device).train(model.training)
