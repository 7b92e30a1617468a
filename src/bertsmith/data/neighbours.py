"""What stands beside each token: what language models in one direction are asked for.

A model that reads from left to right is to name the token after each one, a model that reads from
right to left the one before it. Nothing is hidden: the model itself does not look ahead.

Dimension key: `T` tokens of the batch.
"""

from __future__ import annotations

import numpy as np

from bertsmith.data.example_plan import Ints
from bertsmith.data.packing import PackedExamples

NEXT, PREVIOUS = 0, 1
"""The columns of the labels."""


def neighbour_labels(packed: PackedExamples) -> Ints:
    """(T, 2) the id after each token and the id before it, within its sequence.

    [CLS] and [SEP] are neighbours as wordpieces are. -100 where there is no neighbour, and in
    padding.
    """
    ids = packed.input_ids
    labels = np.full((len(ids), 2), -100)
    used = int(packed.lengths.sum())
    is_first = packed.position_ids[:used] == 0
    labels[: used - 1, NEXT] = np.where(is_first[1:], -100, ids[1:used])
    labels[1:used, PREVIOUS] = np.where(is_first[1:], -100, ids[: used - 1])
    return labels
