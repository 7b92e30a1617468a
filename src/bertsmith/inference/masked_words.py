"""What a masked language model expects at one place of each sequence.

Dimension key: `B` sequences, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.errors import ConfigError
from bertsmith.tasks.model import BertForTasks


def check_fills_masks(model: BertForTasks) -> None:
    """See that a model can be asked for masked words.

    Raises:
        ConfigError: it has no `masked_lm` head.
    """
    if "masked_lm" not in model.heads:
        names = ", ".join(model.heads) or "none"
        raise ConfigError(
            f"the model's tasks ({names}) must have masked_lm among them to fill a mask; take a "
            "pre-trained model, from before it was fine-tuned"
        )


def log_probs_at(
    model: BertForTasks, batch: Batch, positions: Sequence[int], vocab_size: int
) -> Tensor:
    """The logarithms of the wordpieces' probabilities at one place of each sequence.

    Args:
        model: with a `masked_lm` head, in evaluation.
        batch: B sequences, on the model's device.
        positions: B places, each counted from its sequence's start.
        vocab_size: V; the model may have room for more wordpieces than the vocabulary has.

    Returns:
        (B, V) float32.
    """
    places = batch.cu_seqlens[:-1].long() + torch.tensor(positions, device=batch.cu_seqlens.device)
    with torch.inference_mode():
        logits = model.heads["masked_lm"](model.bert(batch), {"masked_positions": places})
        log_probs: Tensor = logits[:, :vocab_size].float().log_softmax(-1)
    return log_probs
