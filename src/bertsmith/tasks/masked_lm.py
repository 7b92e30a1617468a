"""Masked language modelling: name the wordpieces that were hidden (paper, section 3.1, task 1).

Dimension key: `T` tokens of the batch, `M` masked positions, `H` hidden size, `V` vocabulary.
"""

from __future__ import annotations

from torch import Tensor

from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.losses import mean_cross_entropy
from bertsmith.tasks.task import Targets, Task
from bertsmith.tasks.vocabulary_head import VocabularyHead


class MaskedLMHead(VocabularyHead):
    """Name the wordpieces at the masked positions.

    Only the masked 15 % are scored: the product with the vocabulary is the model's widest.
    """

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:
        """(T, H) hidden states, `masked_positions` (M,) → (M, V)."""
        return self.compare(output.hidden_states.index_select(0, targets["masked_positions"]))


class MaskedLM(Task):
    """Targets: `masked_positions` (M,) and `masked_labels` (M,), -100 in slots that are unused."""

    name = "masked_lm"
    needs_pooler = False
    target = "masked_labels"
    shown = "masked"

    def build_head(self, bert: Bert) -> MaskedLMHead:
        """The transform, and a decoder tied to the wordpiece embedding."""
        return MaskedLMHead(bert)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over the masked positions.

        Google's code divides by the count plus 1e-5, which keeps an empty batch from dividing by
        zero; here the count is at least 1.
        """
        return mean_cross_entropy(logits, targets["masked_labels"])

    def metrics(self) -> CrossEntropyAndAccuracy:
        """`masked_lm_loss` (nats) and `masked_lm_accuracy`."""
        return CrossEntropyAndAccuracy("masked_lm")


TASK = MaskedLM
