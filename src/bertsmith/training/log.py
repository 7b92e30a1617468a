"""What a run writes down while it trains."""

from __future__ import annotations

from dataclasses import dataclass

from bertsmith.training.settings import Count, Settings


@dataclass(frozen=True, kw_only=True)
class LogSettings(Settings):
    """The `[log]` section."""

    every_steps: Count = 50
    tensorboard: bool = False
    """Write TensorBoard's event files too, beside metrics.jsonl."""
