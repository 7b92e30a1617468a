"""Words for [MASK]: what a masked language model has learned to do (paper, section 3.1).

Dimension key: `M` masks of the text, `V` vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bertsmith.batch import Batch
from bertsmith.errors import ConfigError, DataError
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Candidate:
    """A wordpiece in the place of a [MASK]."""

    word: str
    """With `##` in front where it goes on with the word before it."""
    probability: float


def fill_mask(
    model: BertForTasks, tokenizer: Tokenizer, text: str, top_k: int = 5
) -> list[list[Candidate]]:
    """The likeliest wordpieces for each [MASK], best first; each [MASK] is filled by itself.

    Args:
        model: with a `masked_lm` head.
        tokenizer: the model's.
        text: one text with [MASK] in it at least once.
        top_k: how many words for each.

    Raises:
        ConfigError: the model has no such head, or `top_k` is out of range.
        DataError: the text has no [MASK], or is longer than the model can read.
    """
    if "masked_lm" not in model.heads:
        names = ", ".join(model.heads) or "none"
        raise ConfigError(
            f"the model's tasks ({names}) must have masked_lm among them to fill a mask; take a "
            "pre-trained model, from before it was fine-tuned"
        )
    if not 1 <= top_k <= tokenizer.vocab_size:
        raise ConfigError(f"top_k ({top_k}) must be from 1 to {tokenizer.vocab_size}")
    encoding = tokenizer.encode(text)
    masks = [i for i, wordpiece in enumerate(encoding.ids) if wordpiece == tokenizer.mask_id]
    if not masks:
        raise DataError(
            f"{text!r} holds no [MASK]; write [MASK], in capitals, where a word is to be found"
        )
    device = next(model.parameters()).device
    batch = Batch.from_sequences([encoding.ids], [encoding.segment_ids]).to(device)
    targets = {"masked_positions": torch.tensor(masks, device=device)}
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        logits = model.heads["masked_lm"](model.bert(batch), targets)  # (M, V)
        # The model may have room for more wordpieces than the vocabulary has.
        probs, ids = logits[:, : tokenizer.vocab_size].float().softmax(-1).topk(top_k)
    model.train(was_training)
    pieces = tokenizer.vocabulary.pieces
    return [
        [Candidate(pieces[i], p) for i, p in zip(row_ids, row_probs, strict=True)]
        for row_ids, row_probs in zip(ids.tolist(), probs.tolist(), strict=True)
    ]
