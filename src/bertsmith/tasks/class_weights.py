"""How much each class counts in the loss, where some are rare.

`balanced` lets the records of every class count as much together as those of any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from bertsmith.errors import ConfigError

ClassWeights = Literal["balanced"] | Mapping[str, float] | Sequence[float]


def resolve_class_weights(
    given: ClassWeights,
    labels: Sequence[str],
    counts: Mapping[str, int],
    *,
    num_records: int | None,
) -> list[float]:
    """A weight for each label, in their order.

    Args:
        given: `balanced`, weights by label (1 for those not named), or one for each in order.
        labels: the task's.
        counts: training records of each.
        num_records: all of them, where a record may have any number of labels; then the weight is
            that of a label which holds against one which does not.

    Raises:
        ConfigError: what is given is none of these, or no positive number.
    """
    if given == "balanced":
        total = sum(counts.values())
        if num_records is not None:
            return [
                (num_records - n) / n if 0 < n < num_records else 1.0 for n in _of(labels, counts)
            ]
        return [total / (len(labels) * n) if n else 1.0 for n in _of(labels, counts)]
    if isinstance(given, Mapping):
        unknown = next((label for label in given if label not in labels), None)
        if unknown is not None:
            raise ConfigError(
                f"task.class_weights names {unknown!r}, which is not one of the task's labels "
                f"({', '.join(labels)})"
            )
        weights = [given.get(label, 1.0) for label in labels]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        weights = list(given)
    else:
        raise ConfigError(
            f"task.class_weights ({given!r}) must be 'balanced', or weights by label, or a list of "
            "one for each"
        )
    if len(weights) != len(labels) or not all(map(_is_weight, weights)):
        raise ConfigError(
            f"task.class_weights ({', '.join(map(str, weights))}) must be a number above 0 for "
            f"each of the labels ({', '.join(labels)})"
        )
    return [float(weight) for weight in weights]


def _of(labels: Sequence[str], counts: Mapping[str, int]) -> list[int]:
    return [counts.get(label, 0) for label in labels]


def _is_weight(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0  # type: ignore[arg-type, operator]
