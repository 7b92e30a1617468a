"""Our batches as Hugging Face's models want them: one sequence a row, padded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from bertsmith.ops.ragged import RaggedLayout

Rows = dict[str, Tensor]
NAMES = ("input_ids", "token_type_ids", "attention_mask", "labels", "next_sentence_label")


def rows_of(loaded: Any, length: int) -> Rows:
    """The sequences of one packed batch, (B, length) each, and (B,) next-sentence labels."""
    batch, targets = loaded.batch, loaded.targets
    labels = torch.full_like(batch.input_ids, -100)
    scored = targets["masked_labels"] >= 0
    labels[targets["masked_positions"][scored]] = targets["masked_labels"][scored]
    layout = RaggedLayout(batch.cu_seqlens, length)
    ones = torch.ones_like(batch.input_ids)
    parts = [layout.pad(x) for x in (batch.input_ids, batch.segment_ids, ones, labels + 100)]
    parts[3] -= 100
    next_sentence = targets["next_sentence_labels"][: len(parts[0])]
    real = next_sentence >= 0  # the rest fills the batch up
    return {name: x[real] for name, x in zip(NAMES, [*parts, next_sentence], strict=True)}


def in_batches(batches: Iterable[Any], length: int, rows: int) -> Iterator[Rows]:
    """The same sequences in the same order, as many to a batch every time."""
    kept: list[Rows] = []
    for loaded in batches:
        kept.append(rows_of(loaded, length))
        while sum(len(part["input_ids"]) for part in kept) >= rows:
            whole = {name: torch.cat([part[name] for part in kept]) for name in NAMES}
            yield {name: values[:rows] for name, values in whole.items()}
            kept = [{name: values[rows:] for name, values in whole.items()}]


def num_tokens(rows: Rows) -> int:
    """Those that are no padding."""
    return int(rows["attention_mask"].sum())
