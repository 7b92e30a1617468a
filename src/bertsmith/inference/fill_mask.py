"""Words for [MASK]: what a masked language model has learned to do (paper, section 3.1).

Dimension key: `M` masks of the text, `V` vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.errors import ConfigError, DataError
from bertsmith.inference.masked_words import check_fills_masks, log_probs_at
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.encoding import Encoding
from bertsmith.text.tokenizer import Tokenizer

# Sequences that are computed at once when words are compared.
BATCH_SEQUENCES = 32


@dataclass(frozen=True)
class Candidate:
    """What may stand in the place of a [MASK]."""

    word: str
    """A wordpiece, with `##` in front where it goes on with the word before it; or a word that was
    asked for."""
    probability: float


def fill_mask(
    model: BertForTasks,
    tokenizer: Tokenizer,
    text: str,
    top_k: int = 5,
    *,
    words: Sequence[str] | None = None,
) -> list[list[Candidate]]:
    """The likeliest wordpieces for each [MASK], best first; each [MASK] is filled by itself.

    Args:
        model: with a `masked_lm` head.
        tokenizer: the model's.
        text: one text with [MASK] in it at least once.
        top_k: how many for each, where `words` does not say.
        words: compare these, and give all of them. One of several wordpieces takes as many masks
            in the place of one, and its probability is the product of its pieces', each given
            those before it.

    Raises:
        ConfigError: the model has no such head, or `top_k` is out of range.
        DataError: the text has no [MASK], or is longer than the model can read; a word is none or
            one that the vocabulary has no wordpieces for.
    """
    check_fills_masks(model)
    if not 1 <= top_k <= tokenizer.vocab_size:
        raise ConfigError(f"top_k ({top_k}) must be from 1 to {tokenizer.vocab_size}")
    encoding = tokenizer.encode(text)
    masks = [i for i, wordpiece in enumerate(encoding.ids) if wordpiece == tokenizer.mask_id]
    if not masks:
        raise DataError(
            f"{text!r} holds no [MASK]; write [MASK], in capitals, where a word is to be found"
        )
    was_training = model.training
    model.eval()
    try:
        if words is None:
            return _likeliest(model, tokenizer, encoding, masks, top_k)
        spelled = {word: _spelled(tokenizer, word) for word in words}
        return [_compared(model, tokenizer, encoding, mask, spelled) for mask in masks]
    finally:
        model.train(was_training)


def _likeliest(
    model: BertForTasks, tokenizer: Tokenizer, encoding: Encoding, masks: list[int], top_k: int
) -> list[list[Candidate]]:
    device = next(model.parameters()).device
    batch = Batch.from_sequences([encoding.ids], [encoding.segment_ids]).to(device)
    targets = {"masked_positions": torch.tensor(masks, device=device)}
    with torch.inference_mode():
        logits = model.heads["masked_lm"](model.bert(batch), targets)  # (M, V)
        # The model may have room for more wordpieces than the vocabulary has.
        probs, ids = logits[:, : tokenizer.vocab_size].float().softmax(-1).topk(top_k)
    pieces = tokenizer.vocabulary.pieces
    return [
        [Candidate(pieces[i], p) for i, p in zip(row_ids, row_probs, strict=True)]
        for row_ids, row_probs in zip(ids.tolist(), probs.tolist(), strict=True)
    ]


def _spelled(tokenizer: Tokenizer, word: str) -> list[int]:
    """A word's wordpieces."""
    ids = tokenizer.encode(word).ids[1:-1]
    if not ids or tokenizer.unk_id in ids:
        raise DataError(
            f"the vocabulary has no wordpieces for the word {word!r}, so that it cannot be compared"
        )
    return ids


def _compared(
    model: BertForTasks,
    tokenizer: Tokenizer,
    encoding: Encoding,
    mask: int,
    spelled: dict[str, list[int]],
) -> list[Candidate]:
    """The words in the place of one mask, the likeliest first."""
    # What the model has to read: words that begin alike, and all of one piece, ask the same.
    sequences: dict[tuple[int, ...], int] = {}
    asked: list[tuple[str, tuple[int, ...], int]] = []
    for word, pieces in spelled.items():
        for place, piece in enumerate(pieces):
            shown = [*pieces[:place], *[tokenizer.mask_id] * (len(pieces) - place)]
            ids = (*encoding.ids[:mask], *shown, *encoding.ids[mask + 1 :])
            sequences[ids] = mask + place
            asked.append((word, ids, piece))
    rows = _rows(model, tokenizer, encoding, mask, sequences)
    log_probs = dict.fromkeys(spelled, 0.0)
    for word, ids, piece in asked:
        log_probs[word] += float(rows[ids][piece])
    found = [Candidate(word, math.exp(log_prob)) for word, log_prob in log_probs.items()]
    return sorted(found, key=lambda candidate: -candidate.probability)


def _rows(
    model: BertForTasks,
    tokenizer: Tokenizer,
    encoding: Encoding,
    mask: int,
    sequences: dict[tuple[int, ...], int],
) -> dict[tuple[int, ...], Tensor]:
    """(V,) log-probabilities at a place of each sequence."""
    device = next(model.parameters()).device
    rows: dict[tuple[int, ...], Tensor] = {}
    asked = list(sequences)
    before, after = encoding.segment_ids[:mask], encoding.segment_ids[mask + 1 :]
    for first in range(0, len(asked), BATCH_SEQUENCES):
        part = asked[first : first + BATCH_SEQUENCES]
        segments = [
            [*before, *[encoding.segment_ids[mask]] * (len(ids) - len(before) - len(after)), *after]
            for ids in part
        ]
        batch = Batch.from_sequences(part, segments).to(device)
        places = [sequences[ids] for ids in part]
        found = log_probs_at(model, batch, places, tokenizer.vocab_size).cpu()
        rows |= dict(zip(part, found, strict=True))
    return rows
