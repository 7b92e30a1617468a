"""What becomes of a text that is longer than the model reads: it is cut, or read in windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from bertsmith.errors import ConfigError
from bertsmith.text.encoding import Cut, Truncation, room, truncate, windows

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

    def fitted(self, texts: Sequence[Cut], max_length: int) -> tuple[list[list[Cut]], bool]:
        """What is read of a text or of a pair, once or for each window; whether some is lost.

        The longer text of a pair is the one read in windows; the other loses what it has beyond
        half of the room.
        """
        space = room(max_length, len(texts))
        if sum(map(len, texts)) <= space:
            return [list(texts)], False
        if self.rule != "windows":
            return [truncate(texts, max_length, _TRUNCATION[self.rule])], True
        is_cut = len(texts) == 2 and min(map(len, texts)) > space // 2
        found = windows(
            texts,
            max_length=max_length,
            step=self.window_step or max(1, max_length // 2),
            over="first" if len(texts[0]) > len(texts[-1]) else "last",
            max_other=space // 2,
        )
        return found, is_cut

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
