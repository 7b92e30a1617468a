"""`Example`: one record as the encoder reads it, with what the task wants to know about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Example:
    """One sequence, `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, and its target."""

    input_ids: Sequence[int]
    segment_ids: Sequence[int]
    target: Any = None
    """The task's own; None for a record without a label."""
