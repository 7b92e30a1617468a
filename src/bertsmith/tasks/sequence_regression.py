"""A score for a text or for a pair of texts, such as their similarity (paper, section 4.1, STS-B).

Dimension key: `B` sequences, `H` hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bertsmith.data.columns import label_of, labelled
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.record import Record
from bertsmith.errors import DataError
from bertsmith.metrics.regression import RegressionMetrics
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.linear_head import LinearHead
from bertsmith.tasks.long_text import LongTextRule, WindowJoin
from bertsmith.tasks.losses import mean_squared_error
from bertsmith.tasks.sequence_task import SequenceTask
from bertsmith.tasks.task import ScoredRecord, Targets
from bertsmith.tasks.verdict import Verdict

# A correlation that explains a twenty-fifth of the variance.
UNRELATED = 0.2


class SequenceRegressionHead(LinearHead):
    """Dropout and one score from the pooled output."""

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(B, H) pooled output → (B,)."""
        scores: Tensor = self.classifier(self.dropout(output.pooled_output)).squeeze(-1)
        return scores


class SequenceRegression(SequenceTask):
    """Targets: `scores` (B,), NaN = no score.

    Args:
        figure: which figure says that a model is better: pearson (where not set) or spearman.
        classifier_dropout, columns, pairs: as for `SequenceTask`.
        long_text, window_step, window_join: as for `SequenceTask`.
    """

    name = "sequence_regression"
    target = "scores"
    deciding_figures = ("pearson", "spearman")

    def __init__(
        self,
        *,
        classifier_dropout: float | None = None,
        columns: Mapping[str, str] | None = None,
        pairs: bool | None = None,
        figure: str | None = None,
        long_text: LongTextRule = "head",
        window_step: int | None = None,
        window_join: WindowJoin = "mean",
    ) -> None:
        super().__init__(
            classifier_dropout=classifier_dropout,
            columns=columns,
            pairs=pairs,
            figure=figure,
            long_text=long_text,
            window_step=window_step,
            window_join=window_join,
        )

    def learn_labels(self, records: Iterable[Record]) -> dict[str, int]:
        """Look through the training records; scores are not counted.

        Raises:
            DataError: a record has no score, or all have the same.
        """
        scores: set[float] = set()
        record = None
        for record in self.learning_pairs(labelled(records)):
            scores.add(self.target_of(record))
        if record is not None and len(scores) == 1:
            raise DataError(
                f"every record has the score {scores.pop():g}, to {record.location}; there is "
                "nothing to learn from them, so add records with others"
            )
        return {}

    def target_of(self, record: Record) -> float:
        """The label as a number."""
        label = label_of(record)
        try:
            score = math.nan if isinstance(label, bool) else float(label)
        except (TypeError, ValueError):
            score = math.nan
        if not math.isfinite(score):
            raise DataError(
                f"{record.location}: the label {label!r} is no number; correct it or drop it"
            )
        return score

    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        """`scores` (B,)."""
        scores = [math.nan if example.target is None else example.target for example in examples]
        return {"scores": torch.tensor(scores)}

    def build_head(self, bert: Bert) -> SequenceRegressionHead:
        """Dropout and a linear layer to one score."""
        return SequenceRegressionHead(bert, 1, self.classifier_dropout)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean squared error over the records."""
        return mean_squared_error(logits, targets["scores"])

    def metrics(self) -> RegressionMetrics:
        """Squared error and correlations; see `RegressionMetrics`."""
        return RegressionMetrics()

    def answer(self, record: EncodedRecord, scores: Tensor) -> dict[str, Any]:  # noqa: ARG002
        """The `score`."""
        return {"score": float(scores)}

    def figures(self, scored: Sequence[ScoredRecord]) -> dict[str, float]:
        """See `RegressionMetrics`."""
        metrics = self.metrics()
        metrics.update(*self.scores_and_targets(scored))
        return metrics.compute()

    def has_collapsed(self, figures: Mapping[str, float]) -> bool:
        """Whether the scores are constant, or as good as unrelated to the gold ones."""
        return figures["pearson"] < UNRELATED

    def verdict(self, scored: ScoredRecord) -> Verdict:
        """Both scores; the error is how far they are apart."""
        record = scored.record.record
        gold, score = self.target_of(record), float(scored.scores)
        return Verdict(
            self.named_texts(record),
            f"{gold:g}",
            f"{score:.3g}",
            error=abs(score - gold),
            numbers=(gold, score),
        )


TASK = SequenceRegression
