"""Masked LM: which tokens are hidden, and behind what (section 3.1, task 1; A.1).

15 % of a sequence's tokens are to be named by the model. Of these, 80 % become [MASK], 10 % a
random wordpiece of the whole vocabulary, and 10 % stay. The draws are a function of the example's
key and the position in it: neither batch nor rank changes them, and every epoch makes new ones.

Deviations: the published `max_predictions_per_seq` (20 for 128 tokens, 15.6 % of them) is not
there, since slots belong to a batch and not to a sequence.

Dimension key: `T` tokens of the batch, `N` examples, `K` tokens to predict, `V` vocabulary size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertsmith.data.counter_random import Keys, below, draw, uniform
from bertsmith.data.example_plan import Ints
from bertsmith.data.packing import PackedExamples
from bertsmith.data.wordpiece_ids import WordpieceIds
from bertsmith.errors import ConfigError

# A sort key holds 20 bits of sequence, 24 random ones, and 20 of position.
MAX_TOKENS = 1 << 20
_RANDOM_BITS, _POSITION_BITS = np.uint64(24), np.uint64(20)
# Counters of a key's stream: a position's order, then what it becomes, then which wordpiece.
_ACTION, _WORDPIECE = 1 << 32, 2 << 32


@dataclass(frozen=True, kw_only=True)
class Masking:
    """How tokens are hidden; the defaults are the paper's.

    Raises:
        ConfigError: a probability is out of range.
    """

    masked_prob: float = 0.15
    """Share of a sequence's tokens ([CLS] and [SEP] counted, never chosen); at least one token of
    each sequence is predicted unless this is 0."""
    mask_token_prob: float = 0.8
    """Share of the chosen that become [MASK]."""
    random_token_prob: float = 0.1
    """Share of the chosen that become a random wordpiece; the rest stay."""
    whole_word: bool = False
    """Choose whole words; each of a word's wordpieces still has a fate of its own, as published."""

    def __post_init__(self) -> None:
        for name in ("masked_prob", "mask_token_prob", "random_token_prob"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ConfigError(f"{name} ({value!r}) must be a number from 0 to 1")
        total = self.mask_token_prob + self.random_token_prob
        if total > 1 + 1e-9:
            raise ConfigError(
                f"mask_token_prob ({self.mask_token_prob}) and random_token_prob "
                f"({self.random_token_prob}) add up to {total:g}; they must leave at least 0"
            )
        if not isinstance(self.whole_word, bool):
            raise ConfigError(f"whole_word ({self.whole_word!r}) must be true or false")

    def num_masked(self, lengths: Ints) -> Ints:
        """(N,) how many tokens to predict in sequences of these lengths, as published."""
        least = 1 if self.masked_prob else 0
        counts: Ints = np.rint(lengths * self.masked_prob).astype(np.int64)
        return counts.clip(least)

    def max_masked(self, num_tokens: int, num_sequences: int) -> int:
        """No fewer than `num_masked` adds up to in any batch of this size; a multiple of 8."""
        # Rounding adds up to a half for each sequence, and the least of one most to those of three.
        excess = max(0.5, 1 - 3 * self.masked_prob)
        most = math.ceil(min(num_tokens * self.masked_prob + num_sequences * excess, num_tokens))
        return 8 * -(-most // 8) if self.masked_prob else 8


def mask_tokens(
    packed: PackedExamples, keys: Keys, masking: Masking, ids: WordpieceIds
) -> tuple[Ints, Ints]:
    """Choose tokens and hide them in `packed.input_ids`, in place.

    Args:
        packed: a batch of at most 2**20 tokens.
        keys: (N,) the examples' keys.
        masking: the shares.
        ids: of the vocabulary.

    Returns:
        (K,) the positions chosen, rising, and (K,) the wordpieces that were there.
    """
    candidates = np.flatnonzero(packed.is_text)
    sequences = np.repeat(np.arange(len(keys)), packed.lengths)
    # A sequence needs room for what it lacks: text can be too short for its own share.
    sequences = sequences[candidates]
    per_sequence = np.bincount(sequences, minlength=len(keys))
    wanted = np.minimum(masking.num_masked(packed.lengths), per_sequence)
    streams = keys[sequences]
    local = packed.position_ids[candidates]
    if masking.whole_word:
        is_start = ~ids.is_continuation[packed.input_ids[candidates]]
        is_start[per_sequence.cumsum() - per_sequence] = True
        words = np.flatnonzero(is_start)
        order = _shuffled(sequences[words], draw(streams[words], local[words]))
        sizes = np.diff(words, append=len(candidates))
        is_chosen = np.repeat(_take_words(sizes, order, sequences[words], wanted), sizes)
        chosen = np.flatnonzero(is_chosen)
    else:
        order = _shuffled(sequences, draw(streams, local))
        chosen = np.sort(order[_firsts(per_sequence, wanted)])
    positions = candidates[chosen]
    labels = packed.input_ids[positions]
    packed.input_ids[positions] = _replacements(
        labels, streams[chosen], local[chosen], masking, ids
    )
    return positions, labels


def _shuffled(sequences: Ints, bits: Keys) -> Ints:
    """Indices sorted by sequence and, within one, at random: a single sort of whole numbers."""
    key = sequences.astype(np.uint64) << _RANDOM_BITS
    key |= bits >> (np.uint64(64) - _RANDOM_BITS)
    key <<= _POSITION_BITS
    key |= np.arange(len(key), dtype=np.uint64)
    key.sort()
    key &= (np.uint64(1) << _POSITION_BITS) - np.uint64(1)
    order: Ints = key.astype(np.int64)
    return order


def _firsts(sizes: Ints, wanted: Ints) -> Ints:
    """The first `wanted` places of each of some consecutive groups."""
    skipped = (sizes - wanted).cumsum() - (sizes - wanted)
    places: Ints = np.arange(wanted.sum()) + np.repeat(skipped, wanted)
    return places


def _take_words(sizes: Ints, order: Ints, sequences: Ints, wanted: Ints) -> npt.NDArray[np.bool_]:
    """Which words to mask: a sequence takes its shuffled words in turn until it has enough.

    One that would overshoot is skipped. The published method, for one sequence at a time:

        lacking = wanted
        for word in shuffled(words):
            if lacking == 0:
                break
            if size(word) <= lacking:
                take(word)
                lacking -= size(word)

    Here it is done for all sequences at once. Up to the first word that is skipped, cumulative
    sizes tell; from there on it goes word by word, one of each sequence that still lacks some at
    a time.

    Args:
        sizes: wordpieces of each word, sequence after sequence.
        order: the words' indices, shuffled within each sequence.
        sequences: of each word its sequence, rising.
        wanted: (N,) wordpieces to choose in each sequence.

    Returns:
        Of each word, in the order of `sizes`, whether it is taken.
    """
    counts = np.bincount(sequences, minlength=len(wanted))
    ends = counts.cumsum()
    starts = ends - counts
    size = sizes[order]
    running = size.cumsum()
    running -= np.repeat(running[starts] - size[starts], counts)
    is_taken = running <= np.repeat(wanted, counts)

    lacking = wanted - np.add.reduceat(size * is_taken, starts)
    place = starts + np.add.reduceat(is_taken, starts, dtype=np.int64)
    active = np.flatnonzero((lacking > 0) & (place < ends))
    while len(active):
        here = place[active]
        fits = size[here] <= lacking[active]
        is_taken[here] = fits
        lacking[active] -= size[here] * fits
        place[active] += 1
        active = active[(lacking[active] > 0) & (place[active] < ends[active])]
    is_taken[order] = is_taken.copy()
    return is_taken


def _replacements(
    labels: Ints, streams: Keys, local: Ints, masking: Masking, ids: WordpieceIds
) -> Ints:
    """What stands in the input where `labels` stood."""
    action = uniform(draw(streams, local + _ACTION))
    wordpiece = below(draw(streams, local + _WORDPIECE), ids.vocab_size)
    is_kept = action >= masking.mask_token_prob + masking.random_token_prob
    shown = np.where(is_kept, labels, wordpiece)
    shown[action < masking.mask_token_prob] = ids.mask_id
    return shown
