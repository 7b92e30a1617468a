"""Which weights a model took from a file, in three lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LoadReport:
    """What became of each parameter and of each tensor."""

    used: list[str]
    """Parameters of ours that were read."""
    new: list[str]
    """Parameters of ours that start afresh: a new task's head, which the source does not have."""
    left_over: list[str]
    """Tensors of the source that the model has no use for: the heads of other tasks."""
    frozen: list[str] = field(default_factory=list)
    """Parameters of ours that were read and are not going to be trained."""

    def lines(self) -> list[str]:
        """What was used, what is new, what was left over, what is frozen if any: a line each."""
        lines = [
            f"read: {_grouped(self.used)}",
            f"new, to be trained: {_grouped(self.new)}",
            f"left over: {_grouped(self.left_over)}",
        ]
        return [*lines, f"frozen: {_grouped(self.frozen)}"] if self.frozen else lines


def _grouped(names: Iterable[str]) -> str:
    """`bert.encoder (196), bert.pooler (2)`: counts of what stands under the same module."""
    counts = Counter(_module(name) for name in names)
    return ", ".join(f"{module} ({count})" for module, count in counts.items()) or "nothing"


def _module(name: str) -> str:
    found = re.match(r"(bert\.\w+|heads\.\w+|cls\.\w+|[\w-]+)", name)
    return found[0] if found else name
