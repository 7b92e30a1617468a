"""What becomes of a text that is longer than the model reads: it is cut, or read in windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from bertsmith.errors import ConfigError
from bertsmith.text.encoding import Encoding, Truncation, room
from bertsmith.text.tokenizer import Tokenizer

LongTextRule = Literal["head", "tail", "head_tail", "windows"]
WindowJoin = Literal["mean", "max"]

_TRUNCATION: Mapping[str, Truncation] = {
    "head": "longest_first",
    "tail": "tail",
    "head_tail": "head_tail",
}


@dataclass(frozen=True)
class LongText:
    """How texts and pairs become sequences of at most a given length.

    Raises:
        ConfigError: a setting that cannot work.
    """

    rule: LongTextRule = "head"
    """Which part is kept: the head, the tail, a quarter of the room for the head and the rest for
    the tail (Sun et al. 2019), or all of it, in windows."""
    window_step: int | None = None
    """How many wordpieces each window starts after the one before it; None: half of the most
    that the model reads."""
    window_join: WindowJoin = "mean"
    """What the logits of the windows make together."""

    def __post_init__(self) -> None:
        for name, value, options in (
            ("long_text", self.rule, get_args(LongTextRule)),
            ("window_join", self.window_join, get_args(WindowJoin)),
        ):
            if value not in options:
                raise ConfigError(f"task.{name} ({value!r}) must be one of {', '.join(options)}")
        step = self.window_step
        if step is not None and (not isinstance(step, int) or step < 1):
            raise ConfigError(f"task.window_step ({step!r}) must be a whole number of at least 1")

    def encode(
        self, tokenizer: Tokenizer, text: str, pair: str | None, max_length: int
    ) -> tuple[list[Encoding], bool, int]:
        """One sequence, or one for each window; whether text is lost; wordpieces of the whole.

        The longer text of a pair is the one read in windows; the other loses what it has beyond
        half of the room.
        """
        whole = tokenizer.encode(text, pair)
        if len(whole) <= max_length:
            return [whole], False, len(whole)
        if self.rule != "windows":
            rule = _TRUNCATION[self.rule]
            cut = tokenizer.encode(text, pair, max_length=max_length, truncation=rule)
            return [cut], True, len(whole)
        num_texts = 1 if pair is None else 2
        second = sum(whole.segment_ids) - 1 if pair is not None else 0
        first = len(whole) - second - num_texts - 1
        max_other = room(max_length, num_texts) // 2
        is_cut = pair is not None and min(first, second) > max_other
        windows = tokenizer.encode_windows(
            text,
            pair,
            max_length=max_length,
            step=self.window_step or max(1, max_length // 2),
            over="first" if first > second else "last",
            max_other=max_other,
        )
        return windows, is_cut, len(whole)

    def join(self, rows: Sequence[Tensor]) -> Tensor:
        """(..., C) logits of each window → (..., C)."""
        stacked = torch.stack(list(rows))
        return stacked.mean(0) if self.window_join == "mean" else stacked.amax(0)

    def settings(self) -> dict[str, Any]:
        """What is not as it is by default, under the names that tasks give it."""
        given = {
            "long_text": (self.rule, "head"),
            "window_step": (self.window_step, None),
            "window_join": (self.window_join, "mean"),
        }
        return {key: value for key, (value, default) in given.items() if value != default}
