"""Figures for tagged words: entities as the official `conlleval` counts them, or single tags.

An entity is right when type, first and last word are. Precision is the share of the entities found
that are right, recall the share of the true ones that were found, F1 their harmonic mean; all from
counts over the whole file, and 0 where there is nothing to divide by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

from bertsmith.data.tag_schemes import entities_of

TagPairs = Iterable[tuple[Sequence[str], Sequence[str]]]
"""True and predicted tags of each sentence."""


def entity_figures(pairs: TagPairs) -> dict[str, float]:
    """`precision`, `recall`, `f1`, `token_accuracy`, and the first three of each type.

    Those of a type are named `TYPE/precision` and so on; empty when there are no words.
    """
    num_true: Counter[str] = Counter()
    num_found: Counter[str] = Counter()
    num_right: Counter[str] = Counter()
    num_words = num_same = 0
    for true_tags, found_tags in pairs:
        num_words += len(true_tags)
        num_same += sum(map(str.__eq__, true_tags, found_tags))
        true, found = set(entities_of(true_tags)), set(entities_of(found_tags))
        for counter, entities in ((num_true, true), (num_found, found), (num_right, true & found)):
            counter.update(entity.type for entity in entities)
    if not num_words:
        return {}
    figures = _precision_recall_f1(num_true.total(), num_found.total(), num_right.total(), "")
    figures["token_accuracy"] = num_same / num_words
    for kind in sorted(filter(None, {*num_true, *num_found})):
        counts = (num_true[kind], num_found[kind], num_right[kind])
        figures |= _precision_recall_f1(*counts, f"{kind}/")
    return figures


def tag_figures(pairs: TagPairs) -> dict[str, float]:
    """`token_accuracy` and `macro_f1`, the mean F1 of the tags; empty when there are no words."""
    columns = [list(chain.from_iterable(tags)) for tags in zip(*pairs, strict=True)]
    if not columns or not columns[0]:
        return {}
    from sklearn.metrics import accuracy_score, f1_score

    true, found = columns
    return {
        "token_accuracy": float(accuracy_score(true, found)),
        "macro_f1": float(f1_score(true, found, average="macro", zero_division=0)),
    }


def _precision_recall_f1(true: int, found: int, right: int, prefix: str) -> dict[str, float]:
    return {
        f"{prefix}precision": right / max(found, 1),
        f"{prefix}recall": right / max(true, 1),
        f"{prefix}f1": 2 * right / max(true + found, 1),
    }
