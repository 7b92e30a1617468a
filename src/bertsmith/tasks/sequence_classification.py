"""One label, or several, for a text or a pair of texts (paper, section 4.1, figure 4 a and b).

Dimension key: `B` sequences, `H` hidden size, `C` labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bertsmith.data.columns import has_label_column, label_of, labelled
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.record import Record
from bertsmith.errors import ConfigError, DataError
from bertsmith.metrics.classification import ClassificationMetrics
from bertsmith.metrics.confusion import LabelFigures
from bertsmith.metrics.multi_label import MultiLabelMetrics, best_thresholds
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.class_weights import ClassWeights, resolve_class_weights
from bertsmith.tasks.labels import check_not_joined, checked_labels, label_text, sorted_labels
from bertsmith.tasks.linear_head import LinearHead
from bertsmith.tasks.long_text import LongTextRule, WindowJoin
from bertsmith.tasks.losses import mean_binary_cross_entropy, mean_cross_entropy
from bertsmith.tasks.sequence_task import SequenceTask
from bertsmith.tasks.task import ScoredRecord, Targets
from bertsmith.tasks.verdict import Table, Verdict, label_table


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
        labels: the names; where not set, those of the training records.
        multi_label: a record's label is a list of labels.
        label_separator: between the labels in a table's cell, such as ","; with `multi_label`.
        thresholds: with `multi_label`, the probability above which each label is given, in their
            order; where not set, chosen for the best F1 on the evaluation file, or 0.5 without one.
        class_weights: how much each class counts in the loss: "balanced", so that all classes
            count as much together; a number for each label, in their order; or numbers by label, 1
            for those not named. They are in the loss that is reported, too.
        label_smoothing: part of the target that all classes share alike, from 0 to below 1; it is
            in the loss that is reported, too.
        figure: which figure says that a model is better: accuracy (where not set), f1 (of the
            second of two labels), macro_f1 or matthews_correlation; with `multi_label` micro_f1
            (where not set), macro_f1 or accuracy.
        classifier_dropout, columns, pairs: as for `SequenceTask`.
        long_text, window_step, window_join: as for `SequenceTask`.

    Raises:
        ConfigError: a setting that cannot work.
    """

    name = "sequence_classification"
    target = "labels"
    deciding_figures: tuple[str, ...] = ("accuracy", "f1", "macro_f1", "matthews_correlation")

    def __init__(
        self,
        *,
        labels: Sequence[str | int] | None = None,
        multi_label: bool = False,
        label_separator: str | None = None,
        thresholds: Sequence[float] | None = None,
        class_weights: ClassWeights | None = None,
        label_smoothing: float = 0.0,
        classifier_dropout: float | None = None,
        columns: Mapping[str, str] | None = None,
        pairs: bool | None = None,
        figure: str | None = None,
        long_text: LongTextRule = "head",
        window_step: int | None = None,
        window_join: WindowJoin = "mean",
    ) -> None:
        self.multi_label = multi_label
        if multi_label:
            self.deciding_figures = ("micro_f1", "macro_f1", "accuracy")
        super().__init__(
            classifier_dropout=classifier_dropout,
            columns=columns,
            pairs=pairs,
            figure=figure,
            long_text=long_text,
            window_step=window_step,
            window_join=window_join,
        )
        self.label_separator = label_separator
        self.class_weights = class_weights
        self._weights: dict[torch.device, Tensor] = {}
        self.label_smoothing = label_smoothing
        self.thresholds = None if thresholds is None else list(thresholds)
        self._has_given_thresholds = thresholds is not None
        self.labels: list[str] | None = None
        self._check()
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
        places: dict[str, str] = {}
        num_records = 0
        for record in self.learning_pairs(self.labelled(records)):
            num_records += 1
            for label in self._labels_of(record):
                if self.labels is not None:
                    self._index(label, record)
                counts[label] += 1
                places.setdefault(label, record.location)
        if self.labels is None:
            if self.multi_label and self.label_separator is None:
                check_not_joined(places)
            self._set_labels(sorted_labels(places))
        if self.class_weights is not None:
            self.class_weights = resolve_class_weights(
                self.class_weights,
                self._known_labels(),
                counts,
                num_records=num_records if self.multi_label else None,
            )
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
        mean = mean_binary_cross_entropy if self.multi_label else mean_cross_entropy
        return mean(
            logits,
            targets["labels"],
            class_weights=self._weights_on(logits.device),
            label_smoothing=self.label_smoothing,
        )

    def metrics(self) -> ClassificationMetrics | MultiLabelMetrics:
        """Accuracy, F1 and others; see `ClassificationMetrics` and `MultiLabelMetrics`."""
        if self.multi_label:
            return MultiLabelMetrics(self.thresholds)
        return ClassificationMetrics(len(self._known_labels()))

    def answer(self, record: EncodedRecord, scores: Tensor) -> dict[str, Any]:  # noqa: ARG002
        """The likeliest `label`, its `probability`, and the `probabilities` of all.

        With `multi_label` the `labels` above their thresholds, and the `probabilities`.
        """
        labels = self._known_labels()
        if self.multi_label:
            row = dict(zip(labels, scores.sigmoid().tolist(), strict=True))
            limits = self.thresholds or [0.5] * len(labels)
            given = [x for x, limit in zip(labels, limits, strict=True) if row[x] > limit]
            return {"labels": given, "probabilities": row}
        row = dict(zip(labels, scores.softmax(-1).tolist(), strict=True))
        label = max(row, key=row.__getitem__)
        return {"label": label, "probability": row[label], "probabilities": row}

    def figures(self, scored: Sequence[ScoredRecord]) -> dict[str, float]:
        """See `ClassificationMetrics` and `MultiLabelMetrics`."""
        metrics = self.metrics()
        metrics.update(*self.scores_and_targets(scored))
        return metrics.compute()

    def tune(self, scored: Sequence[ScoredRecord]) -> str:
        """With `multi_label`, choose each label's threshold, unless they were given."""
        if not self.multi_label or self._has_given_thresholds:
            return ""
        scores, labels = self.scores_and_targets(scored)
        self.thresholds = best_thresholds(scores.sigmoid(), labels)
        pairs = zip(self._known_labels(), self.thresholds, strict=True)
        return "thresholds " + ", ".join(f"{label} {limit:.3f}" for label, limit in pairs)

    def has_collapsed(self, figures: Mapping[str, float]) -> bool:
        """Whether all records get the same label, and not because they all have it."""
        if self.multi_label:
            return False
        # The correlation is 0 where all answers are the same.
        is_constant = figures["matthews_correlation"] == 0
        return is_constant and figures["accuracy"] <= figures["majority_accuracy"] < 1

    def verdict(self, scored: ScoredRecord) -> Verdict:
        """Gold label and answer; with `multi_label`, the error is how many labels are wrong."""
        record = scored.record.record
        texts, golds = self.named_texts(record), self._labels_of(record)
        answer = self.answer(scored.record, scored.scores)
        if not self.multi_label:
            return Verdict.of_class(texts, golds[0], answer["label"], answer["probability"])
        wrong = set(golds) ^ set(answer["labels"])
        golds = [label for label in self._known_labels() if label in golds]
        return Verdict(
            texts,
            ", ".join(golds) or "none",
            ", ".join(answer["labels"]) or "none",
            error=float(len(wrong)),
            credit=float(not wrong),
        )

    def tables(self, scored: Sequence[ScoredRecord]) -> list[Table]:
        """With `multi_label`, the figures of each label."""
        if not self.multi_label:
            return []
        scores, targets = self.scores_and_targets(scored)
        limits = 0.5 if self.thresholds is None else torch.tensor(self.thresholds)
        given, gold = scores.sigmoid() > limits, targets > 0
        counts = (each.sum(0).tolist() for each in (given & gold, given, gold))
        each_label = zip(self._known_labels(), *counts, strict=True)
        return [label_table([LabelFigures.of(*counted) for counted in each_label])]

    def settings(self) -> dict[str, Any]:
        """What was given or learned, `labels` first of all."""
        given = {
            "multi_label": self.multi_label,
            "label_separator": self.label_separator,
            "thresholds": self.thresholds,
            "class_weights": self.class_weights,
            "label_smoothing": self.label_smoothing,
        }
        own = {key: value for key, value in given.items() if value}
        return {"labels": self._known_labels()} | own | super().settings()

    def labelled(self, records: Iterable[Record]) -> Iterator[Record]:
        """Records with a label; where cells hold several, an empty one says that none holds."""
        for record in records:
            if self.is_labelled(record):
                yield record
            else:
                yield from labelled([record])

    def is_labelled(self, record: Record) -> bool:
        """Whether the record has a label, or a cell for labels in which there is none."""
        return super().is_labelled(record) or (
            self.label_separator is not None and has_label_column(record)
        )

    def _check(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"task.label_smoothing ({self.label_smoothing}) must be at least 0 and below 1"
            )
        for name in ("label_separator", "thresholds"):
            if getattr(self, name) and not self.multi_label:
                raise ConfigError(
                    f"task.{name} is for records with several labels; set task.multi_label=true "
                    "or remove it"
                )
        if not all(isinstance(x, int | float) and 0 < x < 1 for x in self.thresholds or []):
            raise ConfigError(
                f"task.thresholds ({self.thresholds}) must be probabilities between 0 and 1"
            )

    def _set_labels(self, labels: Sequence[str | int]) -> None:
        self.labels = checked_labels(labels)
        if self.figure == "f1" and len(self.labels) != 2:
            raise ConfigError(
                f"task.figure ('f1') is of the second of two labels and there are "
                f"{len(self.labels)} ({', '.join(self.labels)}); take macro_f1 or accuracy"
            )
        self._indices = {label: index for index, label in enumerate(self.labels)}
        if self.thresholds is not None and len(self.thresholds) != len(self.labels):
            raise ConfigError(
                f"task.thresholds ({self.thresholds}) must be one for each of the labels "
                f"({', '.join(self.labels)})"
            )

    def _weights_on(self, device: torch.device) -> Tensor | None:
        if self.class_weights is None:
            return None
        if isinstance(self.class_weights, str | Mapping):
            raise ConfigError(
                "task.class_weights needs the training records' labels; call learn_labels first"
            )
        if device not in self._weights:
            # Made once, since a CUDA graph reads them where they were; and fit for training, even
            # where an evaluation is the first to ask.
            with torch.inference_mode(False):
                self._weights[device] = torch.tensor(self.class_weights, device=device)
        return self._weights[device]

    def _known_labels(self) -> list[str]:
        if self.labels is None:
            raise ConfigError(
                "task.labels is not set; list the labels, or learn them from the training records"
            )
        return self.labels

    def _labels_of(self, record: Record) -> list[str]:
        label = label_of(record)
        if self.label_separator is not None and (label is None or isinstance(label, str)):
            parts = (label or "").split(self.label_separator)
            label = [part.strip() for part in parts if part.strip()]
        if self.multi_label:
            labels = label if isinstance(label, list) else [label]
            return list(dict.fromkeys(label_text(each, record) for each in labels))
        return [label_text(label, record)]

    def label_names(self, record: EncodedRecord) -> list[str]:
        """The record's label, or all of them."""
        target = record.examples[0].target
        places = target if isinstance(target, list) else [target]
        return [self._known_labels()[place] for place in places]

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
