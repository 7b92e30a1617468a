"""The names of the classes that a task tells apart."""

from __future__ import annotations

from collections.abc import Sequence

from bertsmith.errors import ConfigError


def checked_labels(labels: Sequence[str | int]) -> list[str]:
    """The labels as texts, in the order of their logits.

    Raises:
        ConfigError: there are fewer than two, or one is named twice.
    """
    names = [str(label) for label in labels]
    if len(set(names)) < len(names) or len(names) < 2:
        raise ConfigError(
            f"task.labels ({', '.join(names)}) must name at least two labels, each once"
        )
    return names
