"""The names of the classes that a task tells apart, as they stand in a recipe or in records."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bertsmith.data.record import Record
from bertsmith.errors import ConfigError, DataError

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_SEPARATORS = ",;|"


def checked_labels(labels: Sequence[str | int]) -> list[str]:
    """The labels as texts, in the order of their logits.

    Raises:
        ConfigError: there are fewer than two, or one is named twice; or they are one text.
    """
    if isinstance(labels, str):
        raise ConfigError(f"task.labels ({labels!r}) must be a list of labels and not one text")
    names = [str(label) for label in labels]
    if len(set(names)) < len(names) or len(names) < 2:
        raise ConfigError(
            f"task.labels ({', '.join(names)}) must name at least two labels, each once"
        )
    return names


def check_not_joined(places: Mapping[str, str]) -> None:
    """Refuse a label that is several of the others with a separator between them.

    Args:
        places: of each label, where it comes first.

    Raises:
        DataError: there is one, such as "a,b" beside "a".
    """
    for separator in _SEPARATORS:
        for label, location in places.items():
            parts = [part.strip() for part in label.split(separator)]
            if len(parts) > 1 and any(part in places for part in parts):
                raise DataError(
                    f"{location}: the label {label!r} seems to be several; say "
                    f"task.label_separator='{separator}', or list all labels in task.labels if "
                    "it is one"
                )


def label_text(label: Any, record: Record) -> str:
    """A label as text; JSON's 1, 1.0 and "1" are the same label.

    Raises:
        DataError: it is a list or an object.
    """
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if not isinstance(label, str | int | float):
        kind = "a list" if isinstance(label, list) else "an object"
        raise DataError(
            f"{record.location}: the label is {kind}; it must be one text or whole number (a list "
            "of them needs task.multi_label=true)"
        )
    return str(label)


def sorted_labels(places: Mapping[str, str]) -> list[str]:
    """The labels found in training records, sorted, as numbers where all of them are.

    Args:
        places: of each label, where it comes first.

    Raises:
        DataError: they do not make a classification.
    """
    labels = sorted(places)
    if not labels:
        raise DataError("no record has a gold label; give records with labels to learn from")
    if len(labels) < 2:
        raise DataError(
            f"every record has the label {labels[0]!r}, from {places[labels[0]]} on; a "
            "classification needs two, so add records with others or list all of them in "
            "task.labels"
        )
    if not all(map(_NUMBER.fullmatch, labels)):
        return labels
    fraction = next((label for label in labels if not float(label).is_integer()), None)
    if fraction is not None:
        raise DataError(
            f"the labels are numbers with fractions, such as {fraction}; list "
            "them in task.labels if they are names of classes"
        )
    return sorted(labels, key=float)
