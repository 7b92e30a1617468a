"""One label, or several, for a text or a pair of texts (paper, section 4.1, figure 4 a and b).

Dimension key: `B` sequences, `H` hidden size, `C` labels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bertsmith.data.columns import label_of, labelled
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.record import Record
from bertsmith.errors import ConfigError, DataError
from bertsmith.metrics.classification import ClassificationMetrics
from bertsmith.metrics.multi_label import MultiLabelMetrics
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.labels import checked_labels
from bertsmith.tasks.linear_head import LinearHead
from bertsmith.tasks.long_text import LongText, LongTextRule, WindowJoin
from bertsmith.tasks.losses import mean_binary_cross_entropy, mean_cross_entropy
from bertsmith.tasks.sequence_task import SequenceTask
from bertsmith.tasks.task import ScoredRecord, Targets

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")


class SequenceClassificationHead(LinearHead):
    """Dropout and a linear layer on the pooled output."""

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(B, H) pooled output → (B, C)."""
        logits: Tensor = self.classifier(self.dropout(output.pooled_output))
        return logits


class SequenceClassification(SequenceTask):
    """Targets: `labels` (B,), the label's place among the task's labels; -100 = no label.

    With `multi_label` any number of labels may hold at once; the targets are (B, C) of 0.0 and 1.0,
    NaN = not labelled, and each label is decided by itself.

    Args:
        labels: the names; None where `learn_labels` is to find them.
        multi_label: a record's label is a list of labels.
        classifier_dropout, columns, pairs: as for `SequenceTask`.
        long_text, window_step, window_join: as for `LongText`.

    Raises:
        ConfigError: a setting that cannot work.
    """

    name = "sequence_classification"
    target = "labels"
    figure = "accuracy"

    def __init__(
        self,
        *,
        labels: Sequence[str | int] | None = None,
        multi_label: bool = False,
        classifier_dropout: float | None = None,
        columns: Mapping[str, str] | None = None,
        pairs: bool | None = None,
        long_text: LongTextRule = "head",
        window_step: int | None = None,
        window_join: WindowJoin = "mean",
    ) -> None:
        super().__init__(
            classifier_dropout=classifier_dropout,
            columns=columns,
            pairs=pairs,
            long_text=LongText(long_text, window_step, window_join),
        )
        self.multi_label = multi_label
        if multi_label:
            self.figure = "micro_f1"
        self.labels: list[str] | None = None
        if labels is not None:
            self._set_labels(labels)

    def learn_labels(self, records: Iterable[Record]) -> dict[str, int]:
        """Look through the training records before any work is done on them.

        Labels that were not given are learned: sorted, as numbers where all of them are.

        Returns:
            How many records there are of each label, in the order of the labels.

        Raises:
            DataError: a record has no label or one that is not the task's; or the labels found
                do not make a classification.
        """
        counts: Counter[str] = Counter()
        for record in self.learning_pairs(labelled(records)):
            for label in self._labels_of(record):
                if self.labels is not None:
                    self._index(label, record)
                counts[label] += 1
        if self.labels is None:
            self._set_labels(_sorted_labels(counts))
        return {label: counts[label] for label in self._known_labels()}

    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        """`labels` (B,), or (B, C) with `multi_label`."""
        if self.multi_label:
            rows = torch.zeros(len(examples), len(self._known_labels()))
            for row, example in zip(rows, examples, strict=True):
                if example.target is None:
                    row.fill_(torch.nan)
                else:
                    row[example.target] = 1.0
            return {"labels": rows}
        labels = [-100 if example.target is None else example.target for example in examples]
        return {"labels": torch.tensor(labels)}

    def build_head(self, bert: Bert) -> SequenceClassificationHead:
        """Dropout and a linear layer to C labels."""
        return SequenceClassificationHead(bert, len(self._known_labels()), self.classifier_dropout)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over the records, or, binary, over records and labels."""
        if self.multi_label:
            return mean_binary_cross_entropy(logits, targets["labels"])
        return mean_cross_entropy(logits, targets["labels"])

    def metrics(self) -> ClassificationMetrics | MultiLabelMetrics:
        """Accuracy, F1 and others; see `ClassificationMetrics` and `MultiLabelMetrics`."""
        if self.multi_label:
            return MultiLabelMetrics()
        return ClassificationMetrics(len(self._known_labels()))

    def answer(self, record: EncodedRecord, scores: Tensor) -> dict[str, Any]:  # noqa: ARG002
        """The likeliest `label`, its `probability`, and the `probabilities` of all.

        With `multi_label` the `labels` that are likelier than not, and the `probabilities`.
        """
        labels = self._known_labels()
        if self.multi_label:
            row = dict(zip(labels, scores.sigmoid().tolist(), strict=True))
            return {"labels": [x for x in labels if row[x] > 0.5], "probabilities": row}
        row = dict(zip(labels, scores.softmax(-1).tolist(), strict=True))
        label = max(row, key=row.__getitem__)
        return {"label": label, "probability": row[label], "probabilities": row}

    def figures(self, scored: Sequence[ScoredRecord]) -> dict[str, float]:
        """See `ClassificationMetrics` and `MultiLabelMetrics`."""
        metrics = self.metrics()
        metrics.update(*self.scores_and_targets(scored))
        return metrics.compute()

    def settings(self) -> dict[str, Any]:
        """What was given or learned, `labels` first of all."""
        several = {"multi_label": True} if self.multi_label else {}
        return {"labels": self._known_labels()} | several | super().settings()

    def _set_labels(self, labels: Sequence[str | int]) -> None:
        self.labels = checked_labels(labels)
        self._indices = {label: index for index, label in enumerate(self.labels)}

    def _known_labels(self) -> list[str]:
        if self.labels is None:
            raise ConfigError(
                "task.labels is not set; list the labels, or learn them from the training records"
            )
        return self.labels

    def _labels_of(self, record: Record) -> list[str]:
        label = label_of(record)
        if self.multi_label:
            labels = label if isinstance(label, list) else [label]
            return list(dict.fromkeys(_label_text(each, record) for each in labels))
        return [_label_text(label, record)]

    def target_of(self, record: Record) -> int | list[int]:
        """The label's place among the task's labels, or with `multi_label` the places."""
        indices = [self._index(label, record) for label in self._labels_of(record)]
        return indices if self.multi_label else indices[0]

    def _index(self, label: str, record: Record) -> int:
        labels = self._known_labels()
        if label not in self._indices:
            raise DataError(
                f"{record.location}: label {label!r} is not one of the task's labels "
                f"({', '.join(labels)}); correct it, drop the record, or train with it in "
                "task.labels"
            )
        return self._indices[label]


TASK = SequenceClassification


def _label_text(label: Any, record: Record) -> str:
    """A label as text; JSON's 1, 1.0 and "1" are the same label."""
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


def _sorted_labels(counts: Mapping[str, int]) -> list[str]:
    labels = sorted(counts)
    if not labels:
        raise DataError("no record has a gold label; give records with labels to learn from")
    if len(labels) < 2:
        raise DataError(
            f"every record has the label {', '.join(labels)!r}; a classification needs two, so "
            "add records with others or list all of them in task.labels"
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
