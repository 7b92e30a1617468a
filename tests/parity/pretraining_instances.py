"""Pre-training examples of whatever program, and what can be counted in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PARTS = 10


@dataclass(frozen=True)
class Instance:
    """`[CLS] A [SEP] B [SEP]`."""

    original_ids: list[int]
    """With nothing masked."""
    shown_ids: list[int]
    """What the model sees."""
    first_length: int
    """Wordpieces of A."""
    is_random: bool
    """Whether B is of another document."""
    positions: list[int]
    """The tokens to predict."""


@dataclass
class Counts:
    """Histograms of a set of instances; those with whole numbers for keys start at 0."""

    max_seqlen: int
    vocab_size: int
    num_instances: int = 0
    num_random: int = 0
    first_lengths: list[int] = field(init=False)
    second_lengths: list[int] = field(init=False)
    lengths: list[int] = field(init=False)
    """With [CLS] and [SEP]s."""
    num_masked: dict[str, dict[str, int]] = field(init=False)
    """For each length, how many instances have how many tokens to predict."""
    masked_parts: list[int] = field(init=False)
    """Masked tokens in each tenth of the sequences of `max_seqlen`."""
    runs: list[int] = field(init=False)
    """Masked tokens next to each other: how many runs there are of each length."""
    fates: dict[str, int] = field(init=False)
    """Masked tokens that became [MASK], another wordpiece, or stayed."""
    replacements: list[int] = field(init=False)
    """How often each wordpiece took the place of another."""
    masked_ids: list[int] = field(init=False)
    """How often each wordpiece was to be predicted."""

    @classmethod
    def of(
        cls, instances: Iterable[Instance], *, max_seqlen: int, vocab_size: int, mask_id: int
    ) -> Counts:
        """Count a set of instances."""
        counts = cls(max_seqlen, vocab_size)
        first: list[int] = []
        lengths: list[int] = []
        masked: dict[str, Counter[str]] = {}
        parts: list[int] = []
        runs: list[int] = []
        fates: Counter[str] = Counter()
        replacements: list[int] = []
        masked_ids: list[int] = []
        for instance in instances:
            length = len(instance.original_ids)
            counts.num_instances += 1
            counts.num_random += instance.is_random
            first.append(instance.first_length)
            lengths.append(length)
            masked.setdefault(str(length), Counter())[str(len(instance.positions))] += 1
            runs += _runs(instance.positions)
            for position in instance.positions:
                original, shown = instance.original_ids[position], instance.shown_ids[position]
                masked_ids.append(original)
                if length == max_seqlen:
                    parts.append(position * PARTS // length)
                if shown == mask_id:
                    fates["mask"] += 1
                elif shown == original:
                    fates["same"] += 1
                else:
                    fates["other"] += 1
                    replacements.append(shown)
        second = np.array(lengths) - np.array(first) - 3
        counts.first_lengths = _histogram(first, max_seqlen)
        counts.second_lengths = _histogram(second, max_seqlen)
        counts.lengths = _histogram(lengths, max_seqlen + 1)
        counts.num_masked = {
            length: dict(sorted(masked[length].items())) for length in sorted(masked, key=int)
        }
        counts.masked_parts = _histogram(parts, PARTS)
        counts.runs = _histogram(runs, max_seqlen)
        counts.fates = {fate: fates[fate] for fate in ("mask", "other", "same")}
        counts.replacements = _histogram(replacements, vocab_size)
        counts.masked_ids = _histogram(masked_ids, vocab_size)
        return counts


def _runs(positions: list[int]) -> list[int]:
    edges = np.flatnonzero(np.diff(positions, prepend=-2, append=1 << 20) > 1)
    return np.diff(edges).tolist()


def _histogram(values: Any, size: int) -> list[int]:
    return np.bincount(values, minlength=size).tolist()
