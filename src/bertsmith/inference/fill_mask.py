"""Words for [MASK]: what a masked language model has learned to do (paper, section 3.1).

Dimension key: `M` masks of the text, `V` vocabulary.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

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
# Each has a row as long as the vocabulary: 60 MB for the published ones.
MASKS_AT_ONCE = 512

_Shown = tuple[tuple[int, ...], int]
"""The pieces that are shown of a word, and how many masks stand for the rest."""


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
        DataError: the text has no [MASK], or is longer than the model can read; a word is none, or
            one that the vocabulary has no wordpieces for, or one that makes the text too long.
    """
    check_fills_masks(model)
    if not 1 <= top_k <= tokenizer.vocab_size:
        raise ConfigError(f"top_k ({top_k}) must be from 1 to {tokenizer.vocab_size}")
    encoding = encode_masked(tokenizer, text)
    was_training = model.training
    model.eval()
    try:
        if words is None:
            return likeliest_words(model, tokenizer, [encoding], top_k)[0]
        return compared_words(model, tokenizer, encoding, spelled_words(tokenizer, words))
    finally:
        model.train(was_training)


def encode_masked(tokenizer: Tokenizer, text: str) -> Encoding:
    """A text as the model reads it.

    Raises:
        DataError: it has no [MASK].
    """
    encoding = tokenizer.encode(text)
    if tokenizer.mask_id not in encoding.ids:
        raise DataError(
            f"{reprlib.repr(text)} holds no [MASK]; write [MASK], in capitals, where a word is to "
            "be found"
        )
    return encoding


def likeliest_words(
    model: BertForTasks, tokenizer: Tokenizer, encodings: Sequence[Encoding], top_k: int
) -> list[list[list[Candidate]]]:
    """As `fill_mask` without `words`, for texts that are computed at once.

    Args:
        model: with a `masked_lm` head, in evaluation.
        tokenizer: the model's.
        encodings: as `encode_masked` gives them.
        top_k: how many words for each [MASK].
    """
    masks = [_masks(tokenizer, encoding) for encoding in encodings]
    ids, segment_ids = zip(*((each.ids, each.segment_ids) for each in encodings), strict=True)
    device = next(model.parameters()).device
    batch = Batch.from_sequences(ids, segment_ids).to(device)
    starts = batch.cu_seqlens.tolist()
    places = [start + mask for start, each in zip(starts, masks, strict=False) for mask in each]
    pieces = tokenizer.vocabulary.pieces
    rows: list[list[Candidate]] = []
    with torch.inference_mode():
        output = model.bert(batch)
        for first in range(0, len(places), MASKS_AT_ONCE):
            part = torch.tensor(places[first : first + MASKS_AT_ONCE], device=device)
            logits = model.heads["masked_lm"](output, {"masked_positions": part})  # (M, V)
            # The model may have room for more wordpieces than the vocabulary has.
            probs, found = logits[:, : tokenizer.vocab_size].float().softmax(-1).topk(top_k)
            rows += (
                [Candidate(pieces[i], p) for i, p in zip(row_ids, row_probs, strict=True)]
                for row_ids, row_probs in zip(found.tolist(), probs.tolist(), strict=True)
            )
    remaining = iter(rows)
    return [list(islice(remaining, len(each))) for each in masks]


def compared_words(
    model: BertForTasks,
    tokenizer: Tokenizer,
    encoding: Encoding,
    spelled: Mapping[str, Sequence[int]],
) -> list[list[Candidate]]:
    """As `fill_mask` with `words`.

    Args:
        model: with a `masked_lm` head, in evaluation.
        tokenizer: the model's.
        encoding: of a text, as `encode_masked` gives it.
        spelled: the words, as `spelled_words` gives them.

    Raises:
        DataError: with one of them the text is longer than the model can read.
    """
    check_words_fit(encoding, spelled, model.config.max_position_embeddings)
    masks = _masks(tokenizer, encoding)
    return [_compared(model, tokenizer, encoding, mask, spelled) for mask in masks]


def spelled_words(tokenizer: Tokenizer, words: Iterable[str]) -> dict[str, list[int]]:
    """The wordpieces of each word that is to be compared.

    Raises:
        DataError: a word is none, or one that the vocabulary has no wordpieces for.
    """
    return {word: _spelled(tokenizer, word) for word in words}


def check_words_fit(
    encoding: Encoding, spelled: Mapping[str, Sequence[int]], max_length: int
) -> None:
    """See that a text can be read with each of the words in the place of one [MASK].

    Args:
        encoding: of the text.
        spelled: the words, as `spelled_words` gives them.
        max_length: the most wordpieces that the model reads.

    Raises:
        DataError: with one of them the text is longer.
    """
    # A word of n wordpieces is read n times, so that this comes before what is read is written out.
    for word, pieces in spelled.items():
        length = len(encoding) - 1 + len(pieces)
        if length > max_length:
            raise DataError(
                f"with the {len(pieces)} wordpieces of the word {reprlib.repr(word)} a text would "
                f"have {length}, which is longer than the model's {max_length} positions; give a "
                "shorter word or shorten the text"
            )


def count_comparisons(encoding: Encoding, spelled: Mapping[str, Sequence[int]]) -> tuple[int, int]:
    """How much is computed to compare words in the place of one [MASK].

    Args:
        encoding: of the text.
        spelled: the words, as `spelled_words` gives them.

    Returns:
        the sequences that the model reads, and their wordpieces together.
    """
    num_sequences = num_tokens = 0
    before: Sequence[int] = []
    # Words of as many wordpieces share the sequences that show what they begin with. Sorted, each
    # has the one that it shares most with just before it.
    for pieces in sorted(spelled.values(), key=lambda each: (len(each), *each)):
        shared = 0
        if len(before) == len(pieces):
            alike = (a == b for a, b in zip(before, pieces, strict=True))
            shared = 1 + sum(takewhile(bool, alike))
        count = max(0, len(pieces) - shared)
        num_sequences += count
        num_tokens += count * (len(encoding) - 1 + len(pieces))
        before = pieces
    return num_sequences, num_tokens


def _masks(tokenizer: Tokenizer, encoding: Encoding) -> list[int]:
    """The places of [MASK]."""
    return [i for i, wordpiece in enumerate(encoding.ids) if wordpiece == tokenizer.mask_id]


def _spelled(tokenizer: Tokenizer, word: str) -> list[int]:
    """A word's wordpieces."""
    ids = tokenizer.encode(word).ids[1:-1]
    if not ids or tokenizer.unk_id in ids:
        raise DataError(
            f"the vocabulary has no wordpieces for the word {reprlib.repr(word)}, so "
            "that it cannot be compared"
        )
    return ids


def _compared(
    model: BertForTasks,
    tokenizer: Tokenizer,
    encoding: Encoding,
    mask: int,
    spelled: Mapping[str, Sequence[int]],
) -> list[Candidate]:
    """The words in the place of one mask, the likeliest first."""
    # What the model has to read, by what it shows of a word: words of as many pieces that begin
    # alike, and all of one piece, ask the same.
    asked: dict[_Shown, list[tuple[str, int]]] = {}
    for word, pieces in spelled.items():
        for place, piece in enumerate(pieces):
            shown = (tuple(pieces[:place]), len(pieces) - place)
            asked.setdefault(shown, []).append((word, piece))
    log_probs = dict.fromkeys(spelled, 0.0)
    for shown, row in _rows(model, tokenizer, encoding, mask, list(asked)):
        for word, piece in asked[shown]:
            log_probs[word] += float(row[piece])
    found = [Candidate(word, math.exp(log_prob)) for word, log_prob in log_probs.items()]
    return sorted(found, key=lambda candidate: -candidate.probability)


def _rows(
    model: BertForTasks,
    tokenizer: Tokenizer,
    encoding: Encoding,
    mask: int,
    asked: Sequence[_Shown],
) -> Iterator[tuple[_Shown, Tensor]]:
    """(V,) log-probabilities of what follows each of the beginnings in the place of one mask."""
    device = next(model.parameters()).device
    before, after = encoding.ids[:mask], encoding.ids[mask + 1 :]
    segments_before, segments_after = encoding.segment_ids[:mask], encoding.segment_ids[mask + 1 :]
    for first in range(0, len(asked), BATCH_SEQUENCES):
        part = asked[first : first + BATCH_SEQUENCES]
        ids = [[*before, *shown, *[tokenizer.mask_id] * rest, *after] for shown, rest in part]
        own = encoding.segment_ids[mask]
        segments = [
            [*segments_before, *[own] * (len(shown) + rest), *segments_after]
            for shown, rest in part
        ]
        batch = Batch.from_sequences(ids, segments).to(device)
        places = [mask + len(shown) for shown, _ in part]
        found = log_probs_at(model, batch, places, tokenizer.vocab_size).cpu()
        yield from zip(part, found, strict=True)
