"""What batches need to know of a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from bertsmith.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class WordpieceIds:
    """The ids with a meaning of their own, and which wordpieces continue a word."""

    pad_id: int
    cls_id: int
    sep_id: int
    mask_id: int
    is_continuation: npt.NDArray[np.bool_]
    """(V,) whether a wordpiece starts with `##`."""

    @property
    def vocab_size(self) -> int:
        """V."""
        return len(self.is_continuation)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self:
        """Those of a tokenizer's vocabulary."""
        return cls(
            pad_id=tokenizer.pad_id,
            cls_id=tokenizer.cls_id,
            sep_id=tokenizer.sep_id,
            mask_id=tokenizer.mask_id,
            is_continuation=tokenizer.vocabulary.is_continuation,
        )
